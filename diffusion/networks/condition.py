"""What a network is told beside its input: the noise level and the labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .frame_transformer import LogSnrFeatures


class Condition(nn.Module):
    """(log-SNR (B,), labels {name: (B,)}) -> (B, width): sines of the level through two layers, plus label embeddings.

    `labels` gives the number of values of each label, not counting index 0, "any", which a missing label stands for.
    """

    def __init__(self, width: int, labels: Mapping[str, int]) -> None:
        super().__init__()
        self.time = nn.Sequential(LogSnrFeatures(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.labels = LabelSum(width, labels, spread=0.3)  # about as large as what the level becomes

    def forward(self, log_snr: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        return F.silu(self.time(log_snr) + self.labels(log_snr, cond))


class LabelSum(nn.Module):
    """The sum (B, width) of one embedding per label; `like` (B,) gives the batch size where a label is missing.

    Embeddings start with standard deviation `spread`.
    """

    def __init__(self, width: int, labels: Mapping[str, int], spread: float = 0.02) -> None:
        super().__init__()
        self.width = width
        self.embeddings = nn.ModuleDict({name: nn.Embedding(count + 1, width) for name, count in labels.items()})
        for embedding in self.embeddings.values():
            nn.init.normal_(embedding.weight, std=spread)  # type: ignore[arg-type]

    def forward(self, like: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        total = like.new_zeros(len(like), self.width)
        for name, embedding in self.embeddings.items():
            total = total + embedding(cond[name] if name in cond else like.new_zeros(len(like)).long())
        return total


class NearestStep(nn.Module):
    """log-SNR (B,) -> the index (B,) of the step of a chain whose own log-SNR, among `log_snrs`, is the nearest.

    A network sees the noise level and not the step: this is how it counts steps all the same.
    """

    levels: Tensor

    def __init__(self, log_snrs: Sequence[float]) -> None:
        super().__init__()
        if not log_snrs:
            raise ValueError("log_snrs: got none, need the log-SNR of each step")
        # Not a weight: stored in half precision, neighbouring steps could become one.
        self.register_buffer("levels", torch.tensor(log_snrs, dtype=torch.float32), persistent=False)

    def forward(self, log_snr: Tensor) -> Tensor:
        return (log_snr.float()[:, None] - self.levels).abs().argmin(1)


class StepSines(nn.Module):
    """Sines and cosines (B, width) of a step (B,), as of positions in Vaswani et al. 2017 (section 3.5)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, step: Tensor) -> Tensor:
        ramp = torch.arange(0, self.width, 2, device=step.device) / self.width
        angles = step[:, None] * torch.exp(-math.log(10000.0) * ramp)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
