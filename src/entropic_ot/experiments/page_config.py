"""What the results page shows: results/<scale>/config/page.json."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from entropic_ot.experiments.config import read_mapping
from entropic_ot.strict import from_mapping


@dataclass(frozen=True, kw_only=True)
class PageFigure:
    """A picture and what it shows."""

    name: str
    """Name in params.yaml, or of a generator."""
    caption: str
    """One sentence without its full stop."""
    experiments: tuple[str, ...]
    """The experiments it belongs to; it stands with the first, the others point to it."""
    picture: str
    """The .png."""
    files: tuple[str, ...]
    """The same in other forms: .pdf, the executed notebook as .html."""


@dataclass(frozen=True, kw_only=True)
class PageConfig:
    """Everything on the pages that is neither a metric nor a published number."""

    scale: str
    """smoke, laptop or paper: the folder of the results."""
    figures: tuple[PageFigure, ...]
    """In the order in which they are shown."""
    settings: tuple[str, ...]
    """The resolved JSON files behind the results."""


def load_page_config(path: Path) -> PageConfig:
    """The settings in results/<scale>/config/page.json; ConfigError on any misfit."""
    return from_mapping(PageConfig, read_mapping(path), str(path))
