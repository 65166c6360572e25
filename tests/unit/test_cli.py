"""The command line: help, exit codes, and the chain from params.yaml to a table."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from entropic_ot.cli import main
from entropic_ot.commands import train as train_module
from entropic_ot.errors import DataError
from entropic_ot.experiments import over_time
from entropic_ot.experiments.store import LOG, MODEL, PROVENANCE, STATE
from entropic_ot.experiments.tables import COLUMNS, read_csv
from entropic_ot.files import file_sha256

ROOT = Path(__file__).parents[2]
COMMANDS = [
    *("configure", "fetch", "convert", "prepare", "classifier", "train"),
    *("train-generator", "encode"),
    *("sample", "reference", "evaluate", "table", "pages", "summary", "progress"),
    *("curves", "schema"),
]
CONFIG = Path("results/smoke/config")


def run_python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=cwd
    )


# --- help and exit codes --------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    assert stopped.value.code == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: entropic-ot {command} ")
    assert len(out.split("\n\n")[1].strip()) > 15  # a sentence on what it does


def test_the_help_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    listed = re.findall(r"^    ([\w-]+)(?: |$)", capsys.readouterr().out, flags=re.MULTILINE)
    assert listed == COMMANDS


@pytest.mark.parametrize("argv", [[], ["trian"], ["train"], ["fetch", "mnits", "--out", "x"]])
def test_a_wrong_command_line_exits_with_2(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert "usage: entropic-ot" in capsys.readouterr().err


def test_an_error_for_the_user_is_one_message_and_exits_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["configure"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("entropic-ot configure: error: params.yaml: not found")
    assert "Traceback" not in err


def test_the_traceback_is_there_on_request(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read as metrics"):
        main(["--traceback", "table", "--out", str(tmp_path), str(tmp_path / "none.json")])


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(train_module, "train", broken)
    with pytest.raises(ZeroDivisionError):
        main(["train", "--config", "a", "--out", "b", "--work", "c"])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 1 TiB"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 TiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 1 TiB\nand more"),
    ],
    ids=["python", "cuda", "cpu"],
)
def test_too_little_memory_is_one_message(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*args: Any) -> None:
        raise error

    monkeypatch.setattr(train_module, "train", failing)
    arguments = ["train", "--config", "a", "--out", "b", "--work", "c"]
    assert main(arguments) == 1
    message = capsys.readouterr().err
    assert "memory: found too little" in message and "1 TiB" in message and "Lower" in message
    assert message.count("\n") == 1
    with pytest.raises(type(error)):
        main(["--traceback", *arguments])


def test_an_interrupted_training_says_that_it_can_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(train_module, "train", interrupted)
    assert main(["train", "--config", "a", "--out", "b", "--work", "c"]) == 130  # 128 + SIGINT
    err = capsys.readouterr().err
    assert "entropic-ot train: interrupted; nothing is half written, and the same command" in err


@pytest.mark.parametrize("argv", [["--help"], ["configure"], ["summary"], ["schema"]])
def test_light_commands_do_not_load_torch(argv: list[str], tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    code = (
        "import sys; from entropic_ot.cli import main\n"
        f"try: status = main({argv!r})\n"
        "except SystemExit as stopped: status = stopped.code\n"
        "print(status, [m for m in ('torch', 'ot', 'scipy') if m in sys.modules], file=sys.stderr)"
    )
    done = run_python(code, tmp_path)
    assert done.stderr.splitlines()[-1] == "0 []"
    assert done.stdout


# --- the chain ------------------------------------------------------------------------------------


def tiny_params() -> dict[str, Any]:
    """Two experiments of the repository's params.yaml at its smallest."""
    data = yaml.safe_load((ROOT / "params.yaml").read_text())
    data["scale"] = "smoke"
    data["compute"] |= {"device": "cpu", "precision": "float32"}
    data["experiments"] = {k: data["experiments"][k] for k in ("gaussian", "toy_8gaussians")}
    data["figures"] = {}
    data["experiments"]["gaussian"] |= {
        "problem": {"kind": "gaussian", "dim": 2, "source_seed": 42, "target_seed": 43},
        "variants": {"d2": {}},
        "seeds": [3],
    }
    data["scales"] |= {"laptop": {}, "paper": {}}  # they name experiments that are gone
    smoke = data["scales"]["smoke"]
    smoke["evaluation"] |= {"num_samples": 40, "num_paths": 5, "batch_size": 30}
    smoke["experiments"] = {
        name: {
            "seeds": [3],
            "evaluation": {"num_samples": 40},
            "methods": {
                method: {"num_steps": 2 if method != "sinkhorn" else 1, "epsilons": [1]}
                for method in ("enot", "egnot", "sinkhorn", "lightsb")
            },
        }
        for name in ("gaussian", "toy_8gaussians")
    }
    smoke["experiments"]["toy_8gaussians"]["methods"]["enot"]["epsilons"] = [0, 1]
    return data


def command(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def chain(case: str, run: str) -> dict[str, Path]:
    """train, sample, reference, evaluate; the paths are those of the workflow."""
    root = Path("results/smoke")
    paths = {
        "config": root / "config" / case / f"{run}.json",
        "run": root / "runs" / case / run,
        "work": root / "checkpoints" / case / run,
        "samples": root / "samples" / case / f"{run}.npz",
        "metrics": root / "metrics" / case / f"{run}.json",
    }
    evaluation = root / "config" / case / "evaluation.json"
    given: list[object] = ["--config", paths["config"]]
    command("train", *given, "--out", paths["run"], "--work", paths["work"])
    given += ["--run", paths["run"]]
    sampling = evaluation.with_name("sampling.json")
    command("sample", *given, "--sampling", sampling, "--out", paths["samples"])
    given += ["--evaluation", evaluation]
    plan = root / "config" / case / f"reference-{run.split('-')[1]}.json"
    given += ["--samples", paths["samples"]]
    if plan.exists():
        paths["reference"] = root / "reference" / case / f"{run.split('-')[1]}.npz"
        command("reference", "--config", plan, "--out", paths["reference"])
        given += ["--reference", paths["reference"]]
    command("evaluate", *given, "--out", paths["metrics"])
    return paths


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder in which the whole chain has run."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("params.yaml").write_text(yaml.safe_dump(tiny_params(), sort_keys=False))
        command("configure")
        runs = {
            (case, method): chain(case, f"{method}-eps1-seed3")
            for case in ("gaussian-d2", "toy_8gaussians")
            for method in ("enot", "egnot", "sinkhorn", "lightsb")
        }
        tables = Path("results/smoke/tables")
        command("table", "--out", tables, *(paths["metrics"] for paths in runs.values()))
        yield runs


def test_the_chain_ends_in_a_tidy_table(project: Any) -> None:
    with Path("results/smoke/tables/metrics.csv").open() as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert tuple(reader.fieldnames or ()) == COLUMNS
    keys = {(r["experiment"], r["variant"], r["method"], r["metric"]) for r in rows}
    assert len(keys) == len(rows)
    assert ("gaussian", "d2", "egnot", "bw_uvp_plan") in keys
    assert ("toy_8gaussians", "", "sinkhorn", "share_of_modes_min") in keys
    for row in rows:
        assert np.isfinite(float(row["value"]))
        assert (row["scale"], row["epsilon"], row["seed"], row["dim"]) == ("smoke", "1.0", "3", "2")
    assert {r["compile"] for r in rows} == {"no"}  # compute.compile: auto, on the CPU
    precisions = {r["method"]: r["precision"] for r in rows}  # what each computes in
    assert precisions == {m: "float32" for m in ("enot", "egnot")} | {
        m: "float64" for m in ("sinkhorn", "lightsb")
    }
    floors = {r["metric"]: r["floor"] for r in rows}
    assert float(floors["bw_uvp_plan"]) > 0 and floors["cost_half_l2"] == ""
    spreads = {r["metric"]: r["floor_std"] for r in rows}
    assert (floors["energy_distance"], spreads["bw_uvp_plan"]) == ("0.0", "")
    assert float(spreads["energy_distance"]) > 0


def test_a_table_of_before_the_column_compile_is_read(project: Any, tmp_path: Path) -> None:
    path = Path("results/smoke/tables/metrics.csv")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert COLUMNS[-1] == "compile"  # the columns of before come first, in their order
    with (tmp_path / "before.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS[:-1], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    assert read_csv(tmp_path / "before.csv") == read_csv(path)


def test_what_is_a_mean_over_times_stands_in_a_table_of_its_own(project: Any) -> None:
    tables = Path("results/smoke/tables")
    rows, means = over_time.read_csv(tables / over_time.FILE), read_csv(tables / "metrics.csv")
    assert {row.case for row in rows} == {"gaussian-d2"}
    for method in ("enot", "egnot", "sinkhorn", "lightsb"):
        own = [row for row in rows if row.method == method]
        (mean,) = [m for m in means if (m.metric, m.method) == ("bw_uvp_path", method)]
        assert len(own) > 1 and {(row.epsilon, row.seed) for row in own} == {(1.0, 3)}
        assert [row.t for row in own] == sorted({row.t for row in own})
        assert np.mean([row.value for row in own]) == pytest.approx(mean.value)
        assert np.mean([row.floor for row in own]) == pytest.approx(mean.floor)


@pytest.mark.parametrize(
    "text",
    ["[]", "{", '{"over_time": 3}', '{"over_time": [3]}', '{"over_time": [{"t": 0.5}]}'],
)
def test_values_over_time_that_cannot_be_read_are_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a\.json: cannot be read .* expected a list over_time"):
        over_time.read_over_time([tmp_path / "a.json"])


def test_the_other_tables_say_the_same(project: Any) -> None:
    tree = json.loads(Path("results/smoke/tables/metrics.json").read_text())
    with Path("results/smoke/tables/metrics.csv").open() as file:
        for row in csv.DictReader(file):
            case = row["experiment"] + ("-d2" if row["variant"] else "")
            run = f"{row['method']}-eps1-seed3"
            assert tree[case][run][row["metric"]] == float(row["value"])
    text = Path("results/smoke/tables/metrics.md").read_text()
    assert "### gaussian-d2 (dimension 2)" in text
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    widths = {line.count("|") for line in lines if "bw_uvp" in line}
    assert len(lines) == 2 * 5 and widths


def test_a_run_leaves_its_records(project: Any) -> None:
    paths = project["gaussian-d2", "enot"]
    assert {p.name for p in paths["run"].iterdir()} == {MODEL, STATE, LOG, PROVENANCE}
    record = json.loads((paths["run"] / PROVENANCE).read_text())
    assert record["compile"] == "no"  # compute.compile: auto, on the CPU
    assert record["packages"]["torch"] == torch.__version__.split("+")[0] or record["packages"]
    assert {"commit", "dirty", "config_sha256", "data_sha256", "device", "train_seconds"} <= set(
        record
    )
    steps = [json.loads(x)["step"] for x in (paths["run"] / LOG).read_text().splitlines()]
    assert steps == [1, 2]


def test_samples_hold_pairs_conditionals_and_paths(project: Any) -> None:
    evaluation = json.loads((CONFIG / "gaussian-d2" / "evaluation.json").read_text())
    num_euler_steps = json.loads((CONFIG / "gaussian-d2" / "enot-eps1-seed3.json").read_text())[
        "solver"
    ]["num_euler_steps"]
    for method in ("enot", "egnot", "sinkhorn", "lightsb"):
        with np.load(project["gaussian-d2", method]["samples"]) as file:
            shapes = {name: file[name].shape for name in file.files}
            path, x, y = file["path"], file["x"], file["y"]
        assert shapes["x"] == shapes["y"] == shapes["target"] == (40, 2)
        assert shapes["conditional_y"] == (
            evaluation["num_conditional"],
            evaluation["num_per_source"],
            2,
        )
        assert shapes["path"][1:] == (5, 2)
        assert shapes["path_t"] == shapes["path"][:1]
        np.testing.assert_array_equal(path[0], x[:5])
        if method == "enot":
            assert len(path) == num_euler_steps + 1
        else:
            np.testing.assert_array_equal(path[-1], y[:5])


def test_conditional_samples_are_compared_with_a_discrete_plan(project: Any) -> None:
    assert "reference" not in project["gaussian-d2", "enot"]
    paths = project["toy_8gaussians", "sinkhorn"]
    rows = {r["metric"]: r for r in json.loads(paths["metrics"].read_text())["rows"]}
    row = rows["conditional_energy_distance"]
    # 16 draws for each of 4 points x, of size 5: noise of 5 / 16; a wrong mode is 4 away.
    assert abs(row["floor"]) < 1 and -1 < row["value"] < 4
    with np.load(paths["reference"]) as file:
        record = json.loads(str(file["record"]))
        assert file["support"].shape == (2, record["num_points"], 2)
        assert not np.isin(file["support"][0], file["support"][1]).any()  # draws of their own
        assert record["converged"] == [True, True]
        assert (file["marginal_error"] >= 0).all() and (file["marginal_error"] < 1e-3).all()


def test_at_epsilon_zero_that_metric_has_no_row(
    project: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = chain("toy_8gaussians", "enot-eps0-seed3")
    assert "reference" not in paths
    assert "conditional_energy_distance: left out at epsilon = 0" in capsys.readouterr().out
    names = [row["metric"] for row in json.loads(paths["metrics"].read_text())["rows"]]
    assert "energy_distance" in names and "conditional_energy_distance" not in names


def test_without_its_plan_that_metric_is_an_error(
    project: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = project["toy_8gaussians", "enot"]
    words = ["evaluate", "--config", paths["config"], "--run", paths["run"]]
    words += ["--evaluation", CONFIG / "toy_8gaussians" / "evaluation.json"]
    words += ["--samples", paths["samples"], "--out", tmp_path / "m.json"]
    assert main([str(word) for word in words]) == 1
    assert "--reference: found none, expected the plans" in capsys.readouterr().err
    damaged = tmp_path / "plan.npz"
    damaged.write_bytes(paths["reference"].read_bytes()[:200])
    assert main([str(word) for word in [*words, "--reference", damaged]]) == 1
    message = capsys.readouterr().err
    assert str(damaged) in message and "`entropic-ot reference` writes" in message


def test_the_same_command_gives_the_same_bytes_and_does_not_train_again(
    project: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Into another folder from the kept checkpoints, and from nothing."""
    paths = project["gaussian-d2", "egnot"]
    for work in (paths["work"], tmp_path / "work"):
        out = tmp_path / "out"
        capfd.readouterr()
        command("train", "--config", paths["config"], "--out", out, "--work", work)
        resumed = "resumed at step 2 of 2" in capfd.readouterr().err
        assert resumed == (work == paths["work"])
        assert file_sha256(out / MODEL) != ""
        sampling = CONFIG / "gaussian-d2" / "sampling.json"
        given = ("--config", paths["config"], "--sampling", sampling, "--run", out)
        command("sample", *given, "--out", tmp_path / "samples.npz")
        with np.load(tmp_path / "samples.npz") as new, np.load(paths["samples"]) as old:
            for name in old.files:
                np.testing.assert_array_equal(new[name], old[name], err_msg=name)


def test_the_summary_names_what_was_made_and_what_is_missing(
    project: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = project["gaussian-d2", "enot"]["metrics"]
    command("summary")
    out = capsys.readouterr().out
    (line,) = re.findall(r"gaussian-d2 +enot-eps1-seed3 +(bw_uvp_plan=.*)", out)
    rows = json.loads(metrics.read_text())["rows"]
    assert line.count("=") == len(rows)
    for row in rows:  # no value without its n, and its floor where that is known
        floor = "" if row["floor"] is None else f", floor {row['floor']:.3g}"
        assert f"{row['metric']}={row['value']:.4g} (n {row['n']}{floor}" in line
    assert "floor" in line
    assert re.search(r"made +results/smoke/tables/metrics\.csv", out)
    hidden = metrics.with_suffix(".hidden")
    metrics.rename(hidden)
    try:
        command("summary")
        out = capsys.readouterr().out
        assert f"not made  gaussian-d2 enot-eps1-seed3: {metrics}" in out
        assert "not made  results/smoke/tables/comparison.md" in out
        num_missing = out.count("not made  ")
        assert num_missing > 2
        # After a run that went well the same are one line: they were not asked for.
        command("summary", "--succeeded")
        after = capsys.readouterr().out
        assert "not made" not in after
        assert after.count("not asked for") == 1
        assert f"  {num_missing} results of `all` were not asked for in this run" in after
        assert [line for line in out.splitlines() if "not made" not in line] == [
            line for line in after.splitlines() if "not asked for" not in line
        ]
        # After one that failed too; what is there follows.
        command("summary", "--failed")
        assert capsys.readouterr().out.splitlines()[0] == (
            f"  {num_missing} of {len(out.splitlines())} results of `all` are not made yet; "
            "`entropic-ot summary` lists them. Made so far:"
        )
    finally:
        hidden.rename(metrics)


def test_damaged_samples_are_named(
    project: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = project["gaussian-d2", "enot"]
    damaged = tmp_path / "samples.npz"
    damaged.write_bytes(paths["samples"].read_bytes()[:200])
    evaluation = CONFIG / "gaussian-d2" / "evaluation.json"
    words = ["--config", paths["config"], "--evaluation", evaluation, "--run", paths["run"]]
    argv = ["evaluate", *words, "--samples", damaged, "--out", tmp_path / "m.json"]
    assert main([str(word) for word in argv]) == 1
    assert f"evaluate: error: {damaged}: cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "m.json").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_named(
    project: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads(project["gaussian-d2", "enot"]["config"].read_text())
    config["compute"]["device"] = "cuda"
    (tmp_path / "c.json").write_text(json.dumps(config))
    argv = ["train", "--config", tmp_path / "c.json", "--out", tmp_path, "--work", tmp_path / "w"]
    assert main([str(word) for word in argv]) == 1
    assert "compute.device: found 'cuda' on a machine where torch sees no" in (
        capsys.readouterr().err
    )
