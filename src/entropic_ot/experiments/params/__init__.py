"""params.yaml: the one place where the numbers of all experiments stand.

The file is read strictly, the overrides of the chosen scale are laid over it, and every run is
resolved into a RunConfig of its own. Jobs never read params.yaml: they read the resolved files
(docs/decisions/0001-resolved-configs.md).
"""

from entropic_ot.experiments.params.resolve import load_params
from entropic_ot.experiments.params.resolved import Params, Run, config_texts, write_configs
from entropic_ot.experiments.params.schema import (
    SCALES,
    ExperimentParams,
    FigureParams,
    MethodParams,
    ParamsFile,
)
from entropic_ot.experiments.params.yaml_file import merged, read_yaml, typed

__all__ = [
    "SCALES",
    "ExperimentParams",
    "FigureParams",
    "MethodParams",
    "Params",
    "ParamsFile",
    "Run",
    "config_texts",
    "load_params",
    "merged",
    "read_yaml",
    "typed",
    "write_configs",
]
