"""Templates to HTML files that need nothing beside them."""

from __future__ import annotations

import base64
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from entropic_ot.errors import DataError

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Picture:
    """A PNG as it stands in a page."""

    uri: str
    width: int
    """In pixels, as `height`."""
    height: int


def picture(path: Path) -> Picture:
    """The bytes of a .png as a data URI, and its size; DataError where there is no PNG."""
    try:
        content = path.read_bytes()
    except OSError as error:
        content, found = b"", error.strerror or str(error)
    else:
        found = "another kind of file"
    if content[:8] != _PNG or len(content) < 24:
        raise DataError.about(
            path, found=found, expected="a PNG", action="Run the rule that draws it again."
        )
    width, height = struct.unpack(">II", content[16:24])  # the first chunk, IHDR
    return Picture("data:image/png;base64," + base64.b64encode(content).decode(), width, height)


def render(templates: Path, name: str, **values: Any) -> str:
    """`templates`/`name` with these values; every text in it is escaped.

    Raises:
        DataError: a template is missing or has an error.
    """
    import jinja2  # inside: it comes with the extra `workflow`

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    try:
        return environment.get_template(name).render(values)
    except jinja2.TemplateError as error:
        raise DataError.about(
            templates / name,
            found=f"{type(error).__name__}: {error}",
            expected="a template of Jinja",
            action="Repair it, or take it from the repository.",
        ) from None
