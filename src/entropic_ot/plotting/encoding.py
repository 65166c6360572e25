"""Drawing for generators: their samples beside real images, and images beside what encodes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from entropic_ot.plotting import FLOOR_COLOUR, SOURCE_COLOUR, TARGET_COLOUR, Array, image_grid

NUM_BINS = 40


def parts_of(latents: Mapping[str, Array]) -> list[str]:
    """The arrays of the data set that are in a latents file, such as target_test."""
    return [name.removesuffix("_w") for name in latents if name.endswith(("train_w", "test_w"))]


def latent_of(latents: Mapping[str, Array]) -> str:
    """What was found for each image: z, or else w."""
    return "z" if f"{parts_of(latents)[0]}_z" in latents else "w"


def made_from(record: Mapping[str, Any]) -> str:
    """The provenance of a latents file as one line."""
    commit = "no commit" if record["commit"] is None else f"commit {record['commit'][:10]}"
    edited = " with uncommitted edits" if record["dirty"] else ""
    seconds = f"{record['train_seconds']:.0f} s on {record['device']}"
    settings = f"settings {record['config_sha256'][:10]}"
    return f"Encoder and encoding: {seconds}; {commit}{edited}; {settings}"


def grid(images: Array, rows: int, columns: int) -> Array:
    """The first images [n, channels, h, w] in bytes as [rows, columns, channels, h, w] in [-1, 1].

    Too few are filled up with black.
    """
    shown = np.full((rows * columns, *images.shape[1:]), -1.0)
    chosen = images[: rows * columns]
    shown[: len(chosen)] = chosen / 127.5 - 1
    return shown.reshape(rows, columns, *images.shape[1:])


def reconstructions(ax: Axes, originals: Array, others: Array, *, num_columns: int) -> None:
    """Rows of images in bytes, each above a row of what stands for them, in pairs of rows."""
    num_pairs = max(1, min(len(originals), len(others)) // num_columns)
    num_columns = min(num_columns, len(originals))
    rows = []
    for pair in range(num_pairs):
        chosen = slice(pair * num_columns, (pair + 1) * num_columns)
        rows += [originals[chosen], others[chosen]]
    image_grid(ax, np.stack(rows) / 127.5 - 1)


def error_histogram(
    ax: Axes, errors: Array, *, encoder_errors: Array, mean_error: float, latent: str = "w"
) -> None:
    """Errors of images after the descent and before it, and that of the image of the mean w."""
    largest = max(float(encoder_errors.max()), float(errors.max()), mean_error)
    smallest = max(min(float(errors.min()), float(encoder_errors.min())), 1e-6)
    bins = np.geomspace(smallest, 1.05 * largest, NUM_BINS).tolist()
    ax.hist(encoder_errors, bins, color=SOURCE_COLOUR, alpha=0.6, label="encoder alone")
    ax.hist(errors, bins, color=TARGET_COLOUR, alpha=0.6, label=f"and descent on {latent}")
    ax.axvline(mean_error, color=FLOOR_COLOUR, linestyle="--", label="image of the mean w")
    ax.set(xscale="log", xlabel="mean squared error of a pixel", ylabel="images")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # often there is one power of ten
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_ylim(top=1.45 * ax.get_ylim()[1])  # room for the legend above the bars
    ax.legend(loc="upper left", fontsize=7)


def error_of_mean(originals: Array, mean_image: Array) -> float:
    """Mean squared error of a pixel that the image of the mean w makes, both in bytes."""
    return float(np.square((originals - mean_image) / 127.5).mean())
