"""Distances of feature sets against torch-fidelity's functions, where it is installed.

It is in no lock file but the extra `fid` (`pip install '.[fid]'`). Why distances are computed here
all the same stands in docs/conventions.md, section 8.
"""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from entropic_ot.metrics.features import import_torchvision
from entropic_ot.metrics.frechet import frechet_distance
from entropic_ot.metrics.kernel_distance import kernel_distance
from entropic_ot.metrics.precision_recall import precision_recall

if importlib.util.find_spec("torch_fidelity") is None:
    pytest.skip("needs torch-fidelity: pip install '.[fid]'", allow_module_level=True)
import_torchvision()  # torch-fidelity does; its CUDA build needs this beside a CPU torch


def features(n: int, dim: int, seed: int) -> np.ndarray:
    """Positive and correlated, as those behind a ReLU are."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(0).standard_normal((dim, dim)) / dim**0.5
    return np.maximum(rng.standard_normal((n, dim)) @ mixing + 0.1 * seed, 0)


@pytest.mark.parametrize(("n", "m", "dim"), [(300, 250, 64), (40, 60, 128)])
def test_frechet_distance(n: int, m: int, dim: int) -> None:
    from torch_fidelity import metric_fid

    x, y = features(n, dim, 1), features(m, dim, 2)
    statistics = [metric_fid.fid_features_to_statistics(torch.from_numpy(a)) for a in (x, y)]
    theirs = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)
    # With n < dim theirs takes roots of eigenvalues that are 0 but for rounding: 1e-8 each.
    assert frechet_distance(x, y) == pytest.approx(
        theirs["frechet_inception_distance"], rel=1e-6, abs=1e-8 * dim
    )


@pytest.mark.parametrize("n", [100, 300])
def test_kernel_distance(n: int) -> None:
    """One subset of all points, since the draws of subsets are each library's own."""
    from torch_fidelity import metric_kid

    x, y = features(n, 64, 1), features(n, 64, 2)
    theirs = metric_kid.kid_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), kid_subsets=1, kid_subset_size=n, verbose=False
    )
    ours = kernel_distance(x, y, rng=np.random.default_rng(0), subset_size=n)
    assert ours == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-10)


@pytest.mark.parametrize(("n", "m"), [(200, 150), (90, 300)])
def test_precision_and_recall(n: int, m: int) -> None:
    from torch_fidelity import metric_prc

    x, y = features(n, 12, 1), features(m, 12, 8)
    theirs = metric_prc.prc_features_to_metric(
        torch.from_numpy(x), torch.from_numpy(y), prc_neighborhood=3, verbose=False
    )
    ours = precision_recall(x, y)
    assert 0.1 < ours.precision < 1 and 0.1 < ours.recall < 1
    # Theirs are means in float32.
    assert ours.precision == pytest.approx(theirs["precision"], rel=1e-6)
    assert ours.recall == pytest.approx(theirs["recall"], rel=1e-6)
