"""Every test draws in the project's style and leaves Matplotlib's settings as they were."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib
import pytest
from matplotlib.axes import Axes

from entropic_ot import plotting


@pytest.fixture(autouse=True)
def own_style() -> Iterator[None]:
    with matplotlib.rc_context():
        plotting.use_style()
        yield


@pytest.fixture
def ax() -> Axes:
    """Empty Axes in a figure of their own."""
    return plotting.new_figure(2, 2).subplots()
