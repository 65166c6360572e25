"""`entropic-ot evaluate`: the metrics of one run, as rows of the tidy table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from entropic_ot.commands.classifier import load_trained_classifier
from entropic_ot.errors import ConfigError, DataError
from entropic_ot.experiments.build import build_benchmark
from entropic_ot.experiments.config import (
    ColouredMNISTProblem,
    image_problem,
    load_evaluation,
    load_run,
)
from entropic_ot.experiments.evaluate import METRIC_FUNCTIONS, Evaluation
from entropic_ot.experiments.paths import Layout
from entropic_ot.experiments.reference_plans import load_reference_plans
from entropic_ot.experiments.statistics import floor_text
from entropic_ot.experiments.store import PROVENANCE, load_arrays
from entropic_ot.files import write_json
from entropic_ot.metrics.registry import NEEDS_CLASSIFIER, NEEDS_REFERENCE


def _provenance(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}), expected the record that `entropic-ot train` "
            "writes. Delete it and run the rule `train` again; it goes on from its checkpoint."
        ) from None


def evaluate(
    config_path: Path,
    evaluation_path: Path,
    run: Path,
    samples: Path,
    out: Path,
    reference: Path | None = None,
) -> None:
    """Write {"rows": [...]}, one row per metric, with the columns of metrics.csv.

    At epsilon = 0 the metrics that need a discrete plan (`reference`) have no row.
    """
    config, settings = load_run(config_path), load_evaluation(evaluation_path)
    record = _provenance(run / PROVENANCE)
    problem = image_problem(config.problem)
    benchmark = build_benchmark(problem, epsilon=config.epsilon)
    needs_classifier = bool(set(settings.metrics) & NEEDS_CLASSIFIER)
    evaluation = Evaluation(
        samples=load_arrays(samples, command="sample"),
        benchmark=benchmark,
        epsilon=config.epsilon,
        settings=settings,
        target_digit=problem.target_digit if isinstance(problem, ColouredMNISTProblem) else None,
        classifier=load_trained_classifier(Layout(config.scale).classifier)
        if needs_classifier
        else None,
        reference=None if reference is None else load_reference_plans(reference),
    )
    rows = []
    for name in settings.metrics:
        if name in NEEDS_REFERENCE and reference is None:
            if config.epsilon > 0:
                raise ConfigError(
                    f"--reference: found none, expected the plans that {name} compares with; "
                    "`entropic-ot reference` writes them"
                )
            print(f"{config.case} {config.name} {name}: left out at epsilon = 0", flush=True)
            continue
        result = METRIC_FUNCTIONS[name](evaluation)
        rows.append(
            {
                "scale": config.scale,
                "experiment": config.experiment,
                "method": config.method,
                "epsilon": config.epsilon,
                "dim": int(evaluation["x"][0].size),
                "seed": config.seed,
                "metric": name,
                "value": result.value,
                "floor": result.floor,
                "n": result.n,
                "train_seconds": record["train_seconds"],
                "device": record["device"],
                "commit": record["commit"],
                "dirty": record["dirty"],
                "variant": config.variant,
                "precision": record["precision"],
                "config_sha256": record["config_sha256"],
                "floor_std": result.floor_std,
            }
        )
        known = result.floor is not None
        floor = f" (floor {floor_text(result.floor, result.floor_std)})" if known else ""
        print(f"{config.case} {config.name} {name} {result.value:.4g}{floor}", flush=True)
    write_json(out, {"rows": rows})
