"""Training of a StyleGAN2 generator, step by step (arXiv 1912.04958 and 2006.06676)."""

from __future__ import annotations

from typing import Any, cast

import torch

from entropic_ot import distributed
from entropic_ot.distributed import Rows
from entropic_ot.errors import ConfigError
from entropic_ot.generators.augment import augment
from entropic_ot.generators.config import GeneratorTrainingConfig
from entropic_ot.generators.losses import (
    discriminator_loss,
    generator_loss,
    path_lengths,
    r1_penalty,
)
from entropic_ot.networks.seeds import seeded
from entropic_ot.networks.stylegan2 import Generator, GeneratorConfig
from entropic_ot.networks.stylegan2_discriminator import Discriminator
from entropic_ot.problems.base import Distribution
from entropic_ot.solvers.base import AveragedModule, apply_gradients, frozen
from entropic_ot.types import PerPoint, Points

MEAN_W_DECAY = 0.998
"""Of the running mean of w, an update."""
MEAN_LENGTH_DECAY = 0.99
"""Of the running mean of path lengths, an update."""


class GeneratorTraining:
    """A generator, its running average, a discriminator, and their optimisers.

    `state_dict` has two parts, as a solver's: "model" is the averaged generator, "training" all
    that only `step` needs.
    """

    def __init__(
        self,
        config: GeneratorTrainingConfig,
        image_shape: tuple[int, ...],
        *,
        precision: str = "float32",
        device: torch.device | str = "cpu",
    ) -> None:
        """image_shape: (channels, size, size); ConfigError where it is not what `config` makes."""
        self.config, self.device = config, torch.device(device)
        self.autocast = precision == "bfloat16"
        _check_shape(config, image_shape)
        with seeded(config.seed):
            generator = Generator(architecture_of(config, image_shape[0]))
            discriminator = Discriminator(
                channels=config.discriminator_channels,
                img_channels=image_shape[0],
                group_size=config.group_size,
            )
        decay = 0.5 ** (config.batch_size / config.ema_images)
        self.generator = AveragedModule(generator.to(self.device), decay=decay)
        self.discriminator = discriminator.to(self.device)
        self.generator_rate, self.generator_optimizer = self._optimizer(
            generator,
            config.generator_learning_rate,
            config.path_length_interval if config.path_length_weight else None,
        )
        self.discriminator_rate, self.discriminator_optimizer = self._optimizer(
            discriminator,
            config.discriminator_learning_rate,
            config.r1_interval if config.r1_gamma else None,
        )
        self.num_steps = 0
        self.mean_length = torch.zeros([], device=self.device)
        self.probability = 1.0 if config.augmentation.kind == "diffaugment" else 0.0
        self.overfitting = 0.0
        self._signs: list[torch.Tensor] = []

    def _optimizer(
        self, module: torch.nn.Module, rate: float, interval: int | None
    ) -> tuple[float, torch.optim.Adam]:
        """Adam and its step size.

        A penalty every `interval` steps is an update of its own: with k + 1 updates in k steps,
        rate and decays are moved so that k + 1 updates do what k did (section 4.1 of the paper).
        """
        share = 1.0 if interval is None else interval / (interval + 1)
        betas = (self.config.adam_beta1**share, self.config.adam_beta2**share)
        return rate * share, torch.optim.Adam(
            module.parameters(), lr=rate * share, betas=betas, eps=1e-8
        )

    # ----------------------------------------------------------------------------------------------
    # The two networks

    def _ws(self, rows: Rows, rng: torch.Generator) -> torch.Tensor:
        """w of draws of z for every layer [batch, num_ws, w_dim], styles mixed as configured."""
        net, n = cast("Generator", self.generator.module), rows.total
        z = torch.randn(n, self.config.z_dim, generator=rng, device=self.device)
        w = net.mapping(rows.own(z))
        mean_w = distributed.mean(w.detach().mean(0, keepdim=True))
        net.mapping.track_average(mean_w, decay=MEAN_W_DECAY)
        ws: torch.Tensor = w[:, None].expand(-1, net.config.num_ws, -1)
        if self.config.style_mixing:
            other_z = torch.randn(z.shape, generator=rng, device=self.device)
            other = net.mapping(rows.own(other_z))
            uniform = torch.rand(n, generator=rng, device=self.device)
            mixed = rows.own(uniform) < self.config.style_mixing
            first = torch.randint(1, net.config.num_ws, (n,), generator=rng, device=self.device)
            first = rows.own(first)
            layers = torch.arange(net.config.num_ws, device=self.device)
            replaced = mixed[:, None] & (layers >= first[:, None])
            ws = torch.where(replaced[:, :, None], other[:, None], ws)
        return ws

    def _images(self, rows: Rows, ws: torch.Tensor, rng: torch.Generator) -> Points:
        net = cast("Generator", self.generator.module)
        random = self.config.noise == "random"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            images = net.synthesis(
                ws, noise=self.config.noise, rng=rng if random else None, rows=rows
            )
        return cast("torch.Tensor", images.float())

    def _judged(self, images: Points) -> PerPoint:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            return cast("torch.Tensor", self.discriminator(images).float())

    def _augmented(self, rows: Rows, images: Points, rng: torch.Generator) -> Points:
        transforms = self.config.augmentation.transforms
        if not transforms:
            return images
        return augment(images, transforms, probability=self.probability, rng=rng, rows=rows)

    # ----------------------------------------------------------------------------------------------
    # One step

    def step(self, images: Distribution, *, rng: torch.Generator) -> dict[str, float]:
        """One update of the discriminator and one of the generator, penalties when it is time."""
        rows = self._share()
        logs = self._discriminator_step(rows, images, rng)
        logs |= self._generator_step(rows, rng)
        self.num_steps += 1
        self._adapt()
        if self.config.augmentation.kind == "ada":
            logs |= {"augmentation": self.probability, "overfitting": self.overfitting}
        return logs

    def _share(self) -> Rows:
        """The rows of this process; ConfigError where a group would be in two processes."""
        batch, world = self.config.batch_size, distributed.world_size()
        groups = batch // min(self.config.group_size, batch)
        if groups % world:
            raise ConfigError.about(
                "batch_size",
                found=f"{batch}, which is {groups} groups of group_size, for {world} processes",
                expected=f"a multiple of {world} groups",
                action="Change one of the two, or train with another number of processes.",
            )
        return distributed.batch(batch, key="batch_size")

    def _fake(self, rows: Rows, rng: torch.Generator) -> Points:
        images = self._images(rows, self._ws(rows, rng), rng)
        return self._augmented(rows, images, rng)

    def _real(self, rows: Rows, images: Distribution, rng: torch.Generator) -> Points:
        real = images.sample(self.config.batch_size, rng=rng)
        if self.config.horizontal_flips:
            mirrored = torch.rand(len(real), generator=rng, device=self.device) < 0.5
            real = torch.where(mirrored[:, None, None, None], real.flip(3), real)
        return self._augmented(rows, rows.own(real), rng)

    def _discriminator_step(
        self, rows: Rows, images: Distribution, rng: torch.Generator
    ) -> dict[str, float]:
        config = self.config
        real = self._real(rows, images, rng)
        with torch.no_grad():
            fake = self._fake(rows, rng)
        real_logits, fake_logits = self._judged(real), self._judged(fake)
        loss = discriminator_loss(real_logits, fake_logits)
        apply_gradients(self.discriminator_optimizer, loss, learning_rate=self.discriminator_rate)
        self._signs.append(distributed.mean(real_logits.detach().sign().mean()))
        logs = {
            "discriminator_loss": float(loss.detach()),
            "real_logit": float(real_logits.detach().mean()),
            "fake_logit": float(fake_logits.detach().mean()),
        }
        if config.r1_gamma and self.num_steps % config.r1_interval == 0:
            penalty = r1_penalty(self._judged, real, gamma=config.r1_gamma)
            apply_gradients(
                self.discriminator_optimizer,
                config.r1_interval * penalty,
                learning_rate=self.discriminator_rate,
            )
            logs["r1"] = float(penalty.detach())
        return logs

    def _generator_step(self, rows: Rows, rng: torch.Generator) -> dict[str, float]:
        config = self.config
        with frozen(self.discriminator):
            fake = self._fake(rows, rng)
            loss = generator_loss(self._judged(fake))
            apply_gradients(self.generator_optimizer, loss, learning_rate=self.generator_rate)
        logs = {"generator_loss": float(loss.detach())}
        if config.path_length_weight and self.num_steps % config.path_length_interval == 0:
            penalty = self._path_penalty(rng)
            apply_gradients(
                self.generator_optimizer,
                config.path_length_interval * penalty,
                learning_rate=self.generator_rate,
            )
            logs["path_penalty"] = float(penalty.detach())
        self.generator.update()
        return logs

    def _path_penalty(self, rng: torch.Generator) -> torch.Tensor:
        """weight E (|J^T y| - a)^2, a the running mean of the lengths; on half a batch."""
        rows = distributed.batch(max(1, self.config.batch_size // 2), key="half of batch_size")
        ws = self._ws(rows, rng)
        lengths = path_lengths(self._images(rows, ws, rng), ws, rng=rng, rows=rows)
        mean_length = distributed.mean(lengths.detach().mean())
        mean = torch.lerp(mean_length, self.mean_length, MEAN_LENGTH_DECAY)
        self.mean_length = mean
        return self.config.path_length_weight * (lengths - mean).square().mean()

    def _adapt(self) -> None:
        """p rises or falls by the sign of (mean sign of D on real images - target)."""
        config = self.config.augmentation
        if len(self._signs) < config.ada_interval:
            return
        self.overfitting = float(torch.stack(self._signs).mean())
        self._signs.clear()
        if config.kind == "ada":
            moved = self.config.batch_size * config.ada_interval / config.ada_images
            sign = (self.overfitting > config.ada_target) - (self.overfitting < config.ada_target)
            self.probability = min(max(self.probability + sign * moved, 0.0), 1.0)

    # ----------------------------------------------------------------------------------------------
    # What is kept

    @torch.no_grad()
    def samples(self, z: Points) -> Points:
        """Images of the averaged generator, with its stored noise."""
        with self.generator.averaged() as net:
            return cast("torch.Tensor", net(z.to(self.device)))

    def averaged_generator(self) -> Generator:
        """A copy of the generator with the averaged weights, frozen, on the CPU."""
        net = Generator(cast("Generator", self.generator.module).config)
        net.load_state_dict({k: v.cpu() for k, v in self.generator.average.items()})
        return net.requires_grad_(False).eval()

    def state_dict(self) -> dict[str, Any]:
        """All that a training goes on from."""
        training = {
            "generator": self.generator.training_state(),
            "discriminator": self.discriminator.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "num_steps": self.num_steps,
            "mean_length": self.mean_length,
            "probability": self.probability,
            "overfitting": self.overfitting,
            "signs": list(self._signs),
        }
        return {"model": self.generator.model_state(), "training": training}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict()`."""
        training = state["training"]
        self.generator.load(state["model"], training["generator"])
        self.discriminator.load_state_dict(training["discriminator"])
        self.generator_optimizer.load_state_dict(training["generator_optimizer"])
        self.discriminator_optimizer.load_state_dict(training["discriminator_optimizer"])
        self.num_steps = int(training["num_steps"])
        self.mean_length = training["mean_length"].to(self.device)
        self.probability = float(training["probability"])
        self.overfitting = float(training["overfitting"])
        self._signs = [sign.to(self.device) for sign in training["signs"]]


def architecture_of(config: GeneratorTrainingConfig, img_channels: int) -> GeneratorConfig:
    """The generator that a training makes."""
    return GeneratorConfig(
        channels=config.channels,
        img_channels=img_channels,
        z_dim=config.z_dim,
        w_dim=config.w_dim,
        mapping_layers=config.mapping_layers,
        mapping_width=config.w_dim,
    )


def _check_shape(config: GeneratorTrainingConfig, shape: tuple[int, ...]) -> None:
    size = config.resolution
    if len(shape) != 3 or shape[1:] != (size, size) or shape[0] not in (1, 3):
        raise ConfigError(
            f"channels: found {len(config.channels)} resolutions, which make images of "
            f"{size}x{size}, for data of shape {list(shape)}, expected [1 or 3, {size}, {size}]. "
            "Give one number for each of 4, 8, 16, ... up to the images' side."
        )
