"""Where results are kept: the store inside the repository, a folder, an S3 server.

Those without a mark look at the repository alone; the others push and pull the tiny project.
"""

from __future__ import annotations

import configparser
import hashlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dag
import plan
import published
import pytest
import snake2dvc
import yaml
from tiny_project import REPOSITORY, Project, copy_of, jobs_in, wait_until, write_arrays

from entropic_ot.errors import ConfigError, DataError

RUN = "results/smoke/runs/gaussian-d2/enot-eps1-seed0"
FILL = (sys.executable, "workflow/scripts/published.py", "fill")
FIGURES = (sys.executable, "workflow/scripts/plan.py")
real_processes = pytest.mark.extra


# --------------------------------------------------------------------------------------------------
# The repository


def test_the_published_store_is_whole_and_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 40 MiB; nothing that dvc.lock does not name; a provenance for each checkpoint."""
    if not (REPOSITORY / published.REMOTE).is_dir():
        pytest.skip("nothing is published yet: `make all`, then `make publish`")
    monkeypatch.chdir(REPOSITORY)
    store = published.load_store()
    outputs = published.published_outputs()
    assert published.problems(outputs, store) == []
    assert sum(f.stat().st_size for f in Path(published.REMOTE).rglob("*")) <= 40 * 2**20
    assert any(Path(output.path).name in published.CHECKPOINTS for output in outputs)


def test_every_pattern_of_the_store_means_an_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    stages = yaml.load(Path("dvc.yaml").read_text(), yaml.CSafeLoader)["stages"]
    outs = [next(iter(out)) for stage in stages.values() for out in stage["outs"]]
    store = published.load_store()
    for pattern in store.outputs:
        one = published.Store(outputs=(pattern,), limit_mib=store.limit_mib)
        assert any(map(one.holds, outs)), pattern


def test_no_credentials_are_in_the_repository() -> None:
    """Neither in DVC's settings nor, by its form, anywhere in git; and local settings stay out."""
    config = configparser.ConfigParser()
    config.read(REPOSITORY / ".dvc/config")
    allowed = {"url", "verify", "endpointurl", "region", "remote"}
    remotes = [name for name in config.sections() if "remote" in name]
    assert remotes
    assert all(set(config[name]) <= allowed for name in remotes)
    grep = ("git", "grep", "-nIE", r"AKIA[0-9A-Z]{16}|(secret_access_key|session_token) *[=:]")
    found = subprocess.run(
        [*grep, "--", ".", ":!tests/workflow/test_remotes.py"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert (found.returncode, found.stdout) == (1, "")  # 1: git found nothing
    local = ("git", "check-ignore", "--quiet", ".dvc/config.local")
    assert subprocess.run(local, cwd=REPOSITORY).returncode == 0


# --------------------------------------------------------------------------------------------------
# What is looked for


@pytest.fixture
def small_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[published.Output]:
    """A store of two files without any project around it."""
    monkeypatch.chdir(tmp_path)
    outs = []
    for name in ("checkpoint.safetensors", "provenance.json"):
        content = name.encode() * 10
        output = published.Output(f"runs/a/{name}", hashlib.md5(content).hexdigest(), len(content))
        output.blob.parent.mkdir(parents=True)
        output.blob.write_bytes(content)
        outs.append(output)
    paths = [{output.path: {"remote": published.REMOTE}} for output in outs]
    locked = [{"path": o.path, "md5": o.md5, "size": o.size} for o in outs]
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"a": {"outs": [*paths, "other"]}}}))
    locked.append({"path": "other", "md5": "0" * 32, "size": 2**40})
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"a": {"outs": locked}}}))
    return outs


STORE = published.Store(outputs=("runs/*",), limit_mib=1)


def test_outputs_of_the_store_are_those_that_dvc_yaml_marks(
    small_store: list[published.Output],
) -> None:
    assert published.published_outputs() == small_store
    assert published.problems(small_store, STORE) == []


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("damage", "damaged"),
        ("remove", "is not in the store"),
        ("add", "is not in dvc.lock"),
        ("without provenance", "published without runs/a/provenance.json"),
        ("too large", "at most 0.0001 are allowed"),
    ],
)
def test_what_is_wrong_with_a_store_is_said(
    small_store: list[published.Output], harm: str, said: str
) -> None:
    checkpoint, provenance = small_store
    store = STORE
    if harm == "damage":
        checkpoint.blob.write_bytes(b"other")
    elif harm == "remove":
        checkpoint.blob.unlink()
    elif harm == "add":
        (checkpoint.blob.parent / "0").write_text("")
    elif harm == "without provenance":
        provenance.blob.unlink()
        small_store = [checkpoint]
    else:
        store = published.Store(outputs=("runs/*",), limit_mib=0.0001)
    (problem,) = published.problems(small_store, store)
    assert said in problem


def test_an_output_without_a_hash_is_an_error(small_store: list[published.Output]) -> None:
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"a": {"outs": []}}}))
    with pytest.raises(DataError, match="make publish"):
        published.published_outputs()


@pytest.mark.parametrize("text", ["", "outputs: 3\nlimit_mib: 1", "outputs: [a]", "outputs: ["])
def test_a_list_that_is_none_is_an_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "published.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="limit_mib"):
        published.load_store(path)


def test_outputs_outside_the_store_are_cached_where_they_can_be_pushed() -> None:
    assert published.flags("runs/a", STORE, None) == {"remote": "published"}
    assert published.flags("samples/a", STORE, None) == {"cache": False}
    assert published.flags("samples/a", STORE, "large") == {}


def file(out: str, rule: str, *inputs: str, pending: bool = True) -> plan.Planned:
    return plan.Planned(out=out, rule=rule, inputs=inputs, is_pending=pending)


def test_figures_that_wait_for_a_training_are_told_apart() -> None:
    """One needs a training for its samples, the other only by the tables that this changes."""
    files = [
        file("a", "train", "a.json"),
        file("b", "train", "b.json", pending=False),
        file("a.npz", "sample", "a"),
        file("b.npz", "sample", "b"),
        file("metrics.csv", "table", "a.npz", "b.npz"),
        file("a.png", "figure", "a.npz", "metrics.csv"),
        file("b.png", "figure", "b.npz", "metrics.csv"),
    ]
    known = {f.out: f for f in files}
    figures = ("a.png", "b.png")
    free, blocked = plan.without_training(figures, known, through_tables=False)
    assert (free, blocked) == (["b.png"], {"a.png": {"a"}})
    free, blocked = plan.without_training(figures, known, through_tables=True)
    assert (free, blocked) == ([], {"a.png": {"a"}, "b.png": {"a"}})


def test_tables_figures_and_pages_are_shown_and_notebooks_are_not() -> None:
    files = {
        "a.png": "figure",
        "a.html": "figure",
        "a.ipynb": "figure",
        "results.html": "pages",
        "metrics.csv": "table",
        "a.npz": "sample",
    }
    shown = [out for out, rule in files.items() if plan.is_shown(file(out, rule))]
    assert shown == ["a.png", "results.html", "metrics.csv"]


def test_published_looks_at_the_cases_of_dvc_yaml_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And in a new process too, which is given this one's environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EOT_WITHOUT_CASES", "")
    Path("dvc.yaml").write_text(f"{dag.HEADER}{snake2dvc.LEFT_OUT}a, b\nstages: {{}}\n")
    plan.leave_out_what_dvc_left_out()
    assert plan.environment()["EOT_WITHOUT_CASES"] == "a,b"


def test_only_two_targets_of_make_can_train() -> None:
    """The others that make results go through plan.py; `make repro` through DVC."""
    targets = re.findall(
        r"^([a-z-]+):.*\n((?:\t.*\n)+)", (REPOSITORY / "Makefile").read_text(), re.MULTILINE
    )
    running = [name for name, commands in targets if "snakemake --cores" in commands]
    assert running == ["all", "smoke"]


# --------------------------------------------------------------------------------------------------
# Real processes


def clone_of(project: Project, folder: Path) -> Project:
    project.run("git", "clone", "--quiet", str(project.folder), str(folder))
    write_arrays(folder)
    return Project(folder)


@pytest.fixture(scope="session")
def _with_store(
    cold_run: tuple[Project, str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Project, str]:
    """The tiny project with the repository's own store as its only remote; what filling said."""
    project = copy_of(cold_run[0], tmp_path_factory.mktemp("published") / "project")
    for name in (".dvc/config", published.LIST):
        shutil.copy2(REPOSITORY / name, project.folder / name)
    project.run(sys.executable, "workflow/scripts/snake2dvc.py")
    project.run("dvc", "commit", "--force", "--quiet")
    output = project.run(*FILL)
    project.git("add", "--all")
    project.git("commit", "--quiet", "--message", "Published")
    return project, output


@pytest.fixture
def with_store(_with_store: tuple[Project, str], tmp_path: Path) -> Project:
    return copy_of(_with_store[0], tmp_path / "project")


class TestPublished:
    pytestmark = real_processes

    def test_clone_and_pull_is_up_to_date(
        self, _with_store: tuple[Project, str], tmp_path: Path
    ) -> None:
        """What the store lacks (states, samples, notebooks) troubles nobody."""
        project, output = _with_store
        assert "of 40 MiB" in output
        clone = clone_of(project, tmp_path / "clone")
        clone.run("dvc", "pull")
        assert (clone / f"{RUN}/checkpoint.safetensors").exists()
        assert not (clone / f"{RUN}/training_state.safetensors").exists()
        assert not (clone / "results/smoke/samples").exists()
        assert clone.planned() == {"writing the pages of results"}
        shutil.copy2(REPOSITORY / "Makefile", clone.folder)
        # The tests' own environment stands for .venv, which the target `setup` would build.
        clone.run("make", "--assume-old=setup", "published")
        assert (clone / "results/smoke/results.html").exists()
        assert clone.planned() == set()
        assert "Running stage" not in clone.run("dvc", "repro", "--dry", "--allow-missing")
        assert "Nothing to be done" in clone.run(*FIGURES)

    def test_published_trains_nothing_where_more_data_is_here(
        self, with_store: Project, tmp_path: Path
    ) -> None:
        """The store was filled on one without my_data's, which is said as snake2dvc.py says it."""
        without = ("env", "EOT_WITHOUT_CASES=my_data")
        with_store.run(*without, "snakemake", "--cores", "2", "--", "all")
        with_store.run(*without, sys.executable, "workflow/scripts/snake2dvc.py")
        assert "not there: my_data\n" in (with_store / "dvc.yaml").read_text()
        with_store.run("dvc", "commit", "--force", "--quiet")
        with_store.run(*without, *FILL)
        with_store.git("add", "--all")
        with_store.git("commit", "--quiet", "--message", "Without my_data")
        clone = clone_of(with_store, tmp_path / "clone")
        shutil.copy2(REPOSITORY / "Makefile", clone.folder)
        output = clone.run("make", "--assume-old=setup", "published")
        assert jobs_in(output) <= {"writing the pages of results"}
        assert (clone / "results/smoke/results.html").exists()
        assert "training my_data enot-eps0.1-seed0" in clone.planned()

    def test_figures_come_from_checkpoints_where_the_store_has_them(
        self, with_store: Project, tmp_path: Path
    ) -> None:
        clone = clone_of(with_store, tmp_path / "clone")
        clone.run("dvc", "pull")
        for name in ("gaussian", "my_data"):  # my_data's checkpoint is not in the store
            notebook = clone / f"workflow/notebooks/{name}.py"
            notebook.write_text(notebook.read_text() + "# %%\nprint(1)\n")
        output = clone.run(*FIGURES, ok=False)
        assert "training" not in output.partition("were not made")[0]
        assert "drawing gaussian" in output
        assert "drawing my_data" not in output
        said = output.partition("were not made")[2]
        assert "results/smoke/figures/my_data.png" in said
        assert "results/smoke/runs/my_data/enot-eps0.1-seed0/checkpoint.safetensors" in said

    def test_a_damaged_file_is_noticed(self, with_store: Project, tmp_path: Path) -> None:
        clone = clone_of(with_store, tmp_path / "clone")
        checkpoint = f"{RUN}/checkpoint.safetensors"
        damage(clone.folder / "published", checkpoint, clone)
        check = (sys.executable, "workflow/scripts/published.py", "check")
        assert f"{checkpoint} is damaged" in clone.run(*check, ok=False)
        clone.run("dvc", "pull", ok=False)
        assert not (clone / checkpoint).exists()
        clone.git("checkout", "--", "published")
        clone.run("dvc", "pull")
        assert (clone / checkpoint).exists()

    def test_nothing_stale_or_edited_is_published(self, with_store: Project) -> None:
        record = with_store / f"{RUN}/provenance.json"
        kept = record.read_text()
        record.write_text(kept.replace('"dirty": false', '"dirty": true'))
        assert "make all" in with_store.run(*FILL, ok=False)  # nobody vouches for that record
        with_store.run("dvc", "commit", "--force", "--quiet")
        assert "dirty" in with_store.run(*FILL, ok=False)
        record.write_text(kept)
        with_store.run("dvc", "commit", "--force", "--quiet")
        text = (with_store / "params.yaml").read_text()
        assert "num_steps: 3\n" in text
        (with_store / "params.yaml").write_text(text.replace("num_steps: 3\n", "num_steps: 4\n"))
        assert "make all" in with_store.run(*FILL, ok=False)


def damage(store: Path, out: str, project: Project) -> Path:
    """Change the contents of an output's file in a remote's folder."""
    stages = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    outs = [o for stage in stages.values() for o in stage["outs"]]
    digest = next(o["md5"] for o in outs if o["path"] == out)
    blob = store / "files/md5" / digest[:2] / digest[2:]
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[::-1])
    return blob


class TestFolder:
    """Push to a folder, and pull from it, is also what test_dvc.py begins with."""

    pytestmark = real_processes

    def test_all_tables_and_figures_without_training(self, clone: Project) -> None:
        clone.run("dvc", "pull")
        before = {p.name: p.read_bytes() for p in (clone / "results/smoke/figures").iterdir()}
        for name in ("figures", "tables", "notebooks"):
            shutil.rmtree(clone / f"results/smoke/{name}")
        output = clone.run(*FIGURES)
        assert "training" not in output
        assert "sampling" not in output
        after = {p.name: p.read_bytes() for p in (clone / "results/smoke/figures").iterdir()}
        assert after == before
        assert clone.planned() == set()
        assert clone.reproduced() == []

    def test_a_damaged_file_is_noticed_where_the_remote_is_verified(
        self, committed: Project, tmp_path: Path
    ) -> None:
        remote = tmp_path / "remote"
        committed.run("dvc", "remote", "add", "--default", "verified", str(remote))
        committed.run("dvc", "remote", "modify", "verified", "verify", "true")
        committed.run("dvc", "push", "--quiet")
        damage(remote, f"{RUN}/checkpoint.safetensors", committed)
        committed.git("commit", "--quiet", "--all", "--message", "A verified remote")
        clone = clone_of(committed, tmp_path / "clone")
        clone.run("dvc", "pull", ok=False)
        assert not (clone / f"{RUN}/checkpoint.safetensors").exists()
        committed.run("dvc", "push")  # DVC removed the damaged file
        clone.run("dvc", "pull")
        assert (clone / f"{RUN}/checkpoint.safetensors").exists()


def moto_server() -> str:
    """The command of moto's server; skips the test where there is none."""
    command = os.environ.get("EOT_MOTO_SERVER") or shutil.which("moto_server")
    if command is None:
        pytest.skip(
            "no S3 server: install `moto[server]` in an environment of its own (its boto3 and "
            "DVC's botocore disagree) and set EOT_MOTO_SERVER to its moto_server"
        )
    if importlib.util.find_spec("dvc_s3") is None:
        pytest.skip("DVC has no S3: pip install '.[s3]'")
    return command


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an S3 server with the bucket `results`; its keys are in the environment."""
    command = moto_server()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = subprocess.Popen(
        [command, "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(port))
        bucket(address).mkdir("results")
        yield address
    finally:
        server.terminate()
        server.wait()


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def bucket(address: str):  # type: ignore[no-untyped-def]
    import s3fs

    return s3fs.S3FileSystem(endpoint_url=address, use_listings_cache=False)


class TestS3:
    pytestmark = real_processes

    def test_push_pull_damage(self, committed: Project, s3: str, tmp_path: Path) -> None:
        add = ("dvc", "remote", "add", "--default", "bucket", "s3://results/project")
        committed.run(*add)
        committed.run("dvc", "remote", "modify", "bucket", "endpointurl", s3)
        committed.run("dvc", "remote", "modify", "bucket", "verify", "true")
        committed.run("dvc", "push", "--quiet")
        committed.git("commit", "--quiet", "--all", "--message", "A bucket")
        assert "testing" not in committed.run("git", "show", "HEAD:.dvc/config")

        clone = clone_of(committed, tmp_path / "clone")
        clone.run("dvc", "pull", "--quiet")
        assert clone.planned() == set()
        assert clone.reproduced() == []

        lock = yaml.safe_load((clone / "dvc.lock").read_text())["stages"]
        table = next(o for o in lock["table"]["outs"] if o["path"].endswith("metrics.csv"))
        key = f"results/project/files/md5/{table['md5'][:2]}/{table['md5'][2:]}"
        bucket(s3).pipe(key, b"other")
        other = clone_of(committed, tmp_path / "other")
        other.run("dvc", "pull", ok=False)
        assert not (other / "results/smoke/tables/metrics.csv").exists()

    def test_keys_kept_for_this_computer_alone(
        self, committed: Project, s3: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`dvc remote modify --local` serves as well, and git does not see it."""
        committed.run("dvc", "remote", "add", "--default", "bucket", "s3://results/project")
        committed.run("dvc", "remote", "modify", "bucket", "endpointurl", s3)
        committed.git("commit", "--quiet", "--all", "--message", "A bucket")
        for name, key in (
            ("AWS_ACCESS_KEY_ID", "access_key_id"),
            ("AWS_SECRET_ACCESS_KEY", "secret_access_key"),
        ):
            monkeypatch.delenv(name)
            committed.run("dvc", "remote", "modify", "--local", "bucket", key, "testing")
        committed.run("dvc", "push", "--quiet", "table")
        assert bucket(s3).find("results/project") != []
        assert committed.run("git", "status", "--short") == ""
