"""Write Snakemake's HTML report, with pages of any size readable in it.

Snakemake shows a page of the report in a frame whose address is the page itself (a data: URI), and
Chromium opens no such address of more than 2 MB. So the frame is given a file in the browser's
memory (a Blob) instead. Everything else is Snakemake's; nothing is loaded from the network.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from entropic_ot.errors import DataError, EntropicOTError
from entropic_ot.files import write_text

FRAME = "{ src: this.props.app.state.contentPath, className:"
FRAME_OF_FILE = "{ src: asFile(this.props.app.state.contentPath), className:"
SCRIPT = """<script>
const filesOfUris = new Map();
function asFile(uri) {
    if (!filesOfUris.has(uri)) {
        const comma = uri.indexOf(",");
        const bytes = Uint8Array.from(atob(uri.slice(comma + 1)), (c) => c.charCodeAt(0));
        const isPdf = uri.startsWith("data:application/pdf");
        const type = isPdf ? "application/pdf" : "text/html;charset=utf-8";
        filesOfUris.set(uri, URL.createObjectURL(new Blob([bytes], { type })));
    }
    return filesOfUris.get(uri);
}
</script>
"""


def with_files(report: str) -> str:
    """The text of a report whose frames show Blobs; DataError when it is not as expected."""
    head = "</head>"
    if report.count(FRAME) != 1 or head not in report:
        raise DataError.about(
            "the report", found=f"{report.count(FRAME)} frames for pages",
            expected="1, as Snakemake 9.27 writes it",
            action="Install the versions of requirements.lock, or use `snakemake --report FILE`.",
        )  # fmt: skip
    report = report.replace(FRAME, FRAME_OF_FILE)
    return report.replace(head, SCRIPT + head, 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("out", type=Path, help="file to write (.html)")
    parser.add_argument("snakemake", nargs="*", help="options for Snakemake, after --")
    arguments = parser.parse_args()
    metadata = Path(__file__).resolve().parents[1] / "report" / "metadata.yaml"
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "report.html"
        command = ["snakemake", "--report", str(made), "--report-metadata", str(metadata)]
        status = subprocess.run([*command, *arguments.snakemake]).returncode
        if status != 0:
            print(
                "The report needs all results: run `make all` first, or again if some are missing.",
                file=sys.stderr,
            )
            return status
        write_text(arguments.out, with_files(made.read_text(encoding="utf-8")))
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except EntropicOTError as error:
        sys.exit(str(error))
