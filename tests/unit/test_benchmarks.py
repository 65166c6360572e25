"""The benchmarks compare like with like: same mathematics, same work, rows that stay."""

from __future__ import annotations

import ast
import csv
import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import bench_table
import cases
import fetching
import image_ideas
import latent
import measure
import reference.stylegan2
import run as bench
import scaling
import time_to_quality
from bench_config import (
    SETTINGS,
    BufferCase,
    CommandCase,
    FetchCase,
    LatentCase,
    PrepareCase,
    SolverCase,
    load_settings,
    run_config,
)
from entropic_ot.data.coloured_mnist import colour, draw_hues, resize
from entropic_ot.errors import ConfigError, DataError
from entropic_ot.experiments.params import merged
from reference.colouring import coloured_digits
from reference.egnot import ReferenceEgNOT
from reference.enot import ReferenceENOT

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
TINY: dict[str, dict[str, Any]] = {
    "enot_gaussian_d16": {
        "drift": {"width": 32},
        "potential": {"width": 32},
        "num_euler_steps": 6,
        "num_drift_steps": 2,
        "batch_size": 32,
    },
    "egnot_gaussian_d16": {
        "potential": {"width": 32},
        "num_langevin_steps": 6,
        "batch_size": 64,
        "buffer_size": 96,  # the second step writes over the first one's pairs
    },
    "egnot_image_langevin": {"potential": {"width": 8, "depth": 3}, "batch_size": 8},
    "enot_image": {
        "drift": {"width": 8, "depth": 3},
        "potential": {"width": 8, "depth": 3},
        "num_euler_steps": 3,
        "batch_size": 4,
    },
    "egnot_sampling": {"potential": {"width": 32}, "num_test_langevin_steps": 20},
    "enot_sampling": {"drift": {"width": 32}, "num_euler_steps": 7},
}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def tiny(name: str, **settings: Any) -> SolverCase:
    """The case of settings.yaml at a size that takes no time."""
    case = load_settings().cases[name]
    assert isinstance(case, SolverCase)
    changed = merged(merged(case.settings, TINY[name]), settings)
    return dataclasses.replace(case, settings=changed, num_points=min(case.num_points, 16))


def compared(
    case: SolverCase, precision: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[float, float]:
    """Agreement and cosine of the two sides at this precision."""

    def at_precision(*args: Any, **kwargs: Any) -> Any:
        config = run_config(*args, **kwargs)
        compute = dataclasses.replace(config.compute, precision=precision)
        return dataclasses.replace(config, compute=compute)

    monkeypatch.setattr(cases, "run_config", at_precision)
    first = {side: cases.build_workload(case, side, CPU).first() for side in cases.SIDES}
    return measure.agreement(first["reference"], first["fast"])


# --- the reference computes what the project computes ---------------------------------------------


@pytest.mark.parametrize("name", TINY)
def test_in_float32_the_reference_is_the_project(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders of summation and memory layouts differ: some hundred roundings of 6e-8."""
    worst, cosine = compared(tiny(name), "float32", monkeypatch)
    assert worst < 2e-5 and cosine > 1 - 1e-9


@pytest.mark.parametrize("name", TINY)
def test_in_bfloat16_the_gradients_keep_their_direction(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight bits a product: 0.003 to 0.015 measured, less than what a wrong sign does."""
    worst, cosine = compared(tiny(name), "bfloat16", monkeypatch)
    assert worst < 0.03 and cosine > 0.9995


@pytest.mark.parametrize("form", ["endpoint", "bounded_endpoint"])
@pytest.mark.parametrize("noise_last_step", [True, False])
def test_every_form_of_the_drift_has_its_reference(
    form: str, noise_last_step: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = tiny("enot_gaussian_d16", drift_form=form, noise_last_step=noise_last_step)
    assert compared(case, "float32", monkeypatch)[0] < 2e-5


def wrong_score(self: ReferenceEgNOT, potential: Any, x: torch.Tensor, y: torch.Tensor) -> Any:
    """The gradient of g with the wrong sign."""
    right = ReferenceEgNOT_score(self, potential, x, y)
    return -right + 2 * (x - y) / self.epsilon


ReferenceEgNOT_score = ReferenceEgNOT.score


@pytest.mark.parametrize("name", ["egnot_gaussian_d16", "egnot_image_langevin", "egnot_sampling"])
def test_a_wrong_sign_in_the_score_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReferenceEgNOT, "score", wrong_score)
    assert compared(tiny(name), "float32", monkeypatch)[0] > 0.02


@pytest.mark.parametrize("name", ["enot_gaussian_d16", "enot_image"])
def test_a_wrong_sign_of_the_potential_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = ReferenceENOT.beta
    monkeypatch.setattr(ReferenceENOT, "beta", lambda self, y: -right(self, y))
    assert compared(tiny(name), "float32", monkeypatch)[0] > 0.1


@pytest.mark.parametrize("name", ["enot_gaussian_d16", "enot_image"])
def test_a_dropped_half_in_the_energy_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the energy is sqrt(2) times the drifts that it is computed from."""
    right = ReferenceENOT.simulate

    def simulate(self: ReferenceENOT, *args: Any) -> tuple[torch.Tensor, torch.Tensor]:
        states, drifts = right(self, *args)
        return states, 2**0.5 * drifts

    monkeypatch.setattr(ReferenceENOT, "simulate", simulate)
    assert compared(tiny(name), "float32", monkeypatch)[0] > 0.1


def latent_gradients(precision: Any) -> dict[str, dict[str, torch.Tensor]]:
    """Of both sides, of images of 32x32."""
    case = load_settings().cases["latent_gradient_512"]
    assert isinstance(case, LatentCase)
    case = dataclasses.replace(
        case, image_size=32, channel_base=256, channel_max=16, latent_dim=16, batch_size=3
    )
    return {
        side: latent.LatentWorkload(
            case, fast=side == "fast", device=CPU, precision=precision
        ).first()
        for side in cases.SIDES
    }


def test_the_generator_with_weights_of_each_sample_is_that_of_the_project() -> None:
    """float32: some hundred roundings of 6e-8; bfloat16: 2^-9 in each of 20 layers, twice."""
    worst, cosine = measure.agreement(*latent_gradients("float32").values())
    assert worst < 2e-5 and cosine > 1 - 1e-9
    worst, cosine = measure.agreement(*latent_gradients("bfloat16").values())
    assert 1e-4 < worst < 0.1 and cosine > 0.99


@pytest.mark.parametrize("wrong", ["clamped", "leaky", "blurred"])
def test_a_wrong_part_of_the_generator_is_seen(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = getattr(reference.stylegan2, wrong)
    if wrong == "clamped":
        monkeypatch.setattr(reference.stylegan2, wrong, lambda x, config: right(x, config) + 0.1)
    else:
        monkeypatch.setattr(
            reference.stylegan2, wrong, lambda *args, **kwargs: 1.1 * right(*args, **kwargs)
        )
    assert measure.agreement(*latent_gradients("float32").values())[0] > 0.02


def test_what_is_wasted_does_not_change_the_result() -> None:
    case = tiny("enot_gaussian_d16")
    wasteful, thrifty = (
        cases.SolverWorkload(case, "reference", CPU, waste=waste).first() for waste in (True, False)
    )
    assert measure.agreement(wasteful, thrifty)[0] < 1e-6


def test_the_buffers_give_the_same_pairs_when_they_are_full() -> None:
    case = load_settings().cases["replay_buffer"]
    assert isinstance(case, BufferCase)
    case = dataclasses.replace(case, buffer_size=70, batch_size=32)
    plain, fast = (cases.BufferWorkload(case, side, CPU) for side in cases.SIDES)
    for _ in range(4):
        assert measure.agreement(plain.first(), fast.first())[0] == 0
        plain.pairs = fast.pairs = plain.pairs + 1


def test_digits_coloured_one_by_one_are_those_of_the_project() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8)
    drawn = draw_hues(len(grey), np.random.default_rng(1))
    expected = colour(resize(grey, 16), drawn)
    plain = coloured_digits(grey, image_size=16, rng=np.random.default_rng(1))
    assert np.array_equal(plain, expected)
    other = coloured_digits(grey, image_size=16, rng=np.random.default_rng(2))
    assert not np.array_equal(other, expected)


def test_fetched_files_are_copies() -> None:
    case = load_settings().cases["fetch"]
    assert isinstance(case, FetchCase)
    case = dataclasses.replace(case, num_files=2, file_mb=1)
    plain, fast = (cases.build_workload(case, side, CPU) for side in cases.SIDES)
    assert isinstance(plain, fetching.FetchWorkload) and fast is not None
    files = fast.first()
    assert measure.agreement(plain.first(), files)[0] == 0
    assert {len(contents) for contents in files.values()} == {2**20} and len(files) == 2
    (plain.mirror / "1.bin").write_bytes(b"something else")
    with pytest.raises(RuntimeError, match=r"1\.bin: found sha256"):
        plain.run()


def test_ideas_for_convolutions_have_the_gradients_of_what_is_there() -> None:
    """float32: orders of summation alone, some roundings of 6e-8; a wrong place is of order 1."""
    for layers, shape, of_weights in image_ideas.cases(3).values():
        x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        now = image_ideas.gradients(layers["now"], x, of_weights=of_weights)
        for name in layers.keys() - {"now"}:
            found = image_ideas.gradients(layers[name], x, of_weights=of_weights)
            for expected, value in zip(now, found, strict=True):
                assert (value - expected).norm() < 1e-5 * expected.norm(), name


# --- measuring ------------------------------------------------------------------------------------


def test_agreement_is_that_of_the_worst_part() -> None:
    a = {"x": torch.tensor([3.0, 4.0]), "y": torch.tensor([1.0, 0.0])}
    b = {"x": torch.tensor([3.0, 4.0]), "y": torch.tensor([0.0, 1.0])}
    worst, cosine = measure.agreement(a, b)
    assert worst == pytest.approx(2**0.5) and cosine == pytest.approx(0)
    assert measure.agreement(a, {"x": -a["x"], "y": a["y"]}) == pytest.approx((2.0, -1.0))


def weights_of_mlp(num_in: int, num_out: int, width: int) -> int:
    return num_in * width + 2 * width**2 + width * num_out


def test_operations_are_counted_for_all_points_and_nothing_else() -> None:
    sampling = tiny("enot_sampling")  # forward only: two operations a weight, step and point
    expected = 2 * weights_of_mlp(17, 16, 32) * 7 * 16
    assert measure.count_flops(sampling, CPU) == expected
    chains = tiny("egnot_sampling")  # forward, and backward to the input
    expected = 4 * weights_of_mlp(16, 1, 32) * 20 * 16
    assert measure.count_flops(chains, CPU) == expected


def test_operations_of_the_outer_step_have_no_waste_in_them() -> None:
    """Drift: forward, backward to input and weights; the potential: simulated without a graph."""
    drift, potential = weights_of_mlp(17, 16, 32), weights_of_mlp(16, 1, 32)
    draw = 2 * 16**2  # of a Gaussian point: noise times the factor of its covariance
    first_input = 17 * 32  # x0 needs no gradient
    drift_step = draw + 6 * (6 * drift) - 2 * first_input + 4 * potential
    potential_step = 2 * draw + 6 * (2 * drift) + 2 * (6 * potential - 2 * 16 * 32)
    counted = measure.count_flops(tiny("enot_gaussian_d16"), CPU)
    assert counted == 32 * (2 * drift_step + potential_step)


def test_peak_memory_sees_what_was_freed() -> None:
    """In a process of its own, as it is used: an old one has free memory that counts already."""
    code = "\n".join(
        [
            "import torch, measure",
            "memory = measure.PeakMemory(torch.device('cpu'))",
            "memory.start()",
            "block = torch.ones(64 * 2**18)  # 64 MB",
            "del block",
            "print(memory.stop())",
        ]
    )
    folder = Path(measure.__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder
    )
    assert 60 < float(done.stdout) < 90


def test_sides_take_turns() -> None:
    order: list[str] = []

    class Noting:
        def __init__(self, name: str) -> None:
            self.name = name

        def run(self) -> None:
            order.append(self.name)

        def first(self) -> dict[str, torch.Tensor]:
            return {}

    workloads: Any = {"reference": Noting("r"), "fast": Noting("f")}
    seconds = measure.interleaved_medians(workloads, repeats=3, device=CPU)
    assert order == ["r", "f"] * 3 and set(seconds) == {"reference", "fast"}


# --- cases that are left out ----------------------------------------------------------------------


def test_cases_are_skipped_with_a_reason(tmp_path: Path) -> None:
    prepare = load_settings().cases["prepare"]
    assert isinstance(prepare, PrepareCase)
    with pytest.raises(cases.SkippedCase, match="no MNIST"):
        cases.build_workload(dataclasses.replace(prepare, raw=str(tmp_path)), "fast", CPU)
    command = load_settings().cases["cli_help"]
    assert isinstance(command, CommandCase)
    assert cases.build_workload(command, "reference", CPU) is None
    absent = dataclasses.replace(command, needs="no-such-program")
    with pytest.raises(cases.SkippedCase, match="no-such-program is not installed"):
        cases.build_workload(absent, "fast", CPU)
    other = dataclasses.replace(command, expect="nothing like it", otherwise="Do this.")
    with pytest.raises(cases.SkippedCase, match=r"did not print 'nothing like it'\. Do this"):
        cases.CommandWorkload(other).run()
    assert cases.CommandWorkload(command).first() == {}


# --- the table ------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "matmul_peak", lambda dtype, device: 1e12)


def written(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("quick")
def test_a_measured_row_and_the_rows_that_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bench.csv"
    kept = {"case": "enot_image", "fast_seconds": 1.5}
    bench_table.update_rows(out, bench_table.format_row(kept), [])
    words = ["--quick", "--only", "replay_buffer", "--out", str(out)]
    assert bench.main(words) == 0
    first, second = written(out)  # in the order of settings.yaml
    assert tuple(first) == bench_table.COLUMNS
    assert first["case"] == "enot_image" and first["fast_seconds"] == "1.5"
    assert second["case"] == "replay_buffer"
    ratio = float(second["reference_seconds"]) / float(second["fast_seconds"])
    assert float(second["ratio"]) == pytest.approx(ratio, rel=1e-2)
    assert float(second["agreement"]) == 0 and float(second["cosine"]) == pytest.approx(1)
    assert second["threads"] == str(torch.get_num_threads()) and second["repeats"] == "2"
    assert second["flops"] == "" and second["torch"] == torch.__version__
    assert [p.name for p in tmp_path.iterdir()] == ["bench.csv"]
    assert bench.main(words) == 0
    assert written(out)[0] == first and len(written(out)) == 2
    capsys.readouterr()
    assert bench.main(["--markdown", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| case") and lines[2].startswith("| enot_image") and len(lines) == 4


@pytest.mark.usefixtures("quick")
def test_a_solver_row_has_operations_and_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings()
    settings = dataclasses.replace(settings, cases={"enot_sampling": tiny("enot_sampling")})
    monkeypatch.setattr(bench, "load_settings", lambda path: settings)
    out = tmp_path / "bench.csv"
    assert bench.main(["--quick", "--out", str(out)]) == 0
    (row,) = written(out)
    share = float(row["flops"]) / float(row["fast_seconds"]) / 1e12
    assert float(row["share_of_peak"]) == pytest.approx(share, rel=1e-2)
    assert row["precision"] in ("float32", "bfloat16")


def test_peak_memory_is_measured_in_a_process_of_its_own() -> None:
    peak = measure.peak_memory_mb("replay_buffer", "fast", settings=SETTINGS, device=CPU)
    assert peak is not None and 0 <= peak < 100


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["--only", "enot_imag"]) == 1
    assert "unknown case 'enot_imag'; did you mean 'enot_image'?" in capsys.readouterr().err
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="found the columns a, b"):
        bench_table.read_rows(other)
    settings = tmp_path / "settings.yaml"
    settings.write_text(SETTINGS.read_text().replace("num_points:", "num_pionts:", 1))
    with pytest.raises(ConfigError, match=r"enot_gaussian_d16\.num_pionts: unknown key"):
        load_settings(settings)


def test_every_case_of_the_settings_has_networks_and_a_preset() -> None:
    for name, case in load_settings().cases.items():
        if isinstance(case, SolverCase):
            assert run_config(case.method, case.preset, case.settings, epsilon=1.0), name
    for name, method in load_settings().time_to_quality.methods.items():
        assert run_config(name, method.preset, method.settings, epsilon=1.0)


def test_neither_engine_of_the_workflow_is_imported() -> None:
    for file in (ROOT / "benchmarks").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {n.split(".")[0] for n in names} & {"snakemake", "dvc"}, file


# --- time to quality ------------------------------------------------------------------------------


def test_the_time_is_that_from_which_on_all_are_below() -> None:
    points = [
        time_to_quality.Point(step, float(step), value)
        for step, value in enumerate([3.0, 0.5, 2.0, 0.9, 0.8, float("nan"), 0.05, 0.04])
    ]
    assert time_to_quality.time_below(points[:5], 1.0) == 3.0
    assert time_to_quality.time_below(points, 1.0) == 6.0
    assert time_to_quality.time_below(points, 0.045) == 7.0
    assert time_to_quality.time_below(points, 0.01) is None


def test_a_tiny_training_is_evaluated_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load_settings()
    quality = settings.time_to_quality
    small = dataclasses.replace(
        quality.methods["enot"],
        settings={"drift": {"width": 8}, "potential": {"width": 8}, "batch_size": 16},
        num_steps=5,
        evaluate_every=2,
        num_samples=500,
        batch_size=300,
    )
    quality = dataclasses.replace(quality, methods={"enot": small})
    settings = dataclasses.replace(settings, time_to_quality=quality)
    monkeypatch.setattr(time_to_quality, "load_settings", lambda path: settings)
    out = tmp_path / "quality.csv"
    assert time_to_quality.main(["--out", str(out)]) == 0
    rows = written(out)
    assert [row["step"] for row in rows] == ["2", "4", "5"]
    seconds = [float(row["train_seconds"]) for row in rows]
    assert seconds == sorted(seconds) and seconds[0] > 0
    assert all(float(row["bw_uvp_plan"]) > float(row["floor"]) > 0 for row in rows)
    printed = capsys.readouterr().out
    assert "enot: bw_uvp_plan below 0.1 % and staying there: not reached" in printed


# --- scaling --------------------------------------------------------------------------------------

SMALL_SCALING = """scaling:
  dim: 2
  epsilon: 1.0
  seconds_a_point: 0.0
  methods:
    egnot:
      preset: vectors
      settings: {potential: {width: 8}, batch_size: 16}
      values: {dim: [3], num_langevin_steps: [200]}
"""


def test_scaling_changes_one_quantity_at_a_time() -> None:
    config = load_settings().scaling
    found = list(scaling.points(config))
    assert [p["changed"] for p in found].count("base") == len(config.methods) == 2
    for p in found:
        differs = {"dim"} if p["dim"] != config.dim else set()
        differs |= {"epsilon"} if p["epsilon"] != config.epsilon else set()
        differs |= set(p["settings"])
        assert differs == ({p["changed"]} if p["changed"] != "base" else set())


def test_scaling_measures_what_was_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "settings.yaml"
    text = SETTINGS.read_text()
    settings.write_text(text[: text.index("scaling:\n")] + SMALL_SCALING)
    out = tmp_path / "scaling.csv"
    assert scaling.main(["--settings", str(settings), "--out", str(out)]) == 0
    base, wider, longer = written(out)
    assert [r["changed"] for r in (base, wider, longer)] == ["base", "dim", "num_langevin_steps"]
    for row in (base, wider, longer):
        assert float(row["seconds_a_step"]) > 0 and float(row["peak_mb"]) >= 0
        assert row["repeats"] == "1"
    assert base["compile"] == "no" or torch.cuda.is_available()
    assert "| egnot  | num_langevin_steps |" in capsys.readouterr().out


def test_scaling_says_why_a_point_cannot_be_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "settings.yaml"
    text = SETTINGS.read_text()
    small = SMALL_SCALING.replace("num_langevin_steps: [200]", "num_langevin_step: [200]")
    settings.write_text(text[: text.index("scaling:\n")] + small.replace("dim: [3], ", ""))
    assert scaling.main(["--settings", str(settings), "--out", str(tmp_path / "s.csv")]) == 1
    assert "num_langevin_step: unknown key" in capsys.readouterr().err
