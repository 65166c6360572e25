"""`entropic-ot pages`: results.html, runs.html and settings.html."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from entropic_ot.errors import DataError
from entropic_ot.experiments import comparison
from entropic_ot.experiments.comparison.text import NOTES
from entropic_ot.experiments.page_config import load_page_config
from entropic_ot.experiments.tables import read_csv
from entropic_ot.files import write_text
from entropic_ot.inputs import contents_of, expect_unchanged
from entropic_ot.metrics.registry import METRICS
from entropic_ot.pages.render import picture, render
from entropic_ot.pages.results import sections
from entropic_ot.pages.runs import cases
from entropic_ot.pages.settings import settings_groups


def pages(
    config_path: Path, metrics: Path, paper_values: Path, overview: Path, templates: Path, out: Path
) -> None:
    """Write the three pages into the folder `out`; each is whole by itself, pictures included.

    They hold no time and no path of this machine: from the same inputs come the same bytes.
    """
    before = contents_of([metrics, paper_values, overview, templates])
    config = load_page_config(config_path)
    rows = read_csv(metrics)
    if unknown := sorted({row.metric for row in rows} - set(METRICS)):
        raise DataError.about(
            metrics,
            found=f"the metric {unknown[0]}",
            expected="metrics of this version",
            action="Run the workflow again.",
        )
    compared = comparison.compare(rows, comparison.load_paper_values(paper_values))
    provenance = {
        "commits": list(dict.fromkeys((r.commit or "unknown")[:8] + "+" * r.dirty for r in rows)),
        "devices": list(dict.fromkeys(r.device for r in rows)),
        "num_runs": len({(r.case, r.method, r.epsilon, r.seed) for r in rows}),
    }
    values: dict[str, dict[str, Any]] = {
        "results": {
            "sections": sections(compared, config),
            "overview": picture(overview),
            "papers": comparison.load_papers(paper_values),
            "notes": NOTES,
            **provenance,
        },
        "runs": {"cases": cases(rows), **provenance},
        "settings": {"groups": settings_groups([Path(path) for path in config.settings])},
    }
    texts = {
        name: render(templates, f"{name}.html", page=name, scale=config.scale, **own)
        for name, own in values.items()
    }
    expect_unchanged(before)
    for name, text in texts.items():
        write_text(out / f"{name}.html", text)
    print(f"{out}: {', '.join(f'{name}.html' for name in values)}")
