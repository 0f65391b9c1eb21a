"""Convolutional U-Nets: down to a coarse view and up again, with skip connections (Ronneberger et al. 2015)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .condition import Condition, LabelSum, NearestStep, StepSines

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
        _check_widths(widths, 1)
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
        _check_input(x_t, self.channels, self.stride)
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


class DemoUNet(nn.Module):
    """(x_t (B, C, H, W), log-SNR (B,), labels {name: (B,)}) -> (B, outputs * C, H, W), as in the notebook *Démo DDPM*.

    `widths` has the width of the first convolution, and then that of each level, at half the resolution of the one
    before it. The step of the chain, whose steps have the `log_snrs`, becomes `time` sines. Each level, on the way
    down and on the way up, has a small network of its own that turns them into numbers to add to its channels. Strided
    and transposed convolutions are blocks like all others. There is no level in the middle. The notebook has no labels;
    here theirs are added to the sines.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        outputs: int = 1,
        labels: Mapping[str, int],
        log_snrs: Sequence[float],
        widths: Sequence[int] = (8, 16, 32, 64),
        time: int = 16,
    ) -> None:
        super().__init__()
        _check_widths(widths, 2)
        pairs = list(pairwise(widths))
        self.channels, self.stride = channels, 2 ** len(pairs)
        self.step, self.sines = NearestStep(log_snrs), StepSines(time)
        self.labels = LabelSum(time, labels, spread=1.0)  # as large as the sines
        self.stem = ConvBlock(channels, widths[0])
        self.times_before = nn.ModuleList(_time_mlp(time, finer) for finer, _ in pairs)
        self.before = nn.ModuleList(
            nn.Sequential(ConvBlock(finer, width), ConvBlock(width, width)) for finer, width in pairs
        )
        self.down = nn.ModuleList(StrideBlock(nn.Conv2d, width) for _, width in pairs)
        self.up = nn.ModuleList(StrideBlock(nn.ConvTranspose2d, width) for _, width in pairs)
        self.times_after = nn.ModuleList(_time_mlp(time, 2 * width) for _, width in pairs)
        self.after = nn.ModuleList(
            nn.Sequential(ConvBlock(2 * width, width), ConvBlock(width, finer)) for finer, width in pairs
        )
        self.head = nn.Conv2d(widths[0], outputs * channels, 3, padding=1)

    def forward(self, x_t: Tensor, log_snr: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        _check_input(x_t, self.channels, self.stride)
        c = self.sines(self.step(log_snr)).to(x_t) + self.labels(log_snr, cond)
        h = self.stem(x_t)
        bypasses = []
        for time, before, down in zip(self.times_before, self.before, self.down, strict=True):
            h = before(h + time(c)[:, :, None, None])
            bypasses.append(h)
            h = down(h)
        way_up = zip(self.times_after, self.after, self.up, bypasses, strict=True)
        for time, after, up, bypass in reversed(list(way_up)):
            h = after(torch.cat([up(h), bypass], dim=1) + time(c)[:, :, None, None])
        output: Tensor = self.head(h)
        return output


class ConvBlock(nn.Sequential):
    """3x3 convolution, Mish, GroupNorm: (B, width_in, H, W) -> (B, width_out, H, W)."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__(nn.Conv2d(width_in, width_out, 3, padding=1), nn.Mish(), nn.GroupNorm(GROUPS, width_out))


class StrideBlock(nn.Sequential):
    """4x4 convolution with stride 2 (half the resolution) or its transpose (twice), Mish, GroupNorm."""

    def __init__(self, kind: type[nn.Conv2d] | type[nn.ConvTranspose2d], width: int) -> None:
        super().__init__(kind(width, width, 4, stride=2, padding=1), nn.Mish(), nn.GroupNorm(GROUPS, width))


def _time_mlp(time: int, width: int) -> nn.Sequential:
    """Sines (B, time) -> (B, width), through two layers."""
    return nn.Sequential(nn.Linear(time, width), nn.Mish(), nn.Linear(width, width))


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


def _check_widths(widths: Sequence[int], least: int) -> None:
    if len(widths) < least or any(width < 1 or width % GROUPS for width in widths):
        count = "one" if least == 1 else "two"
        raise ValueError(f"widths: got {list(widths)}, need {count} or more multiples of {GROUPS}")


def _check_input(x_t: Tensor, channels: int, stride: int) -> None:
    if x_t.ndim != 4 or x_t.shape[1] != channels or any(size % stride for size in x_t.shape[2:]):
        raise ValueError(
            f"x_t: got shape {tuple(x_t.shape)}, need (B, {channels}, bands, frames) "
            f"with bands and frames multiples of {stride}"
        )
