"""How good a denoiser is at each time."""

from __future__ import annotations

import torch
from torch import Tensor

from diffusion.theory import Cond, Denoiser

from .simple import Objective


@torch.no_grad()
def loss_curve(objective: Objective, denoiser: Denoiser, x0: Tensor, eps: Tensor, times: Tensor, cond: Cond) -> Tensor:
    """The mean loss (N,) of x0 and eps (B, ...) at each of times (N,).

    Every time sees the same clips and the same noise, so that the curve is smooth and two curves compare. At the
    times i / T of a chain, that of `PosteriorKL` shows which steps the bound is made of.
    """
    times = times.to(x0.device)
    return torch.stack([objective(denoiser, x0, t.expand(len(x0)), eps, cond).mean() for t in times])
