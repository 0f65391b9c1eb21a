"""A small network with weights of its own for every step: for points in a plane, and for pictures as a contrast."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from .condition import LabelSum, NearestStep


class StepMLP(nn.Module):
    """(x_t (B, ..., D), log-SNR (B,), labels {name: (B,)}) -> (B, ..., outputs * D): one point, or a cloud of them.

    `depth` hidden layers of softplus units, each multiplied by an embedding of the step and the labels (as Esling's
    notebook does it). A network sees the noise level and not the step, so `log_snrs` names that of each step; a level
    in between takes the nearest. Nothing is shared between steps but the matrices: it learns no schedule but its own.
    """

    def __init__(
        self,
        *,
        dimensions: int = 2,
        outputs: int = 1,
        labels: Mapping[str, int],
        log_snrs: Sequence[float],
        width: int = 128,
        depth: int = 2,
    ) -> None:
        super().__init__()
        self.dimensions, self.step = dimensions, NearestStep(log_snrs)
        sizes = [dimensions, *[width] * depth]
        self.layers = nn.ModuleList(nn.Linear(n, width) for n in sizes[:-1])
        self.gains = nn.ModuleList(nn.Embedding(len(log_snrs), width) for _ in range(depth))
        self.labels = nn.ModuleList(LabelSum(width, labels) for _ in range(depth))
        self.head = nn.Linear(sizes[-1], outputs * dimensions)
        for gain in self.gains:
            nn.init.uniform_(gain.weight)  # type: ignore[arg-type]

    def forward(self, x_t: Tensor, log_snr: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        if x_t.ndim < 2 or x_t.shape[-1] != self.dimensions:
            raise ValueError(f"x_t: got shape {tuple(x_t.shape)}, need (B, ..., {self.dimensions})")
        step = self.step(log_snr)
        h: Tensor = x_t
        for layer, gain, labels in zip(self.layers, self.gains, self.labels, strict=True):
            told = (gain(step) + labels(log_snr, cond)).reshape(len(x_t), *[1] * (x_t.ndim - 2), -1)
            h = F.softplus(told * layer(h))
        out: Tensor = self.head(h)
        return out


class FlatMLP(StepMLP):
    """(x_t (B, C, H, W), log-SNR (B,), labels {name: (B,)}) -> (B, outputs * C, H, W): a StepMLP of all its values.

    `shape` is (C, H, W). Each value is an input of its own, so what is learned at one place is not known at the next.
    """

    def __init__(
        self,
        *,
        shape: Sequence[int],
        outputs: int = 1,
        labels: Mapping[str, int],
        log_snrs: Sequence[float],
        width: int = 256,
        depth: int = 3,
    ) -> None:
        super().__init__(
            dimensions=math.prod(shape), outputs=outputs, labels=labels, log_snrs=log_snrs, width=width, depth=depth
        )
        self.shape, self.outputs = tuple(shape), outputs

    def forward(self, x_t: Tensor, log_snr: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        if tuple(x_t.shape[1:]) != self.shape:
            raise ValueError(f"x_t: got shape {tuple(x_t.shape)}, need (B, {', '.join(map(str, self.shape))})")
        channels, height, width = self.shape
        out = super().forward(x_t.flatten(1), log_snr, cond)
        return out.reshape(len(x_t), self.outputs * channels, height, width)
