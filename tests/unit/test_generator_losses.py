"""Losses of the GAN against closed forms, and the transforms against what they should do."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch

from entropic_ot.device import make_rng
from entropic_ot.generators.augment import CUTOUT, augment
from entropic_ot.generators.config import Transform
from entropic_ot.generators.losses import (
    discriminator_loss,
    generator_loss,
    path_lengths,
    r1_penalty,
)


def images(n: int = 6, size: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, size, size, generator=make_rng(seed)) * 2 - 1


def test_the_losses_are_the_two_cross_entropies() -> None:
    real, fake = torch.tensor([0.3, -2.0]), torch.tensor([1.5, 0.0])
    expected = -(real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean())
    torch.testing.assert_close(discriminator_loss(real, fake), expected)
    torch.testing.assert_close(generator_loss(fake), -fake.sigmoid().log().mean())


def test_r1_of_a_linear_discriminator_is_half_gamma_times_its_squared_slope() -> None:
    slope = images(1, seed=1)[0]
    penalty = r1_penalty(lambda x: (x * slope).sum((1, 2, 3)) + 3, images(), gamma=0.7)
    torch.testing.assert_close(penalty, 0.35 * slope.square().sum())


def test_r1_of_a_quadratic_discriminator_and_its_gradient_in_the_weight() -> None:
    """D(x) = a |x|^2 / 2 has the gradient a x, and gamma/2 a^2 E|x|^2 the derivative gamma a E."""
    x, a = images(), torch.tensor(1.3, requires_grad=True)
    penalty = r1_penalty(lambda y: 0.5 * a * y.square().sum((1, 2, 3)), x, gamma=2.0)
    mean = x.square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(penalty.detach(), 1.3**2 * mean)
    penalty.backward()
    assert a.grad is not None
    torch.testing.assert_close(a.grad, 2 * 1.3 * mean)


def test_path_lengths_of_a_linear_generator() -> None:
    """image = sum over layers of J w: J^T y / side is the gradient in each layer alike."""
    size, w_dim, num_ws, n = 4, 5, 3, 2000
    matrix = torch.randn(3 * size * size, w_dim, generator=make_rng(0))
    ws = torch.randn(n, num_ws, w_dim, generator=make_rng(1)).requires_grad_(True)
    made = (ws.sum(1) @ matrix.T).reshape(n, 3, size, size)
    lengths = path_lengths(made, ws, rng=make_rng(2))
    y = torch.randn(made.shape, generator=make_rng(2)) / size
    expected = (y.reshape(n, -1) @ matrix).square().sum(1).sqrt()  # the mean of equal layers
    torch.testing.assert_close(lengths.detach(), expected)
    # E |J^T y|^2 = |J|_F^2 / pixels; the relative error of its mean over n is about 1/sqrt(n).
    mean_square = float(lengths.detach().square().mean())
    assert mean_square == pytest.approx(float(matrix.square().sum()) / size**2, rel=0.1)


# --- augmentation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in get_args(Transform) if name != "flip"])
def test_a_transform_changes_all_images_or_none_by_its_probability(name: Transform) -> None:
    x = images()
    # A grid that maps to itself is interpolated: float32 rounding.
    kept = augment(x, [name], probability=0.0, rng=make_rng(0))
    torch.testing.assert_close(kept, x, rtol=0, atol=1e-5)
    changed = augment(x, [name], probability=1.0, rng=make_rng(0))
    assert (((changed - x).abs().amax((1, 2, 3))) > 1e-3).all()
    assert changed.shape == x.shape and changed.isfinite().all()


def test_about_a_share_p_of_the_images_is_changed() -> None:
    x = images(400, size=8)
    changed = augment(x, ["brightness"], probability=0.3, rng=make_rng(0))
    share = ((changed - x).abs().amax((1, 2, 3)) > 0).float().mean()
    assert float(share) == pytest.approx(0.3, abs=0.1)  # four standard deviations of a share


def test_a_flip_mirrors_the_columns_of_half_of_the_images() -> None:
    x = images()[:1].expand(400, -1, -1, -1)
    for probability, share in ((1.0, 0.5), (0.5, 0.25)):
        y = augment(x, ["flip"], probability=probability, rng=make_rng(0))
        mirrored = torch.isclose(y, x.flip(3), atol=1e-5).all(3).all(2).all(1)
        kept = torch.isclose(y, x, atol=1e-5).all(3).all(2).all(1)
        assert (mirrored ^ kept).all()
        # Three standard deviations of a share of 400 draws.
        assert abs(mirrored.float().mean() - share) < 0.075


def test_geometry_keeps_a_constant_image_and_brightness_adds_one_number() -> None:
    grey = torch.full((5, 3, 16, 16), 0.4)
    moved = augment(grey, ["translation", "rotation", "scale"], probability=1.0, rng=make_rng(1))
    torch.testing.assert_close(moved, grey, rtol=0, atol=1e-5)
    x = images()
    added = augment(x, ["brightness"], probability=1.0, rng=make_rng(1)) - x
    assert (added.flatten(1).std(1) < 1e-6).all() and (added.abs().amax((1, 2, 3)) <= 0.5).all()


def test_saturation_keeps_the_mean_of_a_pixel_and_contrast_that_of_an_image() -> None:
    x = images()
    saturated = augment(x, ["saturation"], probability=1.0, rng=make_rng(1))
    torch.testing.assert_close(saturated.mean(1), x.mean(1), rtol=0, atol=1e-5)
    contrasted = augment(x, ["contrast"], probability=1.0, rng=make_rng(1))
    torch.testing.assert_close(contrasted.mean((1, 2, 3)), x.mean((1, 2, 3)), rtol=0, atol=1e-5)


def test_a_cutout_is_black_to_grey_in_a_square_of_half_the_side_at_most() -> None:
    ones = torch.ones(50, 1, 16, 16)
    cut = 1 - augment(ones, ["cutout"], probability=1.0, rng=make_rng(2))
    rows, columns = cut.amax(3).sum(2)[:, 0], cut.amax(2).sum(2)[:, 0]
    assert set(cut.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(cut.sum((1, 2, 3)), rows * columns)  # a rectangle
    side = CUTOUT * 16
    assert max(float(rows.max()), float(columns.max())) == side
    assert min(float(rows.min()), float(columns.min())) >= math.floor(side / 2)


def test_gradients_flow_through_the_transforms_to_the_generated_images() -> None:
    x = images().requires_grad_(True)
    augment(x, ["translation", "contrast"], probability=1.0, rng=make_rng(0)).sum().backward()
    assert x.grad is not None and (x.grad.abs().amax((1, 2, 3)) > 0).all()
