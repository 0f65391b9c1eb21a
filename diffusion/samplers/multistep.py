"""What multistep methods share: beliefs remembered along lambda = log(alpha / sigma), integrated exactly.

The probability-flow equation, written with x0 (Lu et al. 2022b, eq. 8), has the solution
x_s = (sigma_s / sigma_t) x_t + alpha_s times the integral of e^(lambda - lambda_s) x0(lambda) from t to s.
"""

from __future__ import annotations

import torch
from torch import Tensor

from diffusion.theory import Level, broadcast

Past = tuple[tuple[Tensor, Tensor], ...]
"""(lambda (), x0 (B, ...)) of earlier looks, the newest last, no two at one lambda."""


def half_log_snr(level: Level) -> Tensor:
    """lambda = log(alpha / sigma)."""
    return level.log_snr / 2


def remember(past: Past, level: Level, x0: Tensor, keep: int) -> Past:
    """The last `keep` looks, this one included. It replaces one at the same level, which a clipped log-SNR can give."""
    now = half_log_snr(level)
    return (*(look for look in past if look[0] != now), (now, x0))[-keep:]


def drift(x: Tensor, x0: Tensor, t: Level, s: Level) -> Tensor:
    """The solution for an x0 that stays the same: x_s = (sigma_s / sigma_t) x_t - alpha_s (e^-h - 1) x0. It is DDIM."""
    h = half_log_snr(s) - half_log_snr(t)
    return broadcast(s.sigma / t.sigma, x) * x - broadcast(s.alpha * torch.expm1(-h), x) * x0


def integrate(x: Tensor, t: Level, s: Level, looks: Past) -> Tensor:
    """The solution for an x0 that is the polynomial in lambda through all of `looks`; s is not the terminal level.

    With u = (lambda - lambda_t) / h the moments m_k, the integrals of h e^(-h (1 - u)) u^k from 0 to 1, obey
    m_0 = 1 - e^-h and m_k = 1 - k m_(k-1) / h; the weights w of the looks are those that integrate every u^k to m_k.
    """
    start = half_log_snr(t)
    h = half_log_snr(s) - start
    if h == 0:
        return x
    moments = [-torch.expm1(-h)]
    for k in range(1, len(looks)):
        moments.append(1 - k * moments[-1] / h)
    u = torch.stack([(at - start) / h for at, _ in looks])
    powers = u ** torch.arange(len(looks), dtype=torch.float64)[:, None]
    weights = torch.linalg.solve(powers, torch.stack(moments))
    x = broadcast(s.sigma / t.sigma, x) * x
    for weight, (_, x0) in zip(weights, looks, strict=True):
        x = x + broadcast(s.alpha * weight, x) * x0
    return x
