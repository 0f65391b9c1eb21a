"""An untrained network: it has learned nothing of music, so no part of a clip is more important to it than another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from diffusion.audio.mel import MelParameters

BATCH = 16
ROWS = 8  # bands that are left where one filter covers them all

# Channels out, kernel and stride over (bands, frames).
LAYERS = (
    (24, (5, 5), (2, 2)),
    (48, (3, 5), (2, 2)),
    (96, (3, 5), (2, 1)),
    (96, (3, 5), (2, 2)),
)


class RandomNetwork:
    """Convolutions over bands and frames, then over all bands, then twice over time; mean and spread over time.

    An untrained network is a fair judge of distributions: its features tell sets apart without favouring what mattered
    in some training (Naeem et al. 2020). Its weights are drawn once from a seed, on the CPU. Every filter has mean 0
    and norm 1, and every layer's output is brought to mean 0 and variance 1 over the whole clip, so the level of a clip
    makes no difference. It is frozen: neither weights nor layers may change.
    """

    title = "Random network"
    summary = "an untrained convolutional network with fixed random weights: contrasts over bands and time"

    def __init__(self, mel: MelParameters, seed: int) -> None:
        if mel.bands != ROWS * 2 ** len(LAYERS):
            raise ValueError(f"mel: got {mel.bands} bands, need {ROWS * 2 ** len(LAYERS)}")
        generator = torch.Generator().manual_seed(seed)
        layers: list[nn.Module] = []
        channels = 1
        for out, kernel, stride in LAYERS:
            padding = (kernel[0] // 2, kernel[1] // 2)
            layers += _layer(nn.Conv2d(channels, out, kernel, stride, padding, bias=False), generator)
            channels = out
        over_bands = nn.Sequential(*layers, *_layer(nn.Conv2d(channels, 128, (ROWS, 1), bias=False), generator))
        over_time = nn.Sequential(
            *_layer(nn.Conv2d(128, 128, (1, 9), (1, 2), (0, 4), bias=False), generator),
            *_layer(nn.Conv2d(128, 128, (1, 9), (1, 2), (0, 4), bias=False), generator),
        )
        self._floor = mel.bounds[0]  # silence is 0, as what convolutions see beyond the edges
        self._stages = (over_bands, over_time)

    @torch.no_grad()
    def embed(self, heard: Tensor) -> Tensor:
        """Embeddings (n, 512) float32 of features (n, 1, bands, frames)."""
        return torch.cat([self._embed(rows) for rows in (heard.float() - self._floor).split(BATCH)])

    def _embed(self, x: Tensor) -> Tensor:
        pooled = []
        for stage in self._stages:
            x = stage(x)
            pooled += [x.mean((2, 3)), x.std((2, 3), correction=0)]
        return torch.cat(pooled, 1)


def _layer(convolution: nn.Conv2d, generator: torch.Generator) -> list[nn.Module]:
    weight = torch.randn(convolution.weight.shape, generator=generator)
    weight -= weight.mean((1, 2, 3), keepdim=True)
    weight /= weight.flatten(1).norm(dim=1)[:, None, None, None]
    convolution.weight = nn.Parameter(weight, requires_grad=False)
    return [convolution, nn.GroupNorm(1, convolution.out_channels, affine=False), nn.LeakyReLU(0.2)]
