"""Images: grids of them, as one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from entropic_ot.plotting.style import Array


def evenly_spaced(length: int, count: int) -> NDArray[np.intp]:
    """Up to `count` of 0 ... length - 1, the first and the last among them."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).round().astype(np.intp))


def beside(first: Array, others: Array) -> Array:
    """[rows, a, *image] and [rows, b, *image] as [rows, a + b, *image]."""
    return np.concatenate([first, others], axis=1)


def image_grid(
    ax: Axes,
    images: Array,
    *,
    split_first_column: bool = False,
    column_labels: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
) -> None:
    """Images [rows, columns, 3 or 1, H, W] with values in [-1, 1] as one picture.

    Values beyond [-1, 1] are clipped. With `split_first_column` a wider gap follows the first.
    """
    pixels = np.asarray(images, dtype=np.float64)
    if pixels.ndim != 5 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
        raise ValueError(
            f"images: found an array of shape {list(pixels.shape)}, "
            "expected [rows, columns, channels, H, W] with 1 or 3 channels"
        )
    rows, columns, _, height, width = pixels.shape
    gap, wide = max(1, width // 16), max(2, width // 3) if split_first_column else 0
    left = [c * (width + gap) + (wide if c else 0) for c in range(columns)]
    canvas = np.ones((rows * (height + gap) - gap, left[-1] + width, 3))
    pixels = (np.nan_to_num(pixels, nan=0.0).clip(-1, 1) + 1) / 2
    for r in range(rows):
        for c in range(columns):
            image = np.broadcast_to(pixels[r, c], (3, height, width)).transpose(1, 2, 0)
            canvas[r * (height + gap) :, left[c] :][:height, :width] = image
    # Viewers of PDF smooth the pixels of small pictures: they get larger ones.
    edges = (-0.5, canvas.shape[1] - 0.5, canvas.shape[0] - 0.5, -0.5)
    ax.imshow(canvas.repeat(3, axis=0).repeat(3, axis=1), interpolation="none", extent=edges)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if column_labels is not None:
        if len(column_labels) != columns:
            raise ValueError(
                f"column_labels: found {len(column_labels)}, expected {columns}, one per column"
            )
        ax.set_xticks([start + width / 2 - 0.5 for start in left], column_labels)
    if row_labels is not None:
        if len(row_labels) != rows:
            raise ValueError(f"row_labels: found {len(row_labels)}, expected {rows}, one per row")
        middles = [r * (height + gap) + height / 2 - 0.5 for r in range(rows)]
        ax.set_yticks(middles, row_labels, rotation=90, va="center")
    ax.tick_params(length=0, pad=2)


def image_samples(
    ax: Axes,
    samples: Mapping[str, Array],
    *,
    num_inputs: int,
    num_samples: int,
    with_truth: bool = False,
) -> None:
    """Inputs of a samples file, each with several samples of π(y | x) at its right.

    with_truth: the last column holds the target's test images, where row i belongs to input i.
    """
    rows = evenly_spaced(len(samples["conditional_x"]), num_inputs)
    columns = beside(samples["conditional_x"][rows, None], samples["conditional_y"][rows])
    columns = columns[:, : 1 + num_samples]
    if with_truth:
        columns = beside(columns, samples["target"][rows, None])
    labels = ["$x$", *[""] * (columns.shape[1] - 2), "sharp"] if with_truth else None
    image_grid(ax, columns, split_first_column=True, column_labels=labels)


def image_trajectories(
    ax: Axes,
    samples: Mapping[str, Array],
    *,
    num_inputs: int,
    num_times: int,
    start: str | None = None,
) -> None:
    """States of the first paths of a samples file, from t = 0 at the left to t = 1.

    start: what the first column shows, where it is not the input itself.
    """
    times = evenly_spaced(len(samples["path"]), num_times)
    states = samples["path"][times][:, :num_inputs].swapaxes(0, 1)
    labels = [f"{time:.2g}" for time in samples["path_t"][times]]
    if start is not None:
        labels[0] += f"\n{start}"
    image_grid(ax, states, column_labels=labels)
    ax.set_xlabel("$t$")


def source_and_target_images(ax: Axes, x: Array, target: Array, *, num_images: int = 4) -> None:
    """The first images of the two data sets, those of the source at the left."""
    rows = min(num_images, len(x), len(target))
    images = beside(x[:rows, None], target[:rows, None])
    image_grid(ax, images, split_first_column=True, column_labels=["source", "target"])


def real_and_generated(ax: Axes, real: Array, generated: Array, *, num_images: int = 10) -> None:
    """The first images of the target above, as many of a generator below."""
    count = min(num_images, len(real), len(generated))
    image_grid(ax, np.stack([real[:count], generated[:count]]), row_labels=["real", "$G(z)$"])
