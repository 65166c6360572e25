"""Execute a notebook that is kept as a .py file (jupytext) and write it as .ipynb and as HTML.

The result is the same, byte for byte, whenever the notebook and what it reads are the same: times,
random cell ids, memory addresses and the names of temporary files are taken out.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jupytext
import nbformat
import papermill
from nbconvert import HTMLExporter
from traitlets.config import Config

from entropic_ot.data.leftovers import remove_leftovers
from entropic_ot.errors import EntropicOTError
from entropic_ot.files import write_text
from entropic_ot.inputs import contents_of, expect_unchanged

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+>")
# The path of a Unix socket may have 107 characters.
_LONGEST_SOCKET_FOLDER = 90
_CELL_FILE = re.compile(r"/\S*/ipykernel_\d+/\d+\.py")


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Take out of an executed notebook all that differs from run to run; changes it in place."""
    notebook.metadata.pop("papermill", None)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number}"
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = _normalised_text(output["text"])
            for kind, content in output.get("data", {}).items():
                if kind.startswith("text/") and isinstance(content, str):
                    output["data"][kind] = _normalised_text(content)
    return notebook


def _normalised_text(text: str) -> str:
    return _CELL_FILE.sub("cell", _ADDRESS.sub(">", text))


def run(source: Path, executed: Path, html: Path, parameters: dict[str, object]) -> None:
    """Execute `source` with `parameters`, then write both files, each whole or not at all.

    What the notebook itself writes has appeared by then; the engines throw away what a failed job
    leaves.

    Raises:
        DataError: a file that it reads (source, this script, parameters that are names of files)
            was changed while it ran.
    """
    before = contents_of([source, Path(__file__), *_files_in(parameters.values())])
    for path in (executed, html):
        remove_leftovers(path.parent, f".{path.name}.", ".part")
    with _kernel_settings() as settings:
        notebook = papermill.execute_notebook(
            _with_kernel(jupytext.read(source)),
            None,
            parameters,
            cwd=os.getcwd(),
            progress_bar=False,
            config=settings,
            # What goes wrong in a cell is raised here; the kernel's own log says nothing more.
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],
        )
    notebook = normalise(notebook)
    # Nothing is loaded from the network when the page is read.
    exporter = HTMLExporter(require_js_url="", mathjax_url="")
    page, _ = exporter.from_notebook_node(notebook, resources={"metadata": {"name": executed.stem}})
    expect_unchanged(before)
    write_text(html, page)
    write_text(executed, nbformat.writes(notebook) + "\n")


def _files_in(values: Iterable[object]) -> Iterator[Path]:
    """The files among the values of parameters."""
    for value in values:
        for word in value if isinstance(value, list) else [value]:
            if isinstance(word, str) and Path(word).is_file():
                yield Path(word)


@contextmanager
def _kernel_settings() -> Iterator[Config]:
    """A kernel that neither depends on this user's IPython nor meets other kernels.

    It talks through sockets in a folder of its own: notebooks that start at the same time have
    been seen to choose the same TCP port, after which one waits for ever.
    """
    folder = tempfile.mkdtemp(prefix="eot-")
    if len(folder) > _LONGEST_SOCKET_FOLDER:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="eot-", dir="/tmp")
    os.environ["IPYTHONDIR"] = folder
    os.environ["SOURCE_DATE_EPOCH"] = "0"  # the date that Matplotlib writes into a PDF
    try:
        yield Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/kernel"}})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _with_kernel(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The kernel of this environment, whatever the notebook's author had."""
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n\n")[0], fromfile_prefix_chars="@"
    )
    parser.add_argument("source", type=Path, help="the notebook, a .py file in percent format")
    parser.add_argument("--notebook", type=Path, required=True, help="the executed notebook")
    parser.add_argument("--html", type=Path, required=True, help="the same as a page")
    # The parameters that every figure notebook has in its cell tagged `parameters`.
    parser.add_argument("--scale", required=True)
    parser.add_argument("--metrics", required=True, help="metrics.csv")
    parser.add_argument("--out", required=True, help="path of the figure without its ending")
    parser.add_argument("--samples", nargs="*", default=[], help="sample files, or @LIST of them")
    parser.add_argument(
        "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
        help="one more parameter of this notebook, as text",
    )  # fmt: skip
    arguments = parser.parse_args()
    for folder in (arguments.notebook.parent, arguments.html.parent, Path(arguments.out).parent):
        folder.mkdir(parents=True, exist_ok=True)
    parameters = {name: getattr(arguments, name) for name in ("scale", "metrics", "out", "samples")}
    parameters |= dict(arguments.parameter)
    run(arguments.source, arguments.notebook, arguments.html, parameters)


if __name__ == "__main__":
    try:
        main()
    except EntropicOTError as error:
        sys.exit(f"run_notebook.py: error: {error}")
    except OSError as error:  # a folder that cannot be written to, a full disk
        sys.exit(
            f"run_notebook.py: error: {error.filename}: found {error.strerror or error}, expected "
            "a path that can be read or written. Check it, its permissions and the disk."
        )
