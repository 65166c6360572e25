"""Two ideas for the convolutions of image networks on a CPU, beside what the networks do now.

Filters of stride 2 as 2x2 filters of folded images, and gradients as plain matrix products: one
thread, bfloat16, channels last, in turns; processor time, which other programs lengthen less than
the clock's. The outcome stands in docs/decisions/0009.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from entropic_ot.networks.resnet_potential import ConvPotential

SHAPE = (3, 32, 32)


class FoldedConv(nn.Module):
    """A convolution with 4x4 filters, stride 2, padding 1: 2x2 filters of squares as channels."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        num_out, num_in = conv.weight.shape[:2]
        squares = conv.weight.view(num_out, num_in, 2, 2, 2, 2).permute(0, 1, 3, 5, 2, 4)
        folded = squares.reshape(num_out, 4 * num_in, 2, 2)
        self.weight = nn.Parameter(folded.contiguous(memory_format=torch.channels_last))
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        folded = F.pixel_unshuffle(F.pad(x, (1, 1, 1, 1)), 2)
        return F.conv2d(
            folded.contiguous(memory_format=torch.channels_last), self.weight, self.bias
        )


class ProductConv(nn.Module):
    """The same convolution; its gradients are products of two matrices."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        assert isinstance(conv.padding, tuple)
        self.weight, self.bias = conv.weight, conv.bias
        self.stride, self.padding = conv.stride[0], conv.padding[0]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = _ProductConv.apply(x, self.weight, self.bias, self.stride, self.padding)
        return out


class _ProductConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, stride: int, pad: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.pad = stride, pad
        return F.conv2d(x, weight, bias, stride, pad)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        num_out, num_in, k, _ = weight.shape
        grad = gradients[0].permute(0, 2, 3, 1)
        rows = grad.reshape(-1, num_out)
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            columns = rows @ weight.permute(0, 2, 3, 1).reshape(num_out, -1)
            columns = columns.view(*grad.shape[:3], k, k, num_in)
            grad_x = added(columns, size=x.shape[2] + 2 * ctx.pad, stride=ctx.stride)
            inside = slice(ctx.pad, ctx.pad + x.shape[2])
            grad_x = grad_x[:, inside, inside].permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            padded = F.pad(x, (ctx.pad,) * 4)
            places = padded.unfold(2, k, ctx.stride).unfold(3, k, ctx.stride)
            columns = places.permute(0, 2, 3, 4, 5, 1).reshape(len(rows), -1)
            grad_weight = (rows.T @ columns).view(num_out, k, k, num_in).permute(0, 3, 1, 2)
            grad_bias = rows.sum(0)
        return grad_x, grad_weight, grad_bias, None, None


def added(columns: Tensor, *, size: int, stride: int) -> Tensor:
    """[n, h, w, k, k, c]: what each output sends to its k x k inputs -> their sums [n, s, s, c]."""
    n, height, width, k, _, channels = columns.shape
    out = columns.new_zeros(n, size, size, channels)
    for i in range(k):
        for j in range(k):
            ends = (i + stride * height, j + stride * width)
            out[:, i : ends[0] : stride, j : ends[1] : stride] += columns[:, :, :, i, j]
    return out


def replaced(
    network: nn.Module, kind: Callable[[nn.Conv2d], nn.Module], *, all_: bool
) -> nn.Module:
    """A copy whose convolutions (all, or those of stride 2) are of the other kind."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d) and (all_ or child.stride == (2, 2)):
                setattr(module, name, kind(child))
    return network


def gradients(layer: nn.Module, x: Tensor, *, of_weights: bool) -> list[Tensor]:
    """Of the sum of squares of what the layer gives: in x, and in all weights if asked for."""
    x = x.detach().requires_grad_(True)
    for parameter in layer.parameters():
        parameter.requires_grad_(of_weights)
    wanted = [x, *(layer.parameters() if of_weights else [])]
    return list(torch.autograd.grad(layer(x).float().square().sum(), wanted))


def processor_seconds(
    works: dict[str, Callable[[], object]], repeats: int
) -> dict[str, list[float]]:
    """Of each work, in turns, after a first run of each that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for i in range(repeats + 1):
        for name, work in works.items():
            began = time.process_time()
            work()
            if i:
                seconds[name].append(time.process_time() - began)
    return seconds


def cases(batch: int) -> dict[str, tuple[dict[str, nn.Module], tuple[int, ...], bool]]:
    """What is timed: name -> (kinds of layers, shape of the input, whether weights learn)."""
    torch.manual_seed(0)
    potential: nn.Module = ConvPotential(SHAPE, width=64, depth=4, patch=1)
    strided: nn.Module = nn.Sequential(nn.Conv2d(64, 128, 4, stride=2, padding=1))
    same: nn.Module = nn.Sequential(nn.Conv2d(96, 96, 3, padding=1))
    shrinking: nn.Module = nn.Sequential(nn.Conv2d(96, 96, 3, stride=2, padding=1))

    def kinds(network: nn.Module, *, folded: bool) -> dict[str, nn.Module]:
        found = {"now": network}
        if folded:
            found["folded"] = replaced(network, FoldedConv, all_=False)
        return found | {"products": replaced(network, ProductConv, all_=True)}

    return {
        "potential of egnot_image_langevin, gradient in y": (
            kinds(potential, folded=True),
            (batch, *SHAPE),
            False,
        ),
        "its 4x4 filters of stride 2, 64 to 128 channels, 32x32, gradient in the input": (
            kinds(strided, folded=True),
            (batch, 64, 32, 32),
            False,
        ),
        "U-Net's 3x3 filters, 96 channels, 16x16, gradients in input and weights": (
            kinds(same, folded=False),
            (batch, 96, 16, 16),
            True,
        ),
        "U-Net's 3x3 filters of stride 2, the same": (
            kinds(shrinking, folded=False),
            (batch, 96, 16, 16),
            True,
        ),
    }


def main(words: list[str] | None = None) -> None:
    """Print a table of milliseconds, minimum (median)."""
    parser = argparse.ArgumentParser(prog="benchmarks/image_ideas.py", description=__doc__)
    parser.add_argument("--batch", type=int, default=32, help="images (default 32)")
    parser.add_argument("--repeats", type=int, default=15, help="timed runs of each (default 15)")
    args = parser.parse_args(words)
    torch.set_num_threads(1)
    print("| | now | folded | products |\n|---|---|---|---|")
    for case, (layers, shape, of_weights) in cases(args.batch).items():
        x = torch.randn(shape).to(torch.bfloat16, memory_format=torch.channels_last)
        works: dict[str, Callable[[], object]] = {}
        for name, layer in layers.items():
            half = copy.deepcopy(layer).to(torch.bfloat16)
            half = half.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            works[name] = partial(gradients, half, x, of_weights=of_weights)
        seconds = processor_seconds(works, args.repeats)
        cells = [
            f"{1e3 * min(seconds[k]):.1f} ({1e3 * median(seconds[k]):.1f})" if k in seconds else ""
            for k in ("now", "folded", "products")
        ]
        print(f"| {case} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
