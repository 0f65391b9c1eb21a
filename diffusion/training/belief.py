"""The beliefs of a network in known clips."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from diffusion.checkpoint import Configuration
from diffusion.networks.precision import fast_dtype
from diffusion.theory import jump

BATCH = 16


@torch.no_grad()
def beliefs(
    configuration: Configuration, network: nn.Module, x0: Tensor, t: Tensor, eps: Tensor, cond: Mapping[str, Tensor]
) -> Tensor:
    """The beliefs (B, ...), float32 on the CPU, in clips x0 (B, ...) with noise eps (B, ...) at time t ()."""
    device = next(network.parameters()).device
    dtype = fast_dtype(device)
    denoiser = configuration.denoiser(network)
    level = denoiser.schedule(t)
    found = []
    for rows in torch.arange(len(x0)).split(BATCH):
        known = {label: each[rows].to(device) for label, each in cond.items()}
        x_t = jump(x0[rows], level, eps[rows]).float().to(device)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            found.append(denoiser(x_t, t.expand(len(rows)).to(device), known).x0.float().cpu())
    return torch.cat(found)
