"""Which optimizer trains which parameter, and how their average is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer


class Rates(Protocol):
    """What a configuration says of its optimizers: "muon" or "adamw", the learning rate and the weight decay."""

    @property
    def optimizer(self) -> str: ...
    @property
    def lr(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...


def build_optimizers(network: nn.Module, config: Rates) -> list[Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices inside the blocks, AdamW for everything else, or AdamW for all.

    Muon's step is scaled to the size of AdamW's (Liu et al. 2025), so that one learning rate serves both.
    """
    inside = {id(p) for name, p in network.named_parameters() if "blocks." in name and name.endswith("weight")}
    matrices = [p for p in network.parameters() if id(p) in inside and p.ndim == 2 and config.optimizer == "muon"]
    taken = {id(p) for p in matrices}
    others = [p for p in network.parameters() if id(p) not in taken]
    fused = torch.device(others[0].device).type == "cuda"
    optimizers: list[Optimizer] = [
        AdamW(others, lr=config.lr, betas=(0.9, 0.99), weight_decay=config.weight_decay, fused=fused)
    ]
    if matrices:
        optimizers.append(
            Muon(matrices, lr=config.lr, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw")
        )
    return optimizers


def warming_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """Exponential moving average whose memory grows with the run, up to `decay` (as in TensorFlow's, with its 10)."""

    @torch.no_grad()
    def update(averages: list[Tensor], currents: list[Tensor], count: Tensor) -> None:
        weight = 1 - ((1 + count) / (10 + count)).clamp(max=decay)  # a tensor, since reading it from a GPU would wait
        differences = torch._foreach_sub(currents, averages)
        torch._foreach_mul_(differences, weight)
        torch._foreach_add_(averages, differences)

    return update
