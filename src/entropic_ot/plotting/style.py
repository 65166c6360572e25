"""How figures look: the methods' colours, fonts, sizes."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class MethodStyle:
    """How a method looks in every figure."""

    label: str
    colour: str
    marker: str


# Okabe and Ito's colours, which colour-blind readers tell apart; markers for prints in grey.
METHODS: dict[str, MethodStyle] = {
    "enot": MethodStyle("ENOT", "#0072B2", "o"),
    "egnot": MethodStyle("EgNOT", "#D55E00", "s"),
    "sinkhorn": MethodStyle("Sinkhorn", "#009E73", "D"),
    "lightsb": MethodStyle("LightSB", "#CC79A7", "^"),
}
"""In the order in which figures and tables list them."""

SOURCE_COLOUR, TARGET_COLOUR, TEXT_COLOUR, FLOOR_COLOUR = "#4D4D4D", "#C4C4C4", "#222222", "#777777"
CLOUD_COLOURS = ("#882255", "#332288", "#A07400", "#1A1A1A", "#CC6677", "#666633")
"""Of the conditional samples, one for each source point: not the colour of a method."""

FLOOR_DASHES = (0, (3, 1.5))
DPI = 200


def method_style(method: str) -> MethodStyle:
    """The style of a method; ValueError for a name that has none."""
    try:
        return METHODS[method]
    except KeyError:
        raise ValueError(
            f"method: found {method!r}, expected one of {', '.join(METHODS)}; "
            "new methods get their colour in entropic_ot.plotting.METHODS"
        ) from None


def epsilon_label(epsilon: float) -> str:
    """The heading of a column: ε = 0.1."""
    return rf"$\varepsilon = {epsilon:g}$"


def use_style() -> None:
    """Set Matplotlib's defaults: fonts that come with it, thin frames, embedded TrueType."""
    matplotlib.rcParams.update(
        {
            "font.family": "STIXGeneral",
            "mathtext.fontset": "stix",
            "font.size": 9.5,
            "axes.titlesize": 10.5,
            "axes.labelsize": 9.5,
            "xtick.labelsize": 8.5,
            "ytick.labelsize": 8.5,
            "legend.fontsize": 8.5,
            "legend.frameon": False,
            "text.color": TEXT_COLOUR,
            "axes.labelcolor": TEXT_COLOUR,
            "axes.edgecolor": "#666666",
            "axes.linewidth": 0.6,
            "xtick.color": "#444444",
            "ytick.color": "#444444",
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
            "pdf.fonttype": 42,
            "savefig.facecolor": "white",
        }
    )
