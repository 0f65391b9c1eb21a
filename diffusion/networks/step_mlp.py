"""A small network for points in a plane, with weights of its own for every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .condition import LabelSum


class StepMLP(nn.Module):
    """(x_t (B, ..., D), log-SNR (B,), labels {name: (B,)}) -> (B, ..., outputs * D): one point, or a cloud of them.

    `depth` hidden layers of softplus units, each multiplied by an embedding of the step and the labels (as Esling's
    notebook does it). A network sees the noise level and not the step, so `log_snrs` names that of each step; a level
    in between takes the nearest. Nothing is shared between steps but the matrices: it learns no schedule but its own.
    """

    levels: Tensor

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
        if not log_snrs:
            raise ValueError("log_snrs: got none, need the log-SNR of each step")
        self.dimensions = dimensions
        # Not a weight: stored in half precision, neighbouring steps could become one.
        self.register_buffer("levels", torch.tensor(log_snrs, dtype=torch.float32), persistent=False)
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
        step = (log_snr.float()[:, None] - self.levels).abs().argmin(1)
        h: Tensor = x_t
        for layer, gain, labels in zip(self.layers, self.gains, self.labels, strict=True):
            told = (gain(step) + labels(log_snr, cond)).reshape(len(x_t), *[1] * (x_t.ndim - 2), -1)
            h = F.softplus(told * layer(h))
        out: Tensor = self.head(h)
        return out
