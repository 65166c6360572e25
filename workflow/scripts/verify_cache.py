"""Compare every object in DVC's cache with the hash that is its name.

DVC takes an object that is read-only for unchanged, so neither `dvc checkout` nor `dvc status`
notices a bit that a disk has flipped in it. This reads all of them: `make dvc-verify`, or

    python workflow/scripts/verify_cache.py [--remove] [FOLDER]

FOLDER: a cache or a remote in a folder; by default this project's cache. With --remove, damaged
objects are deleted, so that `dvc fetch` brings them again from a remote, or `dvc commit` from the
results.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from entropic_ot.files import file_digests

_OBJECT = re.compile(r"([0-9a-f]{2})/([0-9a-f]{30})(\.dir)?$")


def damaged_objects(folder: Path) -> Iterator[Path]:
    """The objects whose contents have another md5 than their names say."""
    for path in sorted((folder / "files" / "md5").glob("??/*")):
        match = _OBJECT.search(path.as_posix())
        if match and file_digests(path, ["md5"])["md5"] != match[1] + match[2]:
            yield path


def _cache() -> Path:
    done = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"dvc cache dir: {done.stderr.strip()}")
    return Path(done.stdout.strip())


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare objects in DVC's cache with their names.")
    parser.add_argument("--remove", action="store_true", help="delete what is damaged")
    parser.add_argument("folder", nargs="?", type=Path, help="default: this project's cache")
    args = parser.parse_args(argv)
    folder = args.folder or _cache()
    damaged = list(damaged_objects(folder))
    for path in damaged:
        if args.remove:
            path.unlink()
        print(f"{path}: found another md5 than its name{', deleted' if args.remove else ''}")
    if not damaged:
        print(f"{folder}: every object is what its name says")
        return 0
    print(
        "Next: `dvc fetch` (or pull) brings such objects from a remote, `dvc commit --force` from "
        "whole results; `dvc checkout --force` then replaces copies of the damaged ones."
        if args.remove
        else "Run again with --remove to delete them."
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
