"""What metrics of images are called in tables and above pictures, in the order of the columns."""

from __future__ import annotations

from entropic_ot.metrics.registry import FEATURE_METRICS, FeatureMetric

_FEATURES = {"lenet": "LeNet", "effnet": "EffNet", "inception": "Inception"}
_DISTANCES = {"frechet": "FD", "kernel": "KID"}
_SIDES = {"y": "", "generated": "generator\n", "x": "input\n", "target": "two halves\n"}
"""Of a distance to the real test images: what is compared with them."""


def _distance(metric: FeatureMetric) -> str:
    """FID and KID alone are said of Inception; other distances carry their network's name."""
    kind = _DISTANCES[metric.measure]
    if metric.features == "inception":
        return {"FD": "FID"}.get(kind, kind)
    return f"{kind} {_FEATURES[metric.features]}"


def _share(metric: FeatureMetric) -> str:
    return f"{metric.measure}\n{_FEATURES[metric.features]} [%]"


DISTANCES: dict[str, str] = {
    name: f"{_SIDES[metric.images]}{_distance(metric)}"
    for name, metric in FEATURE_METRICS.items()
    if metric.measure in _DISTANCES
}
"""Distances of sets of images -> heading."""

OTHERS: dict[str, str] = {
    "share_three": "called\n“3” [%]",
    "share_correct": "target\ndigit [%]",
    "hue_error": "hue\nerror [°]",
    **{n: _share(m) for n, m in FEATURE_METRICS.items() if m.measure not in _DISTANCES},
    "latent_energy_distance": "latents\nenergy dist.",
    "lpips_diversity": "LPIPS\ndiversity",
    "lpips_cost": "LPIPS\nx, y",
    "conditional_variance": "variance\ngiven x",
    "cost_half_l2": "½L2",
}
"""The others -> heading."""

NOTES: dict[str, str] = {
    "share_three": "called “3”: {:.0f} %",
    "hue_error": "hue error {:.0f}°",
    **{
        name: f"{'input ' if metric.images == 'x' else ''}{_distance(metric)} {{:.3g}}"
        for name, metric in FEATURE_METRICS.items()
        if metric.measure in _DISTANCES and metric.images in ("y", "x")
    },
    **{
        name: f"{metric.measure} {{:.0f}} %"
        for name, metric in FEATURE_METRICS.items()
        if metric.measure not in _DISTANCES
    },
    "latent_energy_distance": "latent ED {:.2g}",
    "lpips_diversity": "LPIPS diversity {:.2f}",
}
"""What is said above a picture: metric -> text with a place for its value."""
