"""`entropic-ot evaluate`: the metrics of one run, as rows of the tidy table."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from entropic_ot.commands.classifier import load_trained_classifier
from entropic_ot.data.leftovers import remove_leftovers
from entropic_ot.device import choose_device, describe_device
from entropic_ot.errors import ConfigError, DataError
from entropic_ot.experiments.build import build_benchmark
from entropic_ot.experiments.config import image_problem, load_evaluation, load_run
from entropic_ot.experiments.evaluate import METRIC_FUNCTIONS
from entropic_ot.experiments.evaluation import Evaluation
from entropic_ot.experiments.paths import REAL_SIDE, WEIGHTS, Layout
from entropic_ot.experiments.reference_plans import load_reference_plans
from entropic_ot.experiments.statistics import floor_text
from entropic_ot.experiments.store import PROVENANCE, load_arrays
from entropic_ot.files import write_json
from entropic_ot.metrics.features import (
    FeatureExtractor,
    effnet_features,
    inception_features,
    lenet_features,
)
from entropic_ot.metrics.perceptual import lpips_network
from entropic_ot.metrics.registry import METRICS, NETWORKS, needs_of
from entropic_ot.networks.classifier import DigitClassifier

RECORDED = ("train_seconds", "device", "commit", "dirty", "precision", "compile", "config_sha256")
"""What of a run's provenance stands in each row."""


def _provenance(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
        return {key: record[key] for key in RECORDED}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path}: cannot be read ({type(error).__name__}: {error}), expected the record that "
            "`entropic-ot train` of this version writes. Delete it and run the rule `train` again; "
            "it goes on from its checkpoint."
        ) from None


class _Samples(dict[str, np.ndarray]):
    """The arrays of a samples file; one that is not there is an error with the file's name."""

    def __init__(self, path: Path) -> None:
        super().__init__(load_arrays(path, command="sample"))
        self.path = path

    def __missing__(self, name: str) -> np.ndarray:
        raise DataError(
            f"{self.path}: found no array {name!r} but {', '.join(self) or 'none'}, expected what "
            "`entropic-ot sample` of this version writes. Delete it and run the rule again."
        )


def _extractors(
    needs: frozenset[str], classifier: DigitClassifier | None, device: torch.device
) -> dict[str, FeatureExtractor]:
    """Those of the features in `needs`, by name, on the device; the classifier is moved there."""
    extractors = {}
    if classifier is not None:
        extractors["lenet"] = lenet_features(classifier, device=device)
    if "effnet" in needs:
        extractors["effnet"] = effnet_features(WEIGHTS, device=device)
    if "inception" in needs:
        extractors["inception"] = inception_features(WEIGHTS, device=device)
    return extractors


def evaluate(
    config_path: Path,
    evaluation_path: Path,
    run: Path,
    samples: Path,
    out: Path,
    reference: Path | None = None,
) -> None:
    """Write {"rows": [...], "over_time": [...]}, with the columns of metrics.csv and over_time.csv.

    The first has a row per metric, the second one per time of a metric that is a mean over times.
    Where networks measured images, "networks_device" says in words what they computed on.

    At epsilon = 0 the metrics that need a discrete plan (`reference`) have no row.
    """
    config, settings = load_run(config_path), load_evaluation(evaluation_path)
    record = _provenance(run / PROVENANCE)
    problem = image_problem(config.problem)
    needs = needs_of(settings.metrics)
    device, classifier = torch.device("cpu"), None
    if needs & NETWORKS:
        device = choose_device(config.compute.device)
    if "lenet" in needs:
        classifier = load_trained_classifier(Layout(config.scale).classifier)
    evaluation = Evaluation(
        samples=_Samples(samples),
        benchmark=build_benchmark(problem, epsilon=config.epsilon),
        epsilon=config.epsilon,
        settings=settings,
        target_digit=getattr(problem, "target_digit", None),
        classifier=classifier,
        reference=None if reference is None else load_reference_plans(reference),
        extractors=_extractors(needs, classifier, device),
        lpips=lpips_network(WEIGHTS, device=device) if "lpips" in needs else None,
        real_side=REAL_SIDE,
    )
    rows: list[dict[str, Any]] = []
    over_time: list[dict[str, Any]] = []
    for name in settings.metrics:
        if "reference" in METRICS[name].needs and reference is None:
            if config.epsilon > 0:
                raise ConfigError(
                    f"--reference: found none, expected the plans that {name} compares with; "
                    "`entropic-ot reference` writes them"
                )
            print(f"{config.case} {config.name} {name}: left out at epsilon = 0", flush=True)
            continue
        result = METRIC_FUNCTIONS[name](evaluation)
        key = {
            "scale": config.scale,
            "experiment": config.experiment,
            "variant": config.variant,
            "method": config.method,
            "epsilon": config.epsilon,
            "seed": config.seed,
            "metric": name,
        }
        rows.append(
            {
                **key,
                **record,
                "dim": int(evaluation["x"][0].size),
                "value": result.value,
                "floor": result.floor,
                "n": result.n,
                "floor_std": result.floor_std,
                "compile": record["compile"],
            }
        )
        over_time += [key | dataclasses.asdict(at_time) for at_time in result.over_time]
        known = result.floor is not None
        floor = f" (floor {floor_text(result.floor, result.floor_std)})" if known else ""
        print(f"{config.case} {config.name} {name} {result.value:.4g}{floor}", flush=True)
    remove_leftovers(out.parent, f".{out.name}.", ".part")
    networks = {"networks_device": describe_device(device)} if needs & NETWORKS else {}
    write_json(out, {"rows": rows, "over_time": over_time} | networks)
