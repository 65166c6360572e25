"""The figure of an encoded data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from entropic_ot.plotting import encoding

RNG = np.random.default_rng(0)
RECORD = {
    **{"commit": "0123456789abcdef", "dirty": False, "config_sha256": "fedcba9876543210"},
    **{"train_seconds": 41.7, "device": "a CPU, 1 threads"},
}


def images(n: int) -> np.ndarray:
    return RNG.integers(0, 256, (n, 3, 8, 8)).astype(np.float32)


def test_the_parts_are_the_arrays_of_the_data_set_alone() -> None:
    names = ["target_train_w", "target_train_error", "target_test_w", "w_mean", "w_root"]
    assert encoding.parts_of({name: images(1) for name in names}) == ["target_train", "target_test"]


def test_a_grid_is_filled_up_with_black() -> None:
    shown = encoding.grid(images(4), 2, 3)
    assert shown.shape == (2, 3, 3, 8, 8)
    assert (shown[1, 1:] == -1).all() and shown[1, 0].max() > 0


def test_the_error_of_the_mean_is_that_of_pixels_from_minus_one_to_one() -> None:
    black, white = np.zeros((4, 3, 8, 8)), np.full((1, 3, 8, 8), 255.0)
    assert encoding.error_of_mean(black, white) == pytest.approx(4.0)


def test_reconstructions_stand_below_their_originals() -> None:
    ax = Figure().subplots()
    originals = np.full((4, 3, 8, 8), 255.0)
    encoding.reconstructions(ax, originals, np.zeros_like(originals), num_columns=2)
    canvas = np.asarray(ax.images[0].get_array())
    height = len(canvas) / (4 * 8 + 3)  # four rows of images with gaps of a pixel
    rows = [canvas[int((9 * row + 4) * height), 5].mean() for row in range(4)]
    assert rows == [1.0, 0.0, 1.0, 0.0]


def test_the_histogram_counts_every_image() -> None:
    ax = Figure().subplots()
    errors = RNG.uniform(0.001, 0.1, 50)
    encoding.error_histogram(ax, errors, encoder_errors=3 * errors, mean_error=0.2)
    heights = [sum(bar.get_height() for bar in group) for group in ax.containers]
    assert heights == [50, 50]
    ax.set_xlim(0.03, 0.4)  # within one power of ten several ticks are labelled
    ax.figure.draw_without_rendering()  # type: ignore[union-attr]
    labels = {text.get_text() for text in ax.get_xticklabels()}
    assert {"0.05", "0.1", "0.2"} <= labels


def test_a_latents_file_says_what_it_was_made_from() -> None:
    text = encoding.made_from(RECORD)
    assert text.endswith("42 s on a CPU, 1 threads; commit 0123456789; settings fedcba9876")
    assert "; no commit; " in encoding.made_from(RECORD | {"commit": None, "dirty": None})
    assert "456789 with uncommitted edits" in encoding.made_from(RECORD | {"dirty": True})


@pytest.mark.parametrize(("num", "latent"), [(1, "w"), (16, "z")])
def test_the_notebook_draws_a_latents_file(num: int, latent: str, tmp_path: Path) -> None:
    jupytext = pytest.importorskip("jupytext")
    latents = tmp_path / "latents.npz"
    part = {
        "w": RNG.normal(size=(num, 4)),
        latent: RNG.normal(size=(num, 4)),
        "error": RNG.uniform(0.001, 0.1, num),
        "encoder_error": RNG.uniform(0.01, 0.2, num),
        "original": images(num).astype(np.uint8),
        "reconstruction": images(num).astype(np.uint8),
    }
    np.savez(
        latents,
        **{f"source_train_{key}": value for key, value in part.items()},
        **{f"target_test_{key}": value for key, value in part.items()},
        w_mean=np.zeros(4),
        mean_image=images(1).astype(np.uint8),
        generated=images(64).astype(np.uint8),
    )
    path = Path(__file__).parents[2] / "workflow/notebooks/encoding.py"
    code = [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code"]
    provenance = tmp_path / "latents.json"
    provenance.write_text(json.dumps(RECORD))
    given = f"out = {str(tmp_path / 'figure')!r}\nlatents = {str(latents)!r}"
    given += f"\nprovenance = {str(provenance)!r}"
    names: dict[str, Any] = {}
    exec("\n".join([code[0], given, *code[1:]]), names)
    (left, right) = names["rows"][0]
    assert left.get_title() == f"source train: images above G({latent})"
    (legend,) = (text for text in right.get_legend().get_texts() if "descent" in text.get_text())
    assert legend.get_text() == f"and descent on {latent}"
    assert (tmp_path / "figure.png").stat().st_size > 5000
    assert (tmp_path / "figure.pdf").exists()
