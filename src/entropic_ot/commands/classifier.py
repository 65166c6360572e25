"""`entropic-ot classifier`: trains the judge behind share_three on real digits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch.nn import functional as F

from entropic_ot.commands.prepare import mnist_folder
from entropic_ot.data.coloured_mnist import resize
from entropic_ot.data.mnist import load_mnist
from entropic_ot.errors import DataError
from entropic_ot.experiments.config import ClassifierConfig, load_classifier
from entropic_ot.experiments.store import load_tree, save_tree
from entropic_ot.files import write_json
from entropic_ot.networks.classifier import DigitClassifier
from entropic_ot.pixels import from_bytes
from entropic_ot.progress import Progress


def train_classifier(config_path: Path, out: Path) -> None:
    """Train on the training digits, test on the test digits, write model and accuracy."""
    config = load_classifier(config_path)
    mnist = load_mnist(mnist_folder())
    images = _as_input(resize(mnist.train_images, config.image_size))
    labels = torch.from_numpy(mnist.train_labels).long()
    model = _trained(config, images, labels)
    test = _as_input(resize(mnist.test_images, config.image_size))
    predicted = torch.cat([model.labels(part) for part in test.split(1000)])
    accuracy = float((predicted.numpy() == mnist.test_labels).mean())
    header = {"data": mnist.name, "test_accuracy": accuracy, **dataclasses.asdict(config)}
    save_tree(out / "model.safetensors", model.state_dict(), header=header)
    write_json(out / "metrics.json", {"data": mnist.name, "test_accuracy": accuracy})
    print(f"classifier: {100 * accuracy:.2f} % of {len(test)} test digits of {mnist.name}")


def _as_input(grey) -> torch.Tensor:  # type: ignore[no-untyped-def]
    return from_bytes(torch.from_numpy(grey)[:, None])


def _trained(
    config: ClassifierConfig, images: torch.Tensor, labels: torch.Tensor
) -> DigitClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # weights and dropout; both are torch's global generator
        model = DigitClassifier(image_size=config.image_size, width=config.width)
        optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
        num_batches = len(images) // config.batch_size
        total = config.num_epochs * num_batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=config.learning_rate, total_steps=total
        )
        progress = Progress("classifier", total)
        model.train()
        for epoch in range(config.num_epochs):
            order = torch.randperm(len(images))
            for i in range(num_batches):
                rows = order[i * config.batch_size : (i + 1) * config.batch_size]
                loss = F.cross_entropy(model(images[rows]), labels[rows])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                progress.update(epoch * num_batches + i + 1, {"loss": float(loss.detach())})
    return model


def load_trained_classifier(folder: Path) -> DigitClassifier:
    """The classifier that `train_classifier` wrote into this folder."""
    path = folder / "model.safetensors"
    state, header = load_tree(path)
    try:
        model = DigitClassifier(image_size=header["image_size"], width=header["width"])
        model.load_state_dict(state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise DataError.about(
            path,
            found=f"no classifier ({type(error).__name__}: {str(error)[:300]})",
            expected="what `entropic-ot classifier` writes",
            action="Delete it and run the rule again.",
        ) from None
    return model
