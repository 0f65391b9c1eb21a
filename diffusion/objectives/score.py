"""Score matching without knowing the noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diffusion.theory import Cond, Denoiser, jump


@dataclass(frozen=True)
class SlicedScore:
    """sigma² (v . grad(v . score) + |score|² / 2), averaged over each clip (Song et al. 2019, eq. 8, variance-reduced).

    Up to a constant this is sigma² / 2 times the Fisher divergence between model and data at t, from samples x_t alone.
    v has random signs: those of the next clip's eps, which are independent of this clip's x_t. So no further random
    numbers are needed, but a batch of at least two.

    Without noise (`noised` False) x_t is x0 itself and there is no weight: what is learned, at every t alike, is the
    score of the data, which data on a curve or a grid do not have (Esling's first loss).
    """

    noised: bool = True

    def __call__(self, denoiser: Denoiser, x0: Tensor, t: Tensor, eps: Tensor, cond: Cond) -> Tensor:
        if len(x0) < 2:
            raise ValueError(f"x0: got a batch of {len(x0)}, need at least 2")
        level = denoiser.schedule(t)
        v = torch.where(eps.roll(1, 0) < 0, -1.0, 1.0).to(x0)
        with torch.enable_grad():
            x_t = (jump(x0, level, eps) if self.noised else x0).detach().requires_grad_()
            score = denoiser(x_t, t, cond).score(level)
            (slope,) = torch.autograd.grad((v * score).sum(), x_t, create_graph=True)
        divergence = (v * slope + score.square() / 2).flatten(1).mean(1)
        return level.sigma.to(x0) ** 2 * divergence if self.noised else divergence
