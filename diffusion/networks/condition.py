"""What a network is told beside its input: the noise level and the labels."""

from __future__ import annotations

from collections.abc import Mapping

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
        self.labels = LabelSum(width, labels)

    def forward(self, log_snr: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        return F.silu(self.time(log_snr) + self.labels(log_snr, cond))


class LabelSum(nn.Module):
    """The sum (B, width) of one embedding per label; `like` (B,) gives the batch size where a label is missing."""

    def __init__(self, width: int, labels: Mapping[str, int]) -> None:
        super().__init__()
        self.width = width
        self.embeddings = nn.ModuleDict({name: nn.Embedding(count + 1, width) for name, count in labels.items()})
        for embedding in self.embeddings.values():
            nn.init.normal_(embedding.weight, std=0.02)  # type: ignore[arg-type]

    def forward(self, like: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        total = like.new_zeros(len(like), self.width)
        for name, embedding in self.embeddings.items():
            total = total + embedding(cond[name] if name in cond else like.new_zeros(len(like)).long())
        return total
