"""Convolutional U-Nets: down to a coarse view and up again, with skip connections (Ronneberger et al. 2015)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .condition import Condition

GROUPS = 8


class UNet(nn.Module, ABC):
    """(x_t (B, C, bands, frames), log-SNR (B,), labels {name: (B,)}) -> (B, outputs * C, bands, frames).

    One level for each of `widths`, at half the resolution of the one before it: strided convolutions (kernel 4,
    stride 2) lead down, transposed ones up, and skip connections join the two sides of each level. Each output has a
    head of its own, whose last layer starts at zero. `labels` gives the number of values of each label, not counting
    index 0, "any".
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        outputs: int = 1,
        labels: Mapping[str, int],
        widths: Sequence[int] = (64, 128, 256),
        condition: int = 256,
    ) -> None:
        super().__init__()
        if not widths or any(width < 1 or width % GROUPS for width in widths):
            raise ValueError(f"widths: got {list(widths)}, need one or more multiples of {GROUPS}")
        self.channels, self.stride = channels, 2 ** len(widths)
        self.condition = Condition(condition, labels)
        self.stem = nn.Conv2d(channels, widths[0], 3, padding=1)
        self.before = nn.ModuleList(
            self.level(first, then, condition) for first, then in pairwise([widths[0], *widths])
        )
        self.down = nn.ModuleList(nn.Conv2d(width, width, 4, stride=2, padding=1) for width in widths)
        self.middle = self.level(widths[-1], widths[-1], condition)
        self.up = nn.ModuleList(nn.ConvTranspose2d(width, width, 4, stride=2, padding=1) for width in widths)
        self.after = nn.ModuleList(
            self.level(2 * width, finer, condition) for finer, width in pairwise([widths[0], *widths])
        )
        self.heads = nn.ModuleList(self._head(widths[0]) for _ in range(outputs))

    @abstractmethod
    def level(self, width_in: int, width_out: int, condition: int) -> nn.Module:
        """A module (h (B, width_in, H, W), c (B, condition)) -> (B, width_out, H, W)."""

    def _head(self, width: int) -> nn.Module:
        last = nn.Conv2d(width, self.channels, 1)
        nn.init.zeros_(last.weight)
        assert last.bias is not None
        nn.init.zeros_(last.bias)
        return nn.Sequential(ConvBlock(width, width), last)

    def forward(self, x_t: Tensor, log_snr: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        if x_t.ndim != 4 or x_t.shape[1] != self.channels or any(size % self.stride for size in x_t.shape[2:]):
            raise ValueError(
                f"x_t: got shape {tuple(x_t.shape)}, need (B, {self.channels}, bands, frames) "
                f"with bands and frames multiples of {self.stride}"
            )
        c = self.condition(log_snr, cond)
        h = self.stem(x_t)
        skips = []
        for before, down in zip(self.before, self.down, strict=True):
            h = before(h, c)
            skips.append(h)
            h = down(h)
        h = self.middle(h, c)
        for after, up, skip in zip(reversed(self.after), reversed(self.up), reversed(skips), strict=True):
            h = after(torch.cat([up(h), skip], dim=1), c)
        return torch.cat([head(h) for head in self.heads], dim=1)


class ConvUNet(UNet):
    """The U-Net of ConvBlocks; the condition is projected and added at each level (Ho et al. 2020, appendix B)."""

    def level(self, width_in: int, width_out: int, condition: int) -> nn.Module:
        return AddedLevel(width_in, width_out, condition)


class AdaptiveUNet(UNet):
    """The U-Net whose levels are residual and whose normalisation the condition steers (Dhariwal & Nichol 2021)."""

    def level(self, width_in: int, width_out: int, condition: int) -> nn.Module:
        return AdaptiveLevel(width_in, width_out, condition)


class ConvBlock(nn.Sequential):
    """3x3 convolution, Mish, GroupNorm: (B, width_in, H, W) -> (B, width_out, H, W)."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(nn.Conv2d(width_in, width_out, 3, padding=1), nn.Mish(), nn.GroupNorm(GROUPS, width_out))


class AddedLevel(nn.Module):
    """The projected condition added to every pixel, then two ConvBlocks."""

    def __init__(self, width_in: int, width_out: int, condition: int) -> None:
        super().__init__()
        self.project = nn.Linear(condition, width_in)
        self.blocks = nn.Sequential(ConvBlock(width_in, width_out), ConvBlock(width_out, width_out))

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        out: Tensor = self.blocks(h + self.project(c)[:, :, None, None])
        return out


class AdaptiveLevel(nn.Module):
    """Two convolutions around a normalisation that the condition scales and shifts, on a residual path.

    The sum of both paths is divided by sqrt(2), so that its variance does not grow with depth (Song et al. 2021,
    appendix H).
    """

    def __init__(self, width_in: int, width_out: int, condition: int) -> None:
        super().__init__()
        self.norm_in = nn.GroupNorm(GROUPS, width_in)
        self.conv_in = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.norm_out = nn.GroupNorm(GROUPS, width_out, affine=False)
        self.modulation = nn.Linear(condition, 2 * width_out)
        self.conv_out = nn.Conv2d(width_out, width_out, 3, padding=1)
        self.short = nn.Conv2d(width_in, width_out, 1) if width_in != width_out else nn.Identity()

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        r = self.conv_in(F.silu(self.norm_in(h)))
        scale, shift = self.modulation(c)[:, :, None, None].chunk(2, dim=1)
        r = self.conv_out(F.silu(self.norm_out(r) * (1 + scale) + shift))
        out: Tensor = (self.short(h) + r) / math.sqrt(2)
        return out
