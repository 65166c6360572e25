"""Arrays and tables to Axes: what the figure notebooks are made of. Knows no model and no file.

Every function draws into the Axes that it is given. Figures are made without pyplot, so nothing
depends on a backend or on what was drawn before. Points are dots of fixed size that are rasterised
in PDF files, which keeps them small; text and lines stay vectors.
"""

from entropic_ot.plotting.curves import (
    Point,
    bars,
    metric_by_epsilon,
)
from entropic_ot.plotting.figures import (
    LEGEND_ENTRY_INCHES,
    legend_below,
    message,
    missing_run,
    new_figure,
    new_panels,
    new_panels_with_side,
    row_label,
    save,
)
from entropic_ot.plotting.images import (
    beside,
    evenly_spaced,
    image_grid,
)
from entropic_ot.plotting.planar import (
    DOTS_PER_CLOUD,
    NUM_CLOUDS,
    NUM_DOTS,
    NUM_TRAJECTORIES,
    Limits,
    conditional_clouds,
    dots,
    fitted_samples,
    limits_around,
    plane,
    points_2d,
    source_and_target,
    spread_rows,
    thin,
    trajectories,
)
from entropic_ot.plotting.style import (
    CLOUD_COLOURS,
    DPI,
    FLOOR_COLOUR,
    FLOOR_DASHES,
    METHODS,
    SOURCE_COLOUR,
    TARGET_COLOUR,
    TEXT_COLOUR,
    Array,
    MethodStyle,
    epsilon_label,
    method_style,
    use_style,
)
from entropic_ot.plotting.tables import (
    MAX_ROW_HEIGHT,
    Cell,
    table,
)

__all__ = [
    "CLOUD_COLOURS",
    "DOTS_PER_CLOUD",
    "DPI",
    "FLOOR_COLOUR",
    "FLOOR_DASHES",
    "LEGEND_ENTRY_INCHES",
    "MAX_ROW_HEIGHT",
    "METHODS",
    "NUM_CLOUDS",
    "NUM_DOTS",
    "NUM_TRAJECTORIES",
    "SOURCE_COLOUR",
    "TARGET_COLOUR",
    "TEXT_COLOUR",
    "Array",
    "Cell",
    "Limits",
    "MethodStyle",
    "Point",
    "bars",
    "beside",
    "conditional_clouds",
    "dots",
    "epsilon_label",
    "evenly_spaced",
    "fitted_samples",
    "image_grid",
    "legend_below",
    "limits_around",
    "message",
    "method_style",
    "metric_by_epsilon",
    "missing_run",
    "new_figure",
    "new_panels",
    "new_panels_with_side",
    "plane",
    "points_2d",
    "row_label",
    "save",
    "source_and_target",
    "spread_rows",
    "table",
    "thin",
    "trajectories",
    "use_style",
]
