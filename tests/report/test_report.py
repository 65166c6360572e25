"""The report and the pages of results, opened and clicked through in a real headless Chromium.

Screenshots of all that is opened stay in pytest's folder for temporary files.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_project import Project, make_project, tiny_params

pytestmark = pytest.mark.extra

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="needs Playwright: pip install -e '.[browser]'"
)
CHROMIUM = os.environ.get("EOT_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
if CHROMIUM is None:
    pytest.skip(
        "needs Chromium: apt-get install chromium, or its path in EOT_CHROMIUM",
        allow_module_level=True,
    )

BIG_CELL = "\n# %%\nprint('x' * 2_500_000)  # a page of more than Chromium opens as a data: URI\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The tiny project after `all`, with the real notebook of one figure, and its report."""
    params = tiny_params()
    project = make_project(
        tmp_path_factory.mktemp("report"),
        params,
        figures=("my_data",),
        real_notebooks=("tables", "gaussian"),
    )
    notebook = project / "workflow/notebooks/my_data.py"
    notebook.write_text(notebook.read_text() + BIG_CELL)
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "A tiny project")
    project.run("snakemake", "--cores", "2", "--", "all")
    output = project.run(sys.executable, "workflow/scripts/report.py", "results/report.html")
    assert "results/report.html: " in output
    return project


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        # --no-sandbox: containers often run as root
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page in a tab; all that it asks for and every error in it are kept."""

    def __init__(self, browser: Any, file: Path, shots: Path, **settings: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1400, "height": 900}, **settings)
        self.page, self.shots = self.context.new_page(), shots
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.context.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(file.as_uri())

    def shoot(self, name: str) -> None:
        self.page.screenshot(path=self.shots / f"{re.sub('[^a-z0-9]+', '-', name.lower())}.png")

    def assert_alone(self) -> None:
        """No error, and no request but for the file itself and what is inside it."""
        assert self.errors == []
        outside = [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]
        assert outside == []
        assert len([url for url in self.requests if url.startswith("file:")]) == 1


@pytest.fixture
def report(made: Project, browser: Any, tmp_path: Path) -> Iterator[Visit]:
    visit = Visit(browser, made / "results/report.html", tmp_path)
    yield visit
    visit.context.close()


def open_category(visit: Visit, name: str) -> None:
    """From wherever the menu is, to the list of a category."""
    menu = visit.page.locator("nav").first
    menu.locator("ol a").first.click()  # home
    menu.get_by_role("link", name=name, exact=True).click()


def rows_of(visit: Visit) -> list[str]:
    """The texts of the lines of the list that is open."""
    return [text.strip() for text in visit.page.locator("nav tbody tr").all_inner_texts()]


def open_row(visit: Visit, *texts: str) -> None:
    """The eye of the line with these cells."""
    row = visit.page.locator("nav tbody tr")
    for text in texts:
        row = row.filter(has=visit.page.get_by_role("cell", name=text, exact=True))
    row.locator("a").first.click()


def natural_size(visit: Visit) -> tuple[int, int]:
    """Width and height in pixels of the picture that is open, once it is decoded."""
    image = visit.page.locator("div.grow img")
    image.evaluate("image => image.decode()")
    width, height = image.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    return width, height


def test_every_figure_is_there_and_opens(report: Visit, made: Project) -> None:
    open_category(report, "Figures")
    figures = {path.stem for path in (made / "results/smoke/figures").glob("*.png")}
    assert figures == {"gaussian", "my_data", "comparison"}
    assert set(rows_of(report)) == figures
    for figure in sorted(figures):
        open_row(report, figure)
        width, height = natural_size(report)
        assert (width, height) == (1, 1) if figure == "my_data" else min(width, height) > 300
        report.shoot(f"figure {figure}")
    report.assert_alone()


def test_a_figure_has_its_caption(report: Visit) -> None:
    open_category(report, "Figures")
    row = report.page.locator("nav tbody tr").filter(has_text="gaussian")
    row.locator("a").nth(1).click()
    text = report.page.locator("nav").first.inner_text()
    assert "One." in text  # the caption in params.yaml
    assert "workflow/notebooks/gaussian.py" in text
    report.shoot("caption of gaussian")


def test_notebooks_open_however_large_they_are(report: Visit, made: Project) -> None:
    assert (made / "results/smoke/notebooks/my_data.html").stat().st_size > 2**21
    open_category(report, "Figures")
    report.page.locator("nav").first.get_by_text("notebook", exact=True).click()
    for figure, words in {
        "gaussian": "Gaussian",
        "my_data": "xxxxxxxx",
        "comparison": "Papers, baselines and ours",
    }.items():
        open_row(report, figure)
        frame = report.page.frame_locator("iframe")
        frame.get_by_text(words).first.wait_for()
        report.shoot(f"notebook {figure}")
    report.assert_alone()


def test_pages_of_results_open_inside_the_report(report: Visit, made: Project) -> None:
    open_category(report, "Results")
    open_row(report, "Papers, baselines and ours, with the figures")
    frame = report.page.frame_locator("iframe")
    frame.get_by_role("heading", name="gaussian", exact=True).wait_for()
    images = frame.locator("img")
    assert images.count() == 3  # two figures and the overview
    for number in range(images.count()):
        images.nth(number).evaluate("image => image.decode()")
    assert not frame.locator(".beside").first.is_visible()  # no links to files that are not here
    report.shoot("results in the report")
    open_category(report, "Configuration")
    open_row(report, "All settings of all runs")
    frame.get_by_role("heading", name="gaussian-d2", exact=True).wait_for()
    frame.locator("summary").first.click()
    assert frame.get_by_text("solver.drift.width").first.is_visible()
    report.shoot("settings in the report")
    open_category(report, "Tables")
    open_row(report, "Every metric of every run", "page")
    frame.get_by_role("heading", name="Every metric of every run").wait_for()
    report.shoot("runs in the report")
    report.assert_alone()


def test_tables_can_be_saved(report: Visit, made: Project) -> None:
    open_category(report, "Tables")
    for file, cells in {
        "metrics.csv": ("Every metric of every run", "CSV"),
        "comparison.csv": ("Papers, baselines and ours", "CSV"),
        "comparison.tex": ("Papers, baselines and ours", "LaTeX"),
    }.items():
        with report.page.expect_download() as download:
            open_row(report, *cells)
        saved = Path(download.value.path()).read_bytes()
        assert saved == (made / "results/smoke/tables" / file).read_bytes()


def test_runtimes_and_rules_are_there(report: Visit, made: Project) -> None:
    menu = report.page.locator("nav").first
    menu.get_by_role("link", name="Statistics").click()
    chart = report.page.locator("#app canvas, #app svg.marks").first
    chart.wait_for()
    assert min(chart.bounding_box()["width"], chart.bounding_box()["height"]) > 100
    report.shoot("runtimes")
    runtimes = report.page.evaluate("JSON.stringify(runtimes_spec)")
    assert {"train", "sample", "evaluate", "figure", "pages"} <= set(re.findall(r"\w+", runtimes))
    menu.get_by_role("link", name="Workflow").click()
    report.page.locator("#app canvas, #app svg.marks").first.wait_for()
    report.shoot("workflow")
    report.assert_alone()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "name"), [(1500, "desk"), (390, "phone")])
def test_the_page_of_results_on_desk_and_phone(
    made: Project, browser: Any, tmp_path: Path, scheme: str, width: int, name: str
) -> None:
    file = made / "results/smoke/results.html"
    visit = Visit(browser, file, tmp_path, color_scheme=scheme)
    visit.page.set_viewport_size({"width": width, "height": 850})
    for image in visit.page.locator("img").all():
        image.evaluate("image => image.decode()")
    # Nothing makes the page wider than the screen: wide tables scroll by themselves.
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    background = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(21, 25, 30)")
    tables, figures = (visit.page.locator(f".side .{part}").first for part in ("tables", "figures"))
    beside = figures.bounding_box()["x"] > tables.bounding_box()["x"]
    assert beside == (name == "desk")
    assert visit.page.locator(".beside").first.is_visible()
    visit.shoot(f"results {name} {scheme}")
    visit.page.screenshot(path=tmp_path / f"whole-{name}-{scheme}.png", full_page=True)
    visit.assert_alone()
    visit.context.close()


def test_links_of_the_page_lead_to_files(made: Project, browser: Any, tmp_path: Path) -> None:
    for name in ("results", "runs", "settings"):
        visit = Visit(browser, made / f"results/smoke/{name}.html", tmp_path)
        links = visit.page.eval_on_selector_all("a[href]", "links => links.map(a => a.href)")
        files = {link.partition("#")[0] for link in links}
        assert len(files) > 1
        for link in files:
            assert link.startswith("file://"), link
            assert Path(link.removeprefix("file://")).is_file(), link
        visit.context.close()


def test_the_same_results_give_the_same_pages(made: Project) -> None:
    before = {p.name: p.read_bytes() for p in (made / "results/smoke").glob("*.html")}
    made.run("snakemake", "--cores", "2", "--forcerun", "pages", "--", "all")
    assert {p.name: p.read_bytes() for p in (made / "results/smoke").glob("*.html")} == before


def test_a_report_of_another_snakemake_is_refused(made: Project) -> None:
    check = "import report; report.with_files('<head></head>')"
    code = f"import sys; sys.path.insert(0, 'workflow/scripts'); {check}"
    output = made.run(sys.executable, "-c", code, ok=False)
    assert "found 0 frames for pages; expected 1" in output
