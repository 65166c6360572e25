"""The plugin that repairs two things of Snakemake."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from snakemake_logger_plugin_resourcefix import _is_snakemake, reevaluate_once, with_separator

SNAKEFILE = """\
rule all:
    default_target: True
    output: "made.txt"
    resources: gpu=1
    shell: "echo all > {output}"
rule other:
    output: "other.txt"
    shell: "echo other > {output}"
"""


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("--cores 8 --resources gpu=1 all", "--cores 8 --resources gpu=1 -- all"),
        ("--resources gpu=1 all", "--resources gpu=1 -- all"),
        ("--res gpu=1 all", "--res gpu=1 -- all"),
        ("--resources gpu=1 mem_mb=1000 all", "--resources gpu=1 mem_mb=1000 -- all"),
        ("--resources gpu=1 a/b.txt c.txt", "--resources gpu=1 -- a/b.txt c.txt"),
        ("-n --cores 8 --resources gpu=1 all", "-n --cores 8 --resources gpu=1 -- all"),
    ],
)
def test_targets_after_resources(given: str, wanted: str) -> None:
    assert with_separator(given.split()) == wanted.split()


@pytest.mark.parametrize(
    "given",
    [
        "",
        "all",
        "--cores 8",
        "--cores 8 all",
        "--cores 8 --resources gpu=1",
        "--cores 8 --resources gpu=1 -- all",
        "all --cores 8 --resources gpu=1",
        "--resources gpu=1 --cores 8 all",
        "--resources gpu=1 --cores 8 -- all",
        # Not of the form that is mended: Snakemake itself is to complain.
        "--resources all",
        "--resources",
        "--resources gpu all",
        "--resources =1 all",
        "--resources gpu= all",
        "--resources gpu=1 all -n",
        "--resources gpu=1 all x=1",
        "--set-resources train:gpu=1 all",
        "--default-resources gpu=1 all",
        "--config scale=smoke all",
        "--resources=gpu=1 all",
    ],
)
def test_everything_else_stays(given: str) -> None:
    assert with_separator(given.split()) == given.split()


@pytest.mark.parametrize(
    ("program", "is_snakemake"),
    [
        ("/home/user/.venv/bin/snakemake", True),
        ("snakemake", True),
        ("/env/lib/python3.11/site-packages/snakemake/__main__.py", True),
        ("/home/user/.venv/bin/pytest", False),
        ("snakemake-wrapper", False),
        ("", False),
    ],
)
def test_other_programs_are_left_alone(program: str, is_snakemake: bool) -> None:
    assert _is_snakemake(program) is is_snakemake


def test_import_leaves_the_arguments_of_other_programs() -> None:
    code = (
        "import sys; sys.argv[1:] = ['--resources', 'gpu=1', 'all']; "
        "import snakemake_logger_plugin_resourcefix; print(sys.argv[1:])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['--resources', 'gpu=1', 'all']"


def test_it_is_installed_normally() -> None:
    """Snakemake's search for plugins does not see editable installations."""
    files = importlib.metadata.files("snakemake-logger-plugin-resourcefix") or []
    assert any(file.name == "__init__.py" for file in files)


@pytest.mark.parametrize("start", [["snakemake"], ["python", "-m", "snakemake"]])
@pytest.mark.parametrize(
    ("words", "made"),
    [
        ("--cores 8 --resources gpu=1 all", "made.txt"),
        ("--cores 8 --resources gpu=1 other", "other.txt"),
        ("--cores 8 --resources gpu=1 -- other", "other.txt"),
        ("other --cores 8 --resources gpu=1", "other.txt"),
        ("--cores 8 --resources gpu=1", "made.txt"),
    ],
)
def test_the_command_itself(tmp_path: Path, start: list[str], words: str, made: str) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    program = Path(sys.executable).parent / start[0]
    command = [str(program), *start[1:], *words.split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.glob("*.txt")] == [made]


class _Scheduler:
    def __init__(self) -> None:
        self._open_jobs = threading.Semaphore(0)


def test_one_look_is_pending_at_most_and_none_is_lost() -> None:
    scheduler = _Scheduler()
    for _ in range(3):  # of rounds: asked for often, it looks once, and then it can be asked again
        for _ in range(5):
            reevaluate_once(scheduler, 0.01)
        assert scheduler._open_jobs.acquire(timeout=60)
    assert not scheduler._open_jobs.acquire(timeout=0.2)


def test_snakemake_starts_no_timer_for_each_job_that_has_ended(tmp_path: Path) -> None:
    """Of 12 jobs, one at a time, it looks about once a second, not up to 11 times."""
    (tmp_path / "Snakefile").write_text("""\
import threading
started = 0
class Timer(threading.Timer):
    def start(self):
        global started
        started += 1
        super().start()
threading.Timer = Timer
rule all:
    input: [f"{i}.txt" for i in range(12)]
rule make:
    output: "{i}.txt"
    shell: "sleep 0.3; touch {output}"
onsuccess:
    print("TIMERS", started)
""")
    program = Path(sys.executable).parent / "snakemake"
    command = [program, "--cores", "1", "--nolock"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    found = re.search(r"TIMERS (\d+)", done.stdout + done.stderr)
    assert found, done.stdout + done.stderr
    # One for each look that finds none pending: a second apart, whatever the jobs take.
    ends = [path.stat().st_mtime for path in tmp_path.glob("*.txt")]
    assert 1 <= int(found[1]) <= max(ends) - min(ends) + 3
