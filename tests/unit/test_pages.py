"""The pages of results: what stands in them, and that nothing beside them is needed."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from entropic_ot.commands.pages import pages
from entropic_ot.errors import ConfigError, DataError
from entropic_ot.experiments.config import to_json
from entropic_ot.experiments.page_config import PageConfig, PageFigure
from entropic_ot.experiments.tables import COLUMNS, as_csv
from entropic_ot.pages.render import picture, render
from entropic_ot.pages.settings import flattened, settings_groups

REPOSITORY = Path(__file__).parents[2]


def png(path: Path, width: int = 3, height: int = 2) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    pixels = zlib.compress(bytes(height * (width + 1)))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def row(method: str, value: float, **changes: object) -> dict[str, object]:
    values: dict[str, object] = dict.fromkeys(COLUMNS)
    values |= {
        "scale": "smoke", "experiment": "gaussian", "variant": "d2", "method": method,
        "epsilon": 1.0, "dim": 2, "seed": 0, "metric": "bw_uvp_plan", "value": value,
        "floor": 0.003, "n": 100, "train_seconds": 2.0, "device": "a <fast> one",
        "commit": "0123456789abcdef", "dirty": True, "precision": "float32", "config_sha256": "x",
    }  # fmt: skip
    return values | changes


RUN = {"scale": "smoke", "experiment": "gaussian", "variant": "d2", "method": "enot",
       "epsilon": 1.0, "seed": 0, "solver": {"width": 32, "ramp": None}}  # fmt: skip


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """results/smoke with the three pages of two runs, one figure and another one's figure."""
    monkeypatch.chdir(tmp_path)
    root = Path("results/smoke")
    figure = PageFigure(
        name="gaussian", caption="One & all", experiments=("gaussian",),
        picture=str(root / "figures/gaussian.png"), files=(str(root / "figures/gaussian.pdf"),),
    )  # fmt: skip
    other = dataclasses.replace(figure, name="both", experiments=("mixture", "gaussian"))
    settings = [root / f"config/gaussian-d2/enot-eps{epsilon}-seed0.json" for epsilon in (1, 2)]
    for epsilon, path in zip((1.0, 2.0), settings, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(RUN | {"epsilon": epsilon}))
    config = PageConfig(scale="smoke", figures=(figure, other), settings=tuple(map(str, settings)))
    (root / "config/page.json").write_text(to_json(config))
    png(root / "figures/gaussian.png")
    png(root / "figures/comparison.png", width=5)
    (root / "tables").mkdir()
    rows = [row("enot", 0.02), row("sinkhorn", 0.05), row("enot", 1.5, metric="cost_half_l2")]
    (root / "tables/metrics.csv").write_text(as_csv(rows))
    make(root)
    return root


def make(root: Path, templates: Path = REPOSITORY / "workflow/pages") -> None:
    pages(
        root / "config/page.json",
        root / "tables/metrics.csv",
        REPOSITORY / "workflow/paper_values.yaml",
        root / "figures/comparison.png",
        templates,
        root,
    )


class Page(HTMLParser):
    """The cells of all tables, all texts, and everything that a browser would load or go to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster") or (tag == "link" and name == "href"):
                self.loaded.append(value or "")
            if tag == "a" and name == "href":
                self.links.append(value or "")
        if tag in ("td", "th"):
            self.inside = True
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.cells[-1] += data


def test_papers_baselines_ours_and_floor_stand_side_by_side(made: Path) -> None:
    page = Page((made / "results.html").read_text())
    start = page.cells.index("papers")
    assert page.cells[start - 1 : start + 10] == [
        *("", "papers", "baselines", "ours", ""),
        *("case", "ε", "published", "Sinkhorn", "ENOT", "floor"),
    ]
    at = page.cells.index("d2 (D = 2)")
    paper, sinkhorn, enot, floor = page.cells[at + 2 : at + 6]
    assert paper.startswith("ENOT 0.012 (m) ‡")
    assert (sinkhorn, enot, floor) == ("0.05", "0.02", "0.003")


def test_a_template_that_is_edited_meanwhile_changes_no_page(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    templates = tmp_path / "templates"
    shutil.copytree(REPOSITORY / "workflow/pages", templates)
    before = [(made / f"{name}.html").read_bytes() for name in ("results", "runs", "settings")]

    def render_and_edit(folder: Path, *words: Any, **values: Any) -> str:
        with (folder / "style.css").open("a") as file:
            file.write("/* edited */")
        return render(folder, *words, **values)

    monkeypatch.setattr("entropic_ot.commands.pages.render", render_and_edit)
    with pytest.raises(DataError, match=r"templates: .*changed while it was read"):
        make(made, templates)
    after = [(made / f"{name}.html").read_bytes() for name in ("results", "runs", "settings")]
    assert after == before


def test_pages_need_nothing_beside_them(made: Path) -> None:
    for name in ("results", "runs", "settings"):
        text = (made / f"{name}.html").read_text()
        page = Page(text)
        assert all(uri.startswith("data:image/png;base64,") for uri in page.loaded)
        assert not re.search(r"@import|url\(", text)
        # Links lead to files of the same folder, never to another host.
        assert not [link for link in page.links if re.match(r"[a-z]+:|/", link)]
    assert len(Page((made / "results.html").read_text()).loaded) == 2  # figure and overview


def test_links_lead_to_what_is_there_or_made_by_another_rule(made: Path) -> None:
    text = (made / "results.html").read_text()
    anchors = set(re.findall(r'id="([^"]+)"', text))
    for link in Page(text).links:
        if link.startswith("#"):
            # The other figure stands with an experiment that was not run.
            assert link[1:] in anchors or link == "#figure-both"
    assert {"figures/gaussian.png", "figures/gaussian.pdf", "tables/comparison.csv"} <= set(
        Page(text).links
    )


def test_texts_are_escaped_and_provenance_is_there(made: Path) -> None:
    text = (made / "results.html").read_text()
    assert "One &amp; all" in text
    assert "a &lt;fast&gt; one" in text
    assert "<fast>" not in text
    assert "01234567+" in text
    assert "1 seed, so no intervals" in text


def test_the_same_inputs_give_the_same_bytes(made: Path) -> None:
    before = {path.name: path.read_bytes() for path in made.glob("*.html")}
    assert set(before) == {"results.html", "runs.html", "settings.html"}
    make(made)
    assert {path.name: path.read_bytes() for path in made.glob("*.html")} == before


def test_settings_say_where_runs_differ(made: Path) -> None:
    paths = sorted((made / "config/gaussian-d2").glob("*.json"))
    (group,) = settings_groups(paths)
    (block,) = group.blocks
    assert (group.title, block.title) == ("gaussian-d2", "enot")
    assert (block.columns, block.rows) == (("epsilon",), (("1",), ("2",)))
    assert ("solver.width", "32") in block.shared
    assert ("solver.ramp", "–") in block.shared
    assert "epsilon" not in dict(block.shared)


def test_settings_are_flattened() -> None:
    found = flattened({"a": {"b": [1, 0.5], "c": True}, "d": {}, "e": "x"})
    assert found == {"a.b": "1, 0.5", "a.c": "yes", "d": "–", "e": "x"}


def test_every_run_has_its_row(made: Path) -> None:
    cells = Page((made / "runs.html").read_text()).cells
    at = cells.index("sinkhorn")
    assert cells[at : at + 4] == ["sinkhorn", "1", "0", "0.05 (0.003)"]


def test_a_missing_or_broken_picture_is_an_error_that_names_it(made: Path) -> None:
    path = made / "figures/gaussian.png"
    assert (picture(path).width, picture(path).height) == (3, 2)
    path.write_text("no picture")
    with pytest.raises(DataError, match=r"gaussian\.png: found another kind of file"):
        make(made)
    path.unlink()
    with pytest.raises(DataError, match=r"gaussian\.png: found No such file"):
        make(made)


def test_a_misspelt_key_or_template_is_an_error_that_names_it(made: Path, tmp_path: Path) -> None:
    path = made / "config/page.json"
    path.write_text(path.read_text().replace('"caption"', '"captoin"', 1))
    with pytest.raises(ConfigError, match=r"figures.*captoin"):
        make(made)
    (tmp_path / "one.html").write_text("{{ nothing }}")
    with pytest.raises(DataError, match=r"one\.html: found UndefinedError"):
        render(tmp_path, "one.html")
    with pytest.raises(DataError, match=r"none\.html: found TemplateNotFound"):
        render(tmp_path, "none.html")
