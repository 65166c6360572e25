"""`entropic-ot configure`: params.yaml -> one resolved JSON file per run."""

from __future__ import annotations

from pathlib import Path

from entropic_ot.experiments.params import load_params, write_configs


def configure(params: Path, scale: str | None) -> None:
    """Check params.yaml and write results/<scale>/config/."""
    resolved = load_params(params, scale=scale)
    files = write_configs(resolved)
    print(f"{len(files)} files in {resolved.layout.root / 'config'}, {len(resolved.runs)} runs")
    for line in resolved.left_out:
        print(line)
