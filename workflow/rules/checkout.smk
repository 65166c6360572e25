# Where this workflow lies: its rules run a Python package, scripts and notebooks that lie beside them.
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile

from snakemake.exceptions import WorkflowError
from snakemake.sourcecache import HostingProviderFile

CHECKOUTS = Path(".snakemake/checkouts")
TREE = ("src", "workflow", "params.yaml", "requirements.lock")
"""What rules run and depend on."""


def checkout(file):
    """The tree of a version whose rules Snakemake reads out of its own bare clone.

    In the working folder, which the nodes of a cluster see too.
    """
    git = ("git", "-C", str(file.hosted_repo.repo_clone))
    rev_parse = (*git, "rev-parse", "--verify", f"{file.ref}^{{commit}}")
    commit = subprocess.check_output(rev_parse, text=True).strip()
    folder = CHECKOUTS / commit
    if not folder.exists():
        archive = subprocess.check_output((*git, "archive", commit, *TREE))
        CHECKOUTS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CHECKOUTS) as temporary:
            with tarfile.open(fileobj=io.BytesIO(archive)) as files:
                files.extractall(f"{temporary}/tree", filter="data")
            os.rename(f"{temporary}/tree", folder)
    return folder


def root(file):
    """The folder of this repository, given that of its rules."""
    if isinstance(file, HostingProviderFile):
        return checkout(file).resolve()
    path = file.get_path_or_uri(secret_free=True)
    if "://" in path:
        raise WorkflowError(
            f"found the workflow at {path}, expected a path, github(...) or gitlab(...): its"
            " sources are more than its rules, and elsewhere they cannot be had."
        )
    return Path(path).resolve().parents[1]


# Not always the working folder: another Snakefile may use this one as a module, and Snakemake may
# run with --directory. params.yaml, data and results are the working folder's.
ROOT = root(workflow.current_basedir)
IS_AT_HOME = ROOT == Path.cwd().resolve()

if not IS_AT_HOME and not Path("params.yaml").exists():
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    print(
        f"params.yaml: copied from {ROOT}, to be changed here; it is what is run.",
        file=sys.stderr,
    )
