"""Training in several processes (gloo, on the CPU) gives what training in one gives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import distributed_cases as cases
import numpy as np
import pytest
import torch
import yaml
from distributed_cases import CASES, SAMPLED, STEPS, samples, tensors, train

from entropic_ot import launch
from entropic_ot.cli import main
from entropic_ot.distributed import Rows, randn
from entropic_ot.errors import ConfigError
from entropic_ot.experiments.store import LOG, PROVENANCE, STATE, RunStore, load_tree

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-2
"""Of ||difference|| / ||value|| for each tensor of a state, Adam's moments too. The sums over a
batch have another order in several processes, which shows where a gradient nearly cancels. Measured
over 4 to 24 steps: 5e-4 for the generator, 3e-4 for image networks, 2e-6 for vectors. Noise of
other rows, a sum in the place of a mean, a statistic of a part of the batch or other groups in it
change some tensor by 0.1 at least."""


def environment(**changed: str) -> dict[str, str]:
    ours = {k: v for k, v in os.environ.items() if not k.startswith("EOT_")}
    paths = [str(ROOT / "src"), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    return ours | {"PYTHONPATH": os.pathsep.join(paths)} | changed


def torchrun(processes: int, *command: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    words += [f"--nproc-per-node={processes}", *map(str, command)]
    return subprocess.run(
        words, env=environment(), text=True, capture_output=True, check=False, timeout=300
    )


def assert_close(found: Any, expected: Any) -> None:
    a, b = tensors(found), tensors(expected)
    assert a.keys() == b.keys()
    for name, value in b.items():
        difference = torch.linalg.vector_norm(a[name].double() - value.double())
        assert difference <= TOLERANCE * torch.linalg.vector_norm(value.double()) + 1e-12, name


# --- the trainings themselves ---------------------------------------------------------------------


def trained(folder: Path, processes: int) -> Path:
    """Each case in so many processes; and its first third in one, the second in all of them."""
    for name in CASES:
        train(name, STEPS // 3, RunStore(folder / name, fingerprint="a"))
    done = torchrun(processes, cases.__file__, folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def in_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("two"), 2)


@pytest.fixture(scope="module")
def in_three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("three"), 3)


def check_case(folder: Path, name: str) -> None:
    single = train(name)
    state, _ = load_tree(folder / f"{name}.safetensors")
    assert_close(state, single)
    store = RunStore(folder / name, fingerprint="a")
    log = [json.loads(line) for line in (folder / name / LOG).read_text().splitlines()]
    assert [line["step"] for line in log] == list(range(1, 2 * STEPS // 3 + 1))
    assert_close(train(name, STEPS, store), single)
    after, _ = load_tree(folder / name / STATE)
    train(name, STEPS, RunStore(folder / "one" / name, fingerprint="a"))
    one, _ = load_tree(folder / "one" / name / STATE)
    assert torch.equal(after["rng"], one["rng"])
    for ours, theirs in zip(
        log, (folder / "one" / name / LOG).read_text().splitlines(), strict=False
    ):
        expected = json.loads(theirs) | {"seconds": ours["seconds"]}
        assert ours == pytest.approx(expected, rel=TOLERANCE, abs=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_do_what_one_does(in_two: Path, name: str) -> None:
    """From scratch, and in the middle of a training that one process began and ends."""
    check_case(in_two, name)


@pytest.mark.extra
@pytest.mark.parametrize("name", CASES)
def test_three_processes_do_what_one_does(in_three: Path, name: str) -> None:
    check_case(in_three, name)


def test_sampling_is_shared(in_two: Path) -> None:
    """Also of batches that two processes cannot share evenly."""
    found, _ = load_tree(in_two / "samples.safetensors")
    for name in SAMPLED:
        torch.testing.assert_close(found[name], samples(name), rtol=1e-4, atol=1e-5)


def test_a_batch_that_cannot_be_shared_is_refused(in_two: Path) -> None:
    for rank in range(2):
        text = (in_two / f"refusal-{rank}").read_text()
        assert text.startswith("batch_size: found 7 for 2 processes; expected a multiple of 2.")
    text = (in_two / "refusal-generator").read_text()
    assert text.startswith("batch_size: found 12, which is 1 groups of group_size, for 2 processes")


def test_the_shares_of_a_batch_make_the_batch() -> None:
    """Also where it is not a multiple, and with noise drawn for all."""
    x, whole = torch.arange(14.0).view(7, 2), torch.zeros(7, 2)
    noise = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    for rank in range(3):
        rows = Rows(7, rank, 3)
        whole[rows.index] = rows.own(x)
        rng = torch.Generator().manual_seed(0)
        drawn = randn(rows.own(x).shape, rows, rng=rng, device=rng.device)
        assert torch.equal(drawn, rows.own(noise))
    assert torch.equal(whole, x)
    images = torch.zeros(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    assert Rows(6, 1, 3).room(images).is_contiguous(memory_format=torch.channels_last)


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the resolved configuration of one run of each solver."""
    data = yaml.safe_load((ROOT / "params.yaml").read_text())
    data |= {"scale": "smoke", "figures": {}, "generators": {}}
    data["compute"] |= {"device": "cpu", "precision": "float32", "checkpoint_seconds": 0.01}
    data["experiments"] = {"toy_8gaussians": data["experiments"]["toy_8gaussians"]}
    data["scales"] |= {"laptop": {}, "paper": {}}
    methods = {
        name: {"num_steps": 1 if name == "sinkhorn" else 40, "epsilons": [1]}
        for name in ("enot", "egnot", "sinkhorn", "lightsb")
    }
    data["scales"]["smoke"] |= {
        "experiments": {"toy_8gaussians": {"seeds": [3], "methods": methods}}
    }
    data["scales"]["smoke"].pop("generators", None)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(data, sort_keys=False))
    monkeypatch.chdir(tmp_path)
    assert main(["configure"]) == 0
    return tmp_path


def arguments(method: str, out: str) -> list[str]:
    config = f"results/smoke/config/toy_8gaussians/{method}-eps1-seed3.json"
    return ["train", "--config", config, "--out", out, "--work", f"{out}.work"]


def start(*words: str, **changed: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "entropic_ot", *words]
    return subprocess.Popen(
        command,
        env=environment(**changed),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def assert_same_run(folder: str, other: str) -> None:
    """The states are those of the same training."""
    (found, _), (expected, _) = (load_tree(Path(f) / STATE) for f in (folder, other))
    assert_close(found, expected)
    steps = [json.loads(line)["step"] for line in (Path(folder) / LOG).read_text().splitlines()]
    assert steps == sorted(set(steps))
    assert steps[-1] == 40


def test_how_many_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The option, else the variable, else one; one in a process that was started so."""
    monkeypatch.delenv(launch.VARIABLE, raising=False)
    assert launch.num_processes(None) == 1
    monkeypatch.setenv(launch.VARIABLE, "2")
    assert launch.num_processes(None) == 2
    assert launch.num_processes(3) == 3
    with pytest.raises(ConfigError, match=r"--processes: found 0; expected an integer >= 1"):
        launch.num_processes(0)
    monkeypatch.setenv(launch.VARIABLE, "two")
    with pytest.raises(ConfigError, match=r"EOT_PROCESSES: found 'two'"):
        launch.num_processes(None)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert launch.num_processes(3) == 1


def test_the_command_starts_its_processes(project: Path) -> None:
    """By the environment variable: one writes, one prints, the record says how many there were."""
    assert main([*arguments("enot", "one")]) == 0
    running = start(*arguments("enot", "two"), EOT_PROCESSES="2")
    output, _ = running.communicate(timeout=200)
    assert running.returncode == 0, output
    assert_same_run("two", "one")
    assert output.count("40/40 (100%)") == 1
    assert output.count("2 processes, each with ") == 1
    assert json.loads(Path("two", PROVENANCE).read_text())["device"].startswith("2 processes")


@pytest.mark.extra
def test_sinkhorn_is_the_work_of_one_process(project: Path) -> None:
    assert main(arguments("sinkhorn", "one")) == 0
    running = start(*arguments("sinkhorn", "two"), "--processes", "2")
    output, _ = running.communicate(timeout=200)
    assert running.returncode == 0, output
    (found, _), (expected, _) = (load_tree(Path(f) / STATE) for f in ("two", "one"))
    assert all(
        torch.equal(a, b)
        for a, b in zip(tensors(found).values(), tensors(expected).values(), strict=True)
    )


@pytest.mark.extra
@pytest.mark.parametrize("method", ["enot", "egnot"])
def test_a_killed_training_goes_on_with_another_number_of_processes(
    project: Path, method: str
) -> None:
    assert main(arguments(method, "one")) == 0
    running = start(*arguments(method, "two"), "--processes", "2")
    state = Path("two.work", STATE)
    deadline = time.monotonic() + 200
    while not state.exists() and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGKILL)
    assert running.stdout is not None
    running.stdout.read()  # until the last process has closed it
    running.wait()
    _, header = load_tree(state)
    assert header["step"] < 40
    assert main(arguments(method, "two")) == 0
    assert_same_run("two", "one")


@pytest.mark.extra
@pytest.mark.parametrize("method", ["enot", "egnot", "lightsb"])
def test_the_command_that_samples(project: Path, method: str) -> None:
    assert main(arguments(method, "run")) == 0
    config = f"results/smoke/config/toy_8gaussians/{method}-eps1-seed3.json"
    sampling = "results/smoke/config/toy_8gaussians/sampling.json"
    words = ["sample", "--config", config, "--sampling", sampling, "--run", "run", "--out"]
    assert main([*words, "one.npz"]) == 0
    running = start(*words, "two.npz", EOT_PROCESSES="2")
    output, _ = running.communicate(timeout=200)
    assert running.returncode == 0, output
    with np.load("one.npz") as one, np.load("two.npz") as two:
        assert one.files == two.files
        for name in one.files:
            np.testing.assert_allclose(two[name], one[name], rtol=1e-3, atol=1e-4)


FAILING = """
import os, sys
from entropic_ot.cli import main
from entropic_ot.errors import DataError
from entropic_ot.solvers.enot import ENOT

step = ENOT.step
def failing(self, *args, progress, **options):
    if os.environ["RANK"] == "1" and progress > 0.2:
        raise DataError("the disk of the second process is gone")
    return step(self, *args, progress=progress, **options)
ENOT.step = failing
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.extra
def test_one_process_that_fails_ends_all(project: Path) -> None:
    """With its message, soon, and with a checkpoint that is gone on from."""
    Path("failing.py").write_text(FAILING)
    done = torchrun(2, "failing.py", *arguments("enot", "two"))
    assert done.returncode != 0
    assert "entropic-ot train: error: the disk of the second process is gone" in done.stderr
    assert main(arguments("enot", "one")) == main(arguments("enot", "two")) == 0
    assert_same_run("two", "one")


OTHER_DEVICE = """
import os, sys
import torch
from entropic_ot.cli import main

if os.environ["RANK"] == "1":
    randn = torch.randn
    torch.randn = lambda *args, **options: randn(*args, **options) * 1.0001
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.extra
def test_devices_that_draw_different_numbers_are_refused(project: Path) -> None:
    Path("other.py").write_text(OTHER_DEVICE)
    done = torchrun(2, "other.py", *arguments("enot", "two"))
    assert done.returncode != 0
    assert "found devices that draw different random numbers from one seed" in done.stderr
    assert not Path("two", STATE).exists()


@pytest.mark.extra
def test_a_failure_has_no_traceback_of_torchrun(project: Path) -> None:
    running = start(*arguments("enot", "two"), "--processes", "3")
    output, _ = running.communicate(timeout=200)
    assert running.returncode == 1
    assert "error: batch_size: found 64 for 3 processes; expected a multiple of 3." in output
    assert "Traceback" not in output
    assert " of 3 failed (exit status 1); what it said stands above" in output
