"""The two sides of the experiments on photographs, as memory-mappable arrays.

Faces: blurred faces against sharp ones of other people, unpaired (the deblurring of the ENOT
paper); the test images are the same on both sides, row by row, so that what a method makes of a
blurred face can be compared with the sharp one. Image classes: one class against another.

Everything is uint8 [n, channels, size, size], which stands for [-1, 1] by x / 127.5 - 1. ORL's grey
faces have one channel: three equal ones would let noise and networks make colours of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from entropic_ot.data import afhq, celeba, cifar10, orl
from entropic_ot.data.archives import SafeZip, decode_image, open_zip
from entropic_ot.data.arrays import new_array, staged_folder, write_meta, write_rows
from entropic_ot.errors import DataError
from entropic_ot.progress import Progress

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]
View = Callable[["Image.Image"], Pixels]
"""What of a decoded image goes into an array: uint8 [channels, size, size]."""

_VALUE_RANGE = "uint8 0..255 stands for [-1, 1]: x / 127.5 - 1"


# --------------------------------------------------------------------------------------------------
# Images


def central(image: Image.Image, side: int) -> Image.Image:
    """The central square of ``side`` pixels (the rounding is that of torchvision's CenterCrop)."""
    assert side <= min(image.size)
    left, top = round((image.width - side) / 2), round((image.height - side) / 2)
    return image.crop((left, top, left + side, top + side))


def resized(image: Image.Image, size: int) -> Image.Image:
    """A square image with ``size`` pixels a side by Pillow's bilinear filter, which is antialiased.

    This is what torchvision's Resize does to Pillow images.
    """
    from PIL import Image

    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.BILINEAR)


def pixels(image: Image.Image) -> Pixels:
    """uint8 [3, height, width]; a grey image gets three equal channels."""
    return np.asarray(image.convert("RGB"), dtype=np.uint8).transpose(2, 0, 1)


def grey_pixels(image: Image.Image) -> Pixels:
    """uint8 [1, height, width]."""
    return np.asarray(image.convert("L"), dtype=np.uint8)[None]


# --------------------------------------------------------------------------------------------------
# Writing


class _Side:
    """Where images come from: decodes them one by one and keeps account of the bad ones."""

    def __init__(
        self, read: Callable[[Any], Image.Image], *, skip_bad: bool, channels: int = 3
    ) -> None:
        self._read, self._skip_bad, self._channels = read, skip_bad, channels
        self.skipped: list[str] = []

    def images(self, keys: Sequence[Any], views: Mapping[str, View]) -> Iterator[dict[str, Pixels]]:
        """Yield the views of each image that can be read; a bad one is an error or is skipped."""
        for key in keys:
            try:
                image = self._read(key)
                made = {name: view(image) for name, view in views.items()}
            except DataError as error:
                if not self._skip_bad:
                    raise
                self.skipped.append(str(error).partition(" Get the archive")[0])
                continue
            yield made

    def write(self, folder: Path, keys: Sequence[Any], views: Mapping[str, View], size: int) -> int:
        """Write one array a view, row i of all of them from the same image; the number of rows.

        Raises:
            DataError: a bad image that is not skipped, or not one that is good.
        """
        shape = (len(keys), self._channels, size, size)
        unfinished = {name: folder / f"{name}.npy" for name in views}
        arrays = {name: new_array(path, np.uint8, shape) for name, path in unfinished.items()}
        progress, num = Progress(" and ".join(views), len(keys)), 0
        for made in self.images(keys, views):
            for name, array in arrays.items():
                array[num] = made[name]
            num += 1
            progress.update(num)
        if num == 0:
            raise DataError.about(
                " and ".join(views),
                found=f"not one readable image among {len(keys)}",
                expected="at least one",
                action="Get the archive again. The first error was: " + "".join(self.skipped[:1]),
            )
        for name, array in arrays.items():
            array.flush()
            if num < len(keys):
                shorter = folder / f".{name}"
                write_rows(shorter, array, np.arange(num))
                shorter.replace(unfinished[name])
        return num


def _squares(bundle: SafeZip, crop: int | None = None) -> Callable[[str], Image.Image]:
    """Reads members' central squares, of ``crop`` pixels or as large as they can be."""

    def read(name: str) -> Image.Image:
        where = f"{bundle.path}, member {name}"
        image = decode_image(bundle.read(name), where)
        if image.mode.startswith(("I", "F")):
            raise _bad_image(where, f"more than 8 bits a channel (mode {image.mode})")
        if crop is not None and min(image.size) < crop:
            raise _bad_image(where, f"{image.width} x {image.height} pixels, fewer than {crop}")
        return central(image, min(image.size) if crop is None else crop)

    return read


def _bad_image(where: str, found: str) -> DataError:
    return DataError.about(
        where,
        found=found,
        expected="an image like the others of the data set",
        action="Get the archive again; `skip_bad_files: true` leaves such images out.",
    )


# --------------------------------------------------------------------------------------------------
# Faces


def split_groups(num: int, test_share: float, seed: int) -> dict[str, NDArray[np.int64]]:
    """Shuffle once: the first of two equal shares is the source side, the second the target side.

    What is left, ``test_share`` of all up to rounding, is the test; with 0.1 the shares are 45, 45
    and 10 %. Of ORL's 40 people: 18, 18 and 4.

    Args:
        num: photographs, or people where photographs of one person must stay together.
        test_share: in (0, 1).
        seed: of the order.

    Raises:
        DataError: a share is empty.
    """
    each = round(num * (1 - test_share) / 2)
    if each < 1 or num - 2 * each < 1:
        raise DataError.about(
            "faces",
            found=f"{num} photographs or people for the test_share {test_share:g}",
            expected="at least one on each side and one for the test",
            action="Change test_share.",
        )
    order = np.random.default_rng(seed).permutation(num)
    return {
        "source": order[:each],
        "target": order[each : 2 * each],
        "test": order[2 * each :],
    }


def prepare_faces(
    archive: Path,
    out: Path,
    *,
    dataset: str,
    sha256: str,
    image_size: int,
    low_size: int,
    test_share: float,
    seed: int,
    skip_bad_files: bool,
) -> None:
    """Write blurred and sharp faces, unpaired but for the test images.

    Sharp: the central square (CelebA: of 140 pixels) resized to ``image_size``. Blurred: the same
    square resized to ``low_size`` and then to ``image_size``. ``out`` gets source_train.npy
    (blurred), target_train.npy (sharp, of others), source_test.npy and target_test.npy (row i of
    both is one photograph), uint8 [n, 3 (orl: 1), image_size, image_size], and meta.json.

    Args:
        archive: as fetched.
        out: folder to write to; created if needed.
        dataset: "celeba", or "orl", where no person is on two sides.
        sha256: of the archive, for meta.json.
        image_size: side in pixels.
        low_size: side in pixels of what the blurred faces are enlarged from.
        test_share: see :func:`split_groups`.
        seed: of the split.
        skip_bad_files: leave out images that cannot be read, and list them in meta.json.

    Raises:
        DataError: the archive is not a plain one, or has a bad image that is not left out.
    """
    limits = celeba.LIMITS if dataset == "celeba" else orl.LIMITS
    crop = celeba.CROP_PIXELS if dataset == "celeba" else None
    with open_zip(archive, limits) as bundle, staged_folder(out) as staging:
        if dataset == "celeba":
            groups = [[name] for name in celeba.photographs(bundle)]
        else:
            groups = orl.people()
        chosen = split_groups(len(groups), test_share, seed)
        names = {part: [n for g in rows for n in groups[g]] for part, rows in chosen.items()}
        channels = 1 if dataset == "orl" else 3
        low, high = _face_views(image_size, low_size, pixels if channels == 3 else grey_pixels)
        side = _Side(_squares(bundle, crop), skip_bad=skip_bad_files, channels=channels)
        num_source = side.write(staging, names["source"], {"source_train": low}, image_size)
        num_target = side.write(staging, names["target"], {"target_train": high}, image_size)
        test = {"source_test": low, "target_test": high}
        num_test = side.write(staging, names["test"], test, image_size)
        meta = {
            "data": dataset,
            "archive": {"name": archive.name, "sha256": sha256},
            "image_size": image_size,
            "low_size": low_size,
            "crop": crop or "central square",
            "test_share": test_share,
            "seed": seed,
            "people_or_photographs": {part: len(rows) for part, rows in chosen.items()},
            "counts": {
                "source_train": num_source,
                "source_test": num_test,
                "target_train": num_target,
                "target_test": num_test,
            },
            "skipped": side.skipped,
            "value_range": _VALUE_RANGE,
        }
        write_meta(staging, meta)


def _face_views(image_size: int, low_size: int, as_array: View) -> tuple[View, View]:
    def low(image: Image.Image) -> Pixels:
        return as_array(resized(resized(image, low_size), image_size))

    def high(image: Image.Image) -> Pixels:
        return as_array(resized(image, image_size))

    return low, high


# --------------------------------------------------------------------------------------------------
# Classes


def prepare_image_classes(
    raw: Path,
    out: Path,
    *,
    dataset: str,
    sha256: str | None,
    source_class: str,
    target_class: str,
    image_size: int,
    skip_bad_files: bool,
) -> None:
    """Write one class of images against another, with the data set's own test images.

    ``out`` gets {source,target}_{train,test}.npy, uint8 [n, 3, image_size, image_size], in the
    order of the data set, and meta.json.

    Args:
        raw: afhq.zip, or the folder of CIFAR-10's arrays.
        out: folder to write to; created if needed.
        dataset: "afhq" or "cifar10".
        sha256: of afhq.zip, for meta.json; None for CIFAR-10.
        source_class: one of the data set's classes.
        target_class: another.
        image_size: side in pixels.
        skip_bad_files: leave out images that cannot be read, and list them in meta.json.

    Raises:
        DataError: the data is missing or damaged, or has a bad image that is not left out.
    """

    def view(image: Image.Image) -> Pixels:
        return pixels(resized(image, image_size))

    counts, origin = {}, {}
    skipped: list[str] = []
    with contextlib.ExitStack() as stack:
        if dataset == "afhq":
            bundle = stack.enter_context(open_zip(raw, afhq.LIMITS))
            origin = {"archive": {"name": raw.name, "sha256": sha256}}
        staging = stack.enter_context(staged_folder(out))
        for side_name, class_name in (("source", source_class), ("target", target_class)):
            for part in ("train", "test"):
                name = f"{side_name}_{part}"
                if dataset == "afhq":
                    keys: Sequence[Any] = afhq.photographs(bundle, part, class_name)
                    side = _Side(_squares(bundle), skip_bad=skip_bad_files)
                else:
                    keys = list(cifar10.load_class(raw, part, class_name))
                    side = _Side(_of_array, skip_bad=skip_bad_files)
                counts[name] = side.write(staging, keys, {name: view}, image_size)
                skipped += side.skipped
        meta = {
            "data": dataset,
            **origin,
            "source_class": source_class,
            "target_class": target_class,
            "image_size": image_size,
            "counts": counts,
            "skipped": skipped,
            "value_range": _VALUE_RANGE,
        }
        write_meta(staging, meta)


def _of_array(image: Pixels) -> Image.Image:
    """uint8 [3, height, width] as Pillow's image."""
    from PIL import Image

    return Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
