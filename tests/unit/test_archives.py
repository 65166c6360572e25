"""Archives that lead outside, explode, or are damaged; and images that are none."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from entropic_ot.data.archives import ArchiveLimits, decode_image, open_zip, read_tar_gz
from entropic_ot.errors import DataError

LIMITS = ArchiveLimits(num_members=10, member_bytes=4 * 2**20, total_bytes=6 * 2**20, ratio=100.0)


def make_zip(path: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for info, contents in members:
            bundle.writestr(info, contents, zipfile.ZIP_DEFLATED)
    return path


def make_tar(path: Path, *members: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tape:
        for info, contents in members:
            info.size = len(contents)
            tape.addfile(info, io.BytesIO(contents))
    return path


def zip_entry(name: str, *, mode: int = stat.S_IFREG | 0o644) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo()
    info.filename = info.orig_filename = name
    info.external_attr = mode << 16
    return info


def tar_entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def png(size: tuple[int, int] = (4, 3)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (10, 20, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def noise(size: int) -> bytes:
    return np.random.default_rng(0).bytes(size)


# --- zip ------------------------------------------------------------------------------------------


def test_files_of_a_plain_zip_are_read(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", ("folder/", b""), ("folder/a", b"one"), ("b", b""))
    with open_zip(path, LIMITS) as bundle:
        assert bundle.names == ("folder/a", "b")
        assert (bundle.read("folder/a"), bundle.read("b")) == (b"one", b"")
        with pytest.raises(DataError, match=r"a\.zip, member c: found no such member"):
            bundle.read("c")


OUTSIDE = ("../a", "a/../../b", "/etc/passwd", "a//b", "C:/a", "a\\..\\b", "a\nb", "a\0.jpg", "")


@pytest.mark.parametrize("name", OUTSIDE, ids=ascii)
def test_a_zip_with_a_name_that_leads_outside_is_refused(tmp_path: Path, name: str) -> None:
    path = make_zip(tmp_path / "a.zip", ("good", b"1"), (zip_entry(name), b"2"))
    with pytest.raises(DataError, match="leads outside"), open_zip(path, LIMITS):
        pass


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK])
def test_a_zip_with_a_link_or_a_device_is_refused(tmp_path: Path, kind: int) -> None:
    path = make_zip(tmp_path / "a.zip", (zip_entry("a", mode=kind | 0o777), b"/etc/passwd"))
    with pytest.raises(DataError, match="member a: found a link or a device"):
        open_zip(path, LIMITS).__enter__()


def _many(path: Path) -> None:
    make_zip(path, *[(f"file{i}", b"") for i in range(11)])


def _large(path: Path) -> None:
    make_zip(path, ("a", noise(4 * 2**20 + 1)))


def _large_together(path: Path) -> None:
    make_zip(path, *[(f"file{i}", noise(3 * 2**20)) for i in range(3)])


def _bomb(path: Path) -> None:
    make_zip(path, ("a", bytes(3 * 2**20)))


def _bomb_of(method: int) -> Callable[[Path], None]:
    """16 MiB that pack to nothing and that the directory calls 100 bytes."""

    def make(path: Path) -> None:
        with zipfile.ZipFile(path, "w", method) as bundle:
            bundle.writestr("a", bytes(2**24))
        contents = bytearray(path.read_bytes())
        at = contents.rindex(b"PK\x01\x02") + 24
        contents[at : at + 4] = struct.pack("<I", 100)
        path.write_bytes(contents)

    return make


def _twice(path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        make_zip(path, ("a", b"1"), ("a", b"2"))


def _encrypted(path: Path) -> None:
    contents = bytearray(make_zip(path, ("a", b"12345678901234567890")).read_bytes())
    at = contents.rindex(b"PK\x01\x02") + 8
    contents[at] |= 1  # the flag in the central directory
    path.write_bytes(contents)


def _cut(path: Path) -> None:
    path.write_bytes(make_zip(path, ("a", noise(1000))).read_bytes()[:500])


def _no_zip(path: Path) -> None:
    path.write_bytes(b"<html>quota exceeded</html>" * 100)


HOSTILE_ZIPS: dict[str, tuple[Callable[[Path], None], str]] = {
    "too many members": (_many, "11 members; expected 10 at most"),
    "a member too large": (_large, "member a: found 4194305 bytes"),
    "all too large": (_large_together, "unpacked bytes or more; expected 6291456 at most"),
    "a bomb": (_bomb, "packed into .* a ratio of 100 at most"),
    "a bomb in bzip2": (_bomb_of(zipfile.ZIP_BZIP2), "member a: found compression method 12"),
    "a bomb in LZMA": (_bomb_of(zipfile.ZIP_LZMA), "member a: found compression method 14"),
    "a name twice": (_twice, "a second member of this name"),
    "encrypted": (_encrypted, "an encrypted member"),
    "cut off": (_cut, "no readable zip file"),
    "a web page": (_no_zip, "no readable zip file"),
    "missing": (lambda path: None, "no readable zip file"),
}


@pytest.mark.parametrize("what", HOSTILE_ZIPS)
def test_a_hostile_zip_is_refused_before_anything_is_read(tmp_path: Path, what: str) -> None:
    make, words = HOSTILE_ZIPS[what]
    path = tmp_path / "a.zip"
    make(path)
    with pytest.raises(DataError, match=words), open_zip(path, LIMITS):
        pass


def test_a_member_whose_size_in_the_directory_is_a_lie_is_an_error(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", ("a", noise(5000)))
    contents = bytearray(path.read_bytes())
    at = contents.rindex(b"PK\x01\x02") + 24
    contents[at : at + 4] = struct.pack("<I", 100)  # says 100 bytes, unpacks to 5000
    path.write_bytes(contents)
    with open_zip(path, LIMITS) as bundle, pytest.raises(DataError, match="member a"):
        bundle.read("a")


def test_a_deflated_bomb_whose_size_is_a_lie_is_unpacked_no_further_than_it_says(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.zip"
    _bomb_of(zipfile.ZIP_DEFLATED)(path)
    tracemalloc.start()
    with open_zip(path, LIMITS) as bundle, pytest.raises(DataError, match="member a"):
        bundle.read("a")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20  # of 16 MiB


def test_a_damaged_member_is_an_error_that_names_archive_and_member(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", ("good", b"1"), ("bad", noise(5000)))
    contents = bytearray(path.read_bytes())
    contents[2000] ^= 0xFF
    path.write_bytes(contents)
    with open_zip(path, LIMITS) as bundle:
        assert bundle.read("good") == b"1"
        with pytest.raises(DataError, match=r"a\.zip, member bad: found a damaged member"):
            bundle.read("bad")


# --- tar ------------------------------------------------------------------------------------------


def test_wanted_files_of_a_plain_tar_are_read(tmp_path: Path) -> None:
    path = make_tar(
        tmp_path / "a.tar.gz",
        (tar_entry("d", tarfile.DIRTYPE), b""),
        (tar_entry("d/a"), b"one"),
        (tar_entry("d/b"), b"two"),
    )
    assert read_tar_gz(path, ["d/b"], LIMITS) == {"d/b": b"two"}
    with pytest.raises(DataError, match=r"member d/c: found no such member"):
        read_tar_gz(path, ["d/c"], LIMITS)
    with pytest.raises(DataError, match="member d: found a folder"):
        read_tar_gz(path, ["d"], LIMITS)


HOSTILE_TAR_MEMBERS = {
    "outside": (tar_entry("../a"), "leads outside"),
    "absolute": (tar_entry("/etc/passwd"), "leads outside"),
    "symbolic link": (tar_entry("a", tarfile.SYMTYPE, "/etc/passwd"), "a link or a device"),
    "hard link": (tar_entry("a", tarfile.LNKTYPE, "good"), "a link or a device"),
    "device": (tar_entry("a", tarfile.CHRTYPE), "a link or a device"),
    "pipe": (tar_entry("a", tarfile.FIFOTYPE), "a link or a device"),
}


@pytest.mark.parametrize("what", HOSTILE_TAR_MEMBERS)
def test_a_tar_with_a_hostile_member_is_refused(tmp_path: Path, what: str) -> None:
    info, words = HOSTILE_TAR_MEMBERS[what]
    path = make_tar(tmp_path / "a.tar.gz", (tar_entry("good"), b"1"), (info, b""))
    with pytest.raises(DataError, match=words):
        read_tar_gz(path, ["good"], LIMITS)


def _tar_many(path: Path) -> None:
    make_tar(path, *[(tar_entry(f"f{i}"), b"") for i in range(11)])


def _tar_large(path: Path) -> None:
    make_tar(path, (tar_entry("a"), bytes(4 * 2**20 + 1)))


def _tar_large_together(path: Path) -> None:
    make_tar(path, *[(tar_entry(f"f{i}"), bytes(3 * 2**20)) for i in range(3)])


def _tar_twice(path: Path) -> None:
    make_tar(path, (tar_entry("a"), b"1"), (tar_entry("a"), b"2"))


def _tar_long_header(path: Path) -> None:
    """A name of 16 MiB in an extended header, which packs to nothing."""
    info = tar_entry("a" * 2**24)
    info.size = 0
    path.write_bytes(gzip.compress(info.tobuf(tarfile.PAX_FORMAT) + bytes(1024), 1))


def _tar_cut(path: Path) -> None:
    path.write_bytes(make_tar(path, (tar_entry("a"), noise(5000))).read_bytes()[:3000])


def _tar_no_gzip(path: Path) -> None:
    path.write_bytes(b"<html>not found</html>")


HOSTILE_TARS: dict[str, tuple[Callable[[Path], None], str]] = {
    "too many members": (_tar_many, "more members; expected 10 at most"),
    "a member too large": (_tar_large, "member a: found 4194305 bytes"),
    "all too large": (_tar_large_together, "unpacked bytes or more"),
    "a name twice": (_tar_twice, "a second member"),
    "a bomb in a header": (_tar_long_header, "more than .* unpacked bytes"),
    "cut off": (_tar_cut, "a damaged"),
    "a web page": (_tar_no_gzip, "a damaged"),
}


@pytest.mark.parametrize("what", HOSTILE_TARS)
def test_a_hostile_tar_is_refused(tmp_path: Path, what: str) -> None:
    make, words = HOSTILE_TARS[what]
    path = tmp_path / "a.tar.gz"
    make(path)
    with pytest.raises(DataError, match=words):
        read_tar_gz(path, ["a"], LIMITS)


# --- images ---------------------------------------------------------------------------------------


def test_an_image_is_decoded() -> None:
    image = decode_image(png(), "here")
    assert (image.size, image.getpixel((0, 0))) == ((4, 3), (10, 20, 30))


def _png_of_size(width: int, height: int) -> bytes:
    """A header that claims a size, without the pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk + png()[33:]


BAD_IMAGES = {
    "empty": (b"", "no readable image"),
    "text": (b"not an image", "no readable image"),
    "truncated png": (png((64, 64))[:-30], "no readable image"),
    "gif": (b"GIF89a" + bytes(50), "no readable image"),
    "too many pixels": (_png_of_size(5000, 5000), "5000 x 5000 pixels; expected 20000000"),
    "far too many pixels": (_png_of_size(100_000, 100_000), "image|pixels"),
    "more pixels than data": (_png_of_size(400, 400), "no readable image"),
}


@pytest.mark.parametrize("what", BAD_IMAGES)
def test_a_bad_image_is_an_error_that_names_it(what: str) -> None:
    contents, words = BAD_IMAGES[what]
    with pytest.raises(DataError, match=words) as caught:
        decode_image(contents, "a.zip, member x.png")
    assert str(caught.value).startswith("a.zip, member x.png: found")


def test_a_truncated_jpeg_is_an_error() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(
        buffer, "JPEG"
    )
    decode_image(buffer.getvalue(), "here")
    with pytest.raises(DataError, match="no readable image"):
        decode_image(buffer.getvalue()[:-200], "here")
