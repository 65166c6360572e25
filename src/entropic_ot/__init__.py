"""Entropic neural optimal transport: ENOT, EgNOT, and everything needed to check them.

problem = EOTProblem.from_arrays(x, y, epsilon=0.1)
solver = ENOT(problem.source.shape, epsilon=0.1)
fit(solver, problem, steps=400)
y_new = solver.sample(torch.from_numpy(x_new), rng=make_rng(0))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "ENOT": "entropic_ot.solvers.enot",
    "ENOTConfig": "entropic_ot.solvers.config",
    "EgNOT": "entropic_ot.solvers.egnot",
    "EgNOTConfig": "entropic_ot.solvers.config",
    "EOTProblem": "entropic_ot.problems.base",
    "LightSB": "entropic_ot.solvers.lightsb",
    "LightSBConfig": "entropic_ot.solvers.config",
    "NetworkConfig": "entropic_ot.networks.config",
    "Sinkhorn": "entropic_ot.solvers.sinkhorn",
    "SinkhornConfig": "entropic_ot.solvers.config",
    "fit": "entropic_ot.experiments.fit",
    "make_rng": "entropic_ot.device",
}
__all__ = sorted(_HOMES)

if TYPE_CHECKING:
    from entropic_ot.device import make_rng as make_rng
    from entropic_ot.experiments.fit import fit as fit
    from entropic_ot.networks.config import NetworkConfig as NetworkConfig
    from entropic_ot.problems.base import EOTProblem as EOTProblem
    from entropic_ot.solvers.config import EgNOTConfig as EgNOTConfig
    from entropic_ot.solvers.config import ENOTConfig as ENOTConfig
    from entropic_ot.solvers.config import LightSBConfig as LightSBConfig
    from entropic_ot.solvers.config import SinkhornConfig as SinkhornConfig
    from entropic_ot.solvers.egnot import EgNOT as EgNOT
    from entropic_ot.solvers.enot import ENOT as ENOT
    from entropic_ot.solvers.lightsb import LightSB as LightSB
    from entropic_ot.solvers.sinkhorn import Sinkhorn as Sinkhorn


def __getattr__(name: str) -> Any:
    """Import on first use: `import entropic_ot` alone does not load torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'entropic_ot' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
