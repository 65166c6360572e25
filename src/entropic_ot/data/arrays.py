"""The user's own data: .npy and .npz arrays and folders of images, checked and split.

Also the two helpers with which every data set is written: arrays that can be memory-mapped, in a
folder that changes from one whole set of files to the next.

Values are float32 used as they are, or uint8 images, where 0..255 stands for [-1, 1] by
x / 127.5 - 1.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from entropic_ot.data.leftovers import process_prefix, remove_leftovers
from entropic_ot.errors import ConfigError, DataError
from entropic_ot.files import file_sha256, naming
from entropic_ot.inputs import contents_of, expect_unchanged
from entropic_ot.strict import shown

if TYPE_CHECKING:
    from PIL import Image

META_NAME = "meta.json"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
_BLOCK_BYTES = 32 * 2**20
_VECTOR_DIMS, _IMAGE_DIMS = 2, 4
_FLOAT32_MAX = float(np.finfo(np.float32).max)


# --------------------------------------------------------------------------------------------------
# Reading


def load_array_or_folder(
    path: Path, *, image_size: int | None = None, key: str | None = None
) -> NDArray[Any]:
    """Read a user's array or image folder and check that it can be trained on.

    Args:
        path: a .npy file (memory-mapped, not copied), a .npz file, or a folder of .png and .jpg
            files. Of a folder the files directly inside are read in the order of their names;
            each is turned upright by its EXIF tag, converted to RGB (transparency is dropped),
            cropped to its central square and resized with Pillow's bilinear filter.
        image_size: side of the images in pixels. A folder's images are brought to it; None keeps
            them, and all must then have one size. An array of images must have it already.
        key: name of the array inside a .npz file; needed where it holds several.

    Returns:
        float [n, dim], float [n, channels, height, width] or uint8 [n, channels, height, width];
        uint8 [n, 3, size, size] for a folder.

    Raises:
        DataError: missing, unreadable, empty, of another type or shape, or not finite.
    """
    try:
        is_folder, is_there = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:  # a name that is too long, or with a NUL
        raise DataError.about(
            "the path of the data",
            found=f"{shown(str(path))} ({error})",
            expected="the name of a file or folder",
            action="Correct it.",
        ) from None
    if is_folder:
        return _load_image_folder(path, image_size)
    if not is_there:
        raise DataError.about(
            path,
            found="nothing",
            expected="a .npy file, a .npz file or a folder of images",
            action="Check the path; a relative one starts at the folder the command is run in.",
        )
    if path.suffix == ".npz":
        array = _load_npz(path, key)
    elif path.suffix == ".npy":
        array = _load_npy(path)
    else:
        raise DataError.about(
            path,
            found=f"a file whose name ends in {path.suffix!r}",
            expected="a .npy file, a .npz file or a folder of images",
            action="Save the data with numpy.save.",
        )
    _check_array(array, path, image_size)
    return array


def check_pair(
    source: NDArray[Any], target: NDArray[Any], names: tuple[str, str] = ("source", "target")
) -> None:
    """Check that samples of the two sides live in the same space.

    Args:
        source: [n, ...].
        target: [m, ...].
        names: what to call the two in the message, for instance their paths.

    Raises:
        DataError: the shapes differ beyond the first axis, or one holds uint8 and one floats.
    """
    if source.shape[1:] != target.shape[1:]:
        raise DataError.about(
            f"{names[0]} and {names[1]}",
            found=f"samples of shape {source.shape[1:]} and {target.shape[1:]}",
            expected="the same shape on both sides",
            action="Bring both to the same features or to the same image size.",
        )
    if (source.dtype == np.uint8) != (target.dtype == np.uint8):
        raise DataError.about(
            f"{names[0]} and {names[1]}",
            found=f"{source.dtype} and {target.dtype} values",
            expected="uint8 on both sides or floats on both sides, as their ranges differ",
            action="Convert the uint8 side by x / 127.5 - 1 to float32.",
        )


def _load_npy(path: Path) -> NDArray[Any]:
    """One memory-mapped array; a zip file by this name is no array, and neither is text."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # of many kinds: a header is parsed as Python, a file as a zip
        raise _unreadable(path, error) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise _unreadable(path, ValueError("it is a .npz file: name it so"))
    return array


def _load_npz(path: Path, key: str | None) -> NDArray[Any]:
    try:
        with np.load(path, allow_pickle=False) as bundle:
            names = list(bundle.files)
            chosen = names[0] if key is None and len(names) == 1 else key
            if chosen in names:
                array = bundle[chosen]
                if not isinstance(array, np.ndarray):
                    raise ValueError(f"its member {chosen!r} is no array")
                return array
    except Exception as error:  # zipfile, zlib and numpy raise many kinds for a damaged file
        raise _unreadable(path, error) from error
    wanted = "one array" if key is None else f"an array named {key!r}"
    raise DataError.about(
        path,
        found=f"arrays named {', '.join(map(repr, names[:10])) or '(none)'}",
        expected=wanted,
        action="Name one of the arrays with key.",
    )


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError.about(
        path,
        found=f"a file that numpy cannot read ({type(error).__name__}: {str(error)[:200]})",
        expected="a whole numeric array, without pickled Python objects",
        action=(
            "Save it again with numpy.save, rows of equal length stacked into one float32 array."
        ),
    )


def _check_array(array: NDArray[Any], path: Path, image_size: int | None) -> None:
    is_float = np.issubdtype(array.dtype, np.floating)
    is_image = array.ndim == _IMAGE_DIMS
    if array.ndim not in (_VECTOR_DIMS, _IMAGE_DIMS):
        raise DataError.about(
            path,
            found=f"an array of shape {array.shape}",
            expected="[samples, features] or [samples, channels, height, width]",
            action="Reshape it; one feature alone is [samples, 1].",
        )
    if not is_float and not (is_image and array.dtype == np.uint8):
        raise DataError.about(
            path,
            found=f"{array.dtype} values in shape {array.shape}",
            expected="floats, or uint8 for images [samples, channels, height, width]",
            action="Convert it with array.astype(numpy.float32).",
        )
    if array.size == 0:
        raise DataError.about(
            path,
            found=f"an empty array of shape {array.shape}",
            expected="at least one sample with at least one feature",
            action="Check how the file was made.",
        )
    if image_size is not None and array.shape[2:] != (image_size, image_size):
        raise DataError.about(
            path,
            found=f"samples of shape {array.shape[1:]}",
            expected=f"images of {image_size} x {image_size} pixels, as image_size says",
            action="Arrays are not resized: resize them beforehand, or leave image_size out.",
        )
    if is_float:
        _check_finite(array, path)


def _check_finite(array: NDArray[Any], path: Path) -> None:
    """Refuse NaN, infinity, and numbers that float32 cannot hold; reads the file block by block."""
    num_bad, first = 0, ""
    for start, block in _blocks(array):
        with np.errstate(invalid="ignore"):
            bad = ~(np.abs(block) <= _FLOAT32_MAX)
        count = int(bad.sum())
        if count and num_bad == 0:
            row, *place = (int(i) for i in np.unravel_index(bad.argmax(), bad.shape))
            first = f"{block[row, *place]:g} in row {start + row}, at {[start + row, *place]}"
        num_bad += count
    if num_bad:
        raise DataError.about(
            path,
            found=f"NaN, infinite or too large values: {num_bad}, the first {first}",
            expected="finite float32 values",
            action="Remove or repair these rows (rows are counted from 0).",
        )


def _blocks(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield (index of first row, rows) in pieces of about 32 MiB."""
    rows = max(1, _BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield start, array[start : start + rows]


# --------------------------------------------------------------------------------------------------
# Folders of images


def _load_image_folder(folder: Path, image_size: int | None) -> NDArray[np.uint8]:
    paths = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
    if not paths:
        raise DataError.about(
            folder,
            found="no images directly inside",
            expected=f"files ending in {', '.join(IMAGE_SUFFIXES)}",
            action="Name the folder that holds the images; folders inside it are not searched.",
        )
    first = _load_image(paths[0], image_size)
    images = np.empty((len(paths), *first.shape), dtype=np.uint8)
    images[0] = first
    for row, path in enumerate(paths[1:], start=1):
        image = _load_image(path, image_size)
        if image.shape != first.shape:
            raise DataError.about(
                path,
                found=f"{image.shape[2]} x {image.shape[1]} pixels",
                expected=f"{first.shape[2]} x {first.shape[1]} like {paths[0].name}",
                action="Set image_size, and all images are brought to one size.",
            )
        images[row] = image
    return images


def _load_image(path: Path, image_size: int | None) -> NDArray[np.uint8]:
    """One image as uint8 [3, height, width]."""
    from PIL import Image, ImageOps

    try:
        # Named formats: others, such as PostScript, start programs that are installed.
        with Image.open(path, formats=("PNG", "JPEG")) as opened:
            image = ImageOps.exif_transpose(opened)
            mode = image.mode
            upright = image.convert("RGB")
    except Exception as error:  # Pillow's decoders raise many kinds for a damaged file
        raise DataError.about(
            path,
            found=f"a file that cannot be decoded ({type(error).__name__}: {error})",
            expected="a whole PNG or JPEG image",
            action="Replace the file or remove it from the folder.",
        ) from error
    if mode.startswith(("I", "F")):  # Pillow clips these at 255 instead of scaling them
        raise DataError.about(
            path,
            found=f"more than 8 bits a channel (Pillow mode {mode})",
            expected="8 bits a channel",
            action="Convert the image to 8 bits, or save the data as a float32 .npy array.",
        )
    if image_size is not None:
        upright = _square(upright, image_size)
    return np.asarray(upright, dtype=np.uint8).transpose(2, 0, 1)


def _square(image: Image.Image, size: int) -> Image.Image:
    """Crop the central square of an image and bring it to ``size`` pixels."""
    from PIL import Image

    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.BILINEAR)


# --------------------------------------------------------------------------------------------------
# Writing


def prepare_arrays(
    source: Path,
    target: Path,
    out: Path,
    *,
    image_size: int | None,
    test_share: float,
    seed: int,
    source_key: str | None = None,
    target_key: str | None = None,
) -> None:
    """Check the two sides, split each into train and test, and write them for training.

    ``out`` gets source_train.npy, source_test.npy, target_train.npy, target_test.npy (float32, or
    uint8 for uint8 images) and meta.json, all of them or none. The test rows of each side are
    drawn without replacement by a generator of their own; rows keep their order.

    Args:
        source: path of the source samples, see :func:`load_array_or_folder`.
        target: path of the target samples.
        out: folder to write to; created if needed.
        image_size: side of the images in pixels, or None.
        test_share: share of each side that becomes the test set, in (0, 1); both parts get at
            least one row.
        seed: decides which rows are the test set.
        source_key: array inside the source's .npz file.
        target_key: array inside the target's .npz file.

    Raises:
        ConfigError: ``test_share`` is not in (0, 1).
        DataError: a side cannot be read, has a single row, was changed while it was read, or the
            sides do not fit together.
    """
    if not 0 < test_share < 1:
        raise ConfigError.about(
            "test_share",
            found=repr(test_share),
            expected="a number above 0 and below 1",
            action="0.1 keeps a tenth of the samples for testing.",
        )
    before = contents_of([source, target])
    sides = {
        "source": load_array_or_folder(source, image_size=image_size, key=source_key),
        "target": load_array_or_folder(target, image_size=image_size, key=target_key),
    }
    check_pair(sides["source"], sides["target"], (str(source), str(target)))
    paths = {"source": source, "target": target}
    counts = {}
    with staged_folder(out) as staging:
        for index, (side, array) in enumerate(sides.items()):
            rng = np.random.default_rng([seed, index])
            parts = _split(len(array), test_share, rng, where=paths[side])
            for part, rows in parts.items():
                write_rows(staging / f"{side}_{part}.npy", array, rows)
                counts[f"{side}_{part}"] = len(rows)
        meta = {
            "data": "arrays",
            "files": {side: path.name for side, path in paths.items()},
            "counts": counts,
            "sample_shape": list(sides["source"].shape[1:]),
            "dtype": str(_stored_dtype(sides["source"])),
            "test_share": test_share,
            "seed": seed,
        }
        write_meta(staging, meta)
        expect_unchanged(before)


def _split(
    num_rows: int, test_share: float, rng: np.random.Generator, *, where: Path
) -> dict[str, NDArray[np.int64]]:
    if num_rows < 2:
        raise DataError.about(
            where,
            found=f"{num_rows} sample",
            expected="at least 2, one to train on and one to test on",
            action="Give more samples.",
        )
    num_test = min(max(round(num_rows * test_share), 1), num_rows - 1)
    order = rng.permutation(num_rows)
    return {"train": np.sort(order[num_test:]), "test": np.sort(order[:num_test])}


def _stored_dtype(array: NDArray[Any]) -> np.dtype[Any]:
    return np.dtype(np.uint8 if array.dtype == np.uint8 else np.float32)


def write_rows(path: Path, array: NDArray[Any], rows: NDArray[np.int64]) -> None:
    """Write the chosen rows block by block, so that a memory-mapped array never fills memory."""
    shape = (len(rows), *array.shape[1:])
    out = new_array(path, _stored_dtype(array), shape)
    for start, block in _blocks(out):
        block[...] = array[rows[start : start + len(block)]]
    out.flush()


def new_array(path: Path, dtype: Any, shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """A memory-mapped .npy file to be filled, whose room on the disk is taken now.

    Otherwise a disk that is full would end the process by a signal, without a word, when it is
    written to.

    Raises:
        OSError: there is no room.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
    with naming(path), path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def write_meta(folder: Path, meta: Mapping[str, object]) -> None:
    """Write meta.json, which describes the arrays beside it, with their sha256 and sorted keys."""
    digests = {path.name: file_sha256(path) for path in sorted(folder.glob("*.npy"))}
    text = json.dumps({**meta, "sha256": digests}, indent=2, sort_keys=True) + "\n"
    (folder / META_NAME).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Yield an empty folder whose files move into ``out`` if the body succeeds.

    If it raises, ``out`` keeps the files it had. meta.json moves last, so that one which is newer
    than its arrays is never seen. Other files in ``out`` are left alone.

    Raises:
        OSError: with ``out`` as its file name: a full disk, a folder that cannot be written to.
    """
    out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(out, ".staging-")
    staging = Path(tempfile.mkdtemp(prefix=process_prefix(".staging-"), dir=out))
    try:
        with naming(out):
            yield staging
        for path in sorted(staging.iterdir(), key=lambda path: (path.name == META_NAME, path.name)):
            path.replace(out / path.name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def load_prepared(folder: Path, part: str) -> NDArray[Any]:
    """One array of a prepared data set, memory-mapped: source_train, target_test, ...

    Raises:
        DataError: the file is missing, is not a .npy file, or has another sha256 than meta.json
            says (one that was written before there were any is read as it is).
    """
    path = folder / f"{part}.npy"
    try:
        stat = path.stat()
    except FileNotFoundError:
        raise DataError.about(
            path,
            found="no such file",
            expected="an array of a prepared data set",
            action="`entropic-ot prepare` writes it (the workflow's rule `prepare`).",
        ) from None
    _check_prepared(path, stat.st_mtime_ns, stat.st_size)
    return _load_npy(path)


@functools.cache
def _check_prepared(path: Path, _mtime_ns: int, _size: int) -> None:
    """Compare a prepared array with the sha256 in meta.json, once a process."""
    meta = path.parent / META_NAME
    try:
        expected = json.loads(meta.read_text())["sha256"][path.name]
    except (FileNotFoundError, KeyError):
        return
    except (ValueError, TypeError) as error:
        raise DataError.about(
            meta,
            found=f"{type(error).__name__}: {error}",
            expected="the record of a prepared data set, in JSON",
            action="Delete it and run the rule `prepare` (or the same workflow command) again.",
        ) from None
    found = file_sha256(path)
    if found != expected:
        raise DataError.about(
            path,
            found=f"an array with sha256 {found}",
            expected=f"{expected}, as in {META_NAME} beside it",
            action="It was changed or damaged after it was prepared: delete it and run the rule "
            "`prepare` (or the same workflow command) again.",
        )
