"""EgNOT and its cost where source points and target points are of different kinds."""

import pytest
import torch

from entropic_ot.costs import DecodedHalfSquaredEuclidean
from entropic_ot.errors import ConfigError
from entropic_ot.generators.latent_space import MappedNormal, decode_w, decode_z, in_batches
from entropic_ot.networks.config import NetworkConfig
from entropic_ot.networks.stylegan2 import Generator, GeneratorConfig
from entropic_ot.problems.base import ArrayDistribution, EOTProblem
from entropic_ot.problems.toy import StandardNormal
from entropic_ot.solvers.config import EgNOTConfig
from entropic_ot.solvers.egnot import EgNOT

EPSILON = 0.5
MATRIX = torch.tensor([[1.0, 0.5], [0.0, 1.5], [0.7, -0.2]])
"""G(z) = MATRIX z, from two dimensions to three."""


def decode(z):
    return z @ MATRIX.T


def solver(**settings):
    config = EgNOTConfig(
        potential=NetworkConfig(kind="mlp", width=8, depth=2),
        base_potential="standard_normal",
        batch_size=16,
        buffer_size=64,
        **settings,
    )
    return EgNOT(
        (2,), config, epsilon=EPSILON, cost=DecodedHalfSquaredEuclidean(decode), source_shape=(3,)
    )


def test_cost_compares_with_the_decoded_point():
    rng = torch.Generator().manual_seed(0)
    x, z = torch.randn(5, 3, generator=rng), torch.randn(5, 2, generator=rng)
    expected = [0.5 * float((a - MATRIX @ b).square().sum()) for a, b in zip(x, z, strict=True)]
    torch.testing.assert_close(
        DecodedHalfSquaredEuclidean(decode)(x, z), torch.tensor(expected), rtol=1e-5, atol=1e-5
    )


def test_chains_draw_the_posterior_of_a_linear_decoder():
    """With the network at zero: N(C G^T x / eps, C), C = (I + G^T G / eps)^-1."""
    egnot = solver(step_size=0.02, num_test_langevin_steps=400)
    last = egnot.potential.module.net.last
    zero = {k: torch.zeros_like(v) for k, v in last.state_dict().items()}
    state = egnot.state_dict()
    for name, value in zero.items():
        state["model"]["potential"][f"net.last.{name}"] = value
    egnot.load_state_dict({"model": state["model"]})
    x = torch.tensor([[1.0, -0.5, 2.0]])
    z = egnot.sample(x.expand(10_000, 3), rng=torch.Generator().manual_seed(1))
    covariance = torch.linalg.inv(torch.eye(2) + MATRIX.T @ MATRIX / EPSILON)
    mean = covariance @ MATRIX.T @ x[0] / EPSILON
    # 0.012 is three standard errors of a mean of 10 000; Langevin adds 1 % to the variance.
    torch.testing.assert_close(z.mean(0), mean, atol=0.015, rtol=0)
    torch.testing.assert_close(torch.cov(z.T), covariance, atol=0.015, rtol=0)


@pytest.mark.parametrize("chains", ["replay", "persistent"])
def test_training_moves_the_marginal_to_the_target(chains):
    """The base alone leaves Z wider than N(0, I): the network has to learn the difference."""
    egnot = solver(
        step_size=0.05,
        num_langevin_steps=20,
        num_test_langevin_steps=200,
        learning_rate=1e-2,
        chains=chains,
    )
    rng = torch.Generator().manual_seed(0)
    source = ArrayDistribution((2.5 * torch.randn(64, 3, generator=rng)).numpy())
    problem = EOTProblem(source, StandardNormal((2,)), EPSILON, egnot.cost)
    x = source.at(torch.arange(64)).repeat(50, 1)

    def variance():
        return egnot.sample(x, rng=torch.Generator().manual_seed(2)).var(0).mean()

    before = variance()
    for step in range(300):
        egnot.step(problem, rng=rng, progress=step / 300)
    assert before > 1.6
    assert abs(variance() - 1) < 0.25 * (before - 1)


@pytest.mark.parametrize("chains", ["replay", "persistent"])
def test_chains_of_another_shape_than_their_inputs_resume_bit_identically(chains):
    def trained(egnot, rng, steps):
        for step in steps:
            egnot.step(problem, rng=rng, progress=step / 6)
        return egnot

    source = ArrayDistribution(torch.randn(20, 3, generator=torch.Generator()).numpy())
    cost = DecodedHalfSquaredEuclidean(decode)
    problem = EOTProblem(source, StandardNormal((2,)), EPSILON, cost)
    settings = {"num_langevin_steps": 2, "num_warm_up_steps": 1, "chains": chains}
    rng = torch.Generator().manual_seed(0)
    whole = trained(solver(**settings), rng, range(6))
    rng = torch.Generator().manual_seed(0)
    state = trained(solver(**settings), rng, range(3)).state_dict()
    again = solver(**settings)
    again.load_state_dict(state)
    trained(again, rng, range(3, 6))
    for name, value in whole.state_dict()["model"]["potential"].items():
        assert torch.equal(value, again.state_dict()["model"]["potential"][name]), name
    assert torch.equal(whole.chains.y, again.chains.y)


def test_a_start_is_needed_where_shapes_differ():
    with pytest.raises(ConfigError, match=r"base_potential: found none .*\(3,\).*\(2,\)"):
        EgNOT((2,), epsilon=1.0, source_shape=(3,))


def test_chains_begin_where_start_says():
    egnot = EgNOT((2,), epsilon=1.0, source_shape=(3,), start=lambda x: x[:, :2] + 5)
    x = torch.zeros(4, 3)
    assert (egnot.initial(x, rng=torch.Generator()) == 5).all()


def small_generator():
    torch.manual_seed(0)
    config = GeneratorConfig(
        channels=(8, 8), img_channels=3, z_dim=6, w_dim=5, mapping_layers=2, mapping_width=5
    )
    return Generator(config).requires_grad_(False)


def shift(w):
    return 2 * w + 1


def unshift(u):
    return (u - 1) / 2


def test_both_decoders_make_the_generators_images():
    generator = small_generator()
    z = torch.randn(7, 6, generator=torch.Generator().manual_seed(3))
    images = generator(z)
    by_z = in_batches(decode_z(generator, precision="float32"), z, batch_size=3)
    torch.testing.assert_close(by_z, images)
    by_w = decode_w(generator, unshift, precision="float32")(shift(generator.mapping(z)))
    torch.testing.assert_close(by_w, images, atol=1e-5, rtol=1e-4)


def test_bfloat16_makes_nearly_the_same_images():
    generator = small_generator()
    z = torch.randn(7, 6, generator=torch.Generator().manual_seed(3))
    images = decode_z(generator, precision="bfloat16")(z)
    assert images.dtype == torch.float32
    # Eight bits: a relative error of 0.4 % in each of a few layers.
    assert 0 < (images - generator(z)).abs().max() < 0.05 * generator(z).abs().max()


def test_the_mapped_normal_is_what_the_generator_makes_of_z():
    generator = small_generator()
    target = MappedNormal(generator, shift)
    points = target.sample(50, rng=torch.Generator().manual_seed(4))
    assert points.shape == (50, *target.shape)
    z = torch.randn(50, 6, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(points, shift(generator.mapping(z)))


def test_a_latent_gets_the_gradient_of_the_decoded_cost():
    generator = small_generator().double()
    cost = DecodedHalfSquaredEuclidean(generator)
    x = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    z = torch.full((1, 6), 0.3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: cost(x, z), z)
