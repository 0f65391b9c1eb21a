"""A transformer whose tokens are a few whole frames of a spectrogram.

A token that holds every frequency of its frames sees a note with all its overtones at once, and can learn the harmonic
series as a dictionary; a convolution would have to find it anew at every distance.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class FrameTransformer(nn.Module):
    """(x_t (B, C, bands, frames), log-SNR (B,), labels {name: (B,)}) -> (B, (outputs + coarse) * C, bands, frames).

    Rotary positions (Su et al. 2021) on normalised queries and keys, a short depthwise convolution before attention,
    and adaptive normalisation by time and labels whose one projection all blocks share (Chen et al. 2023, PixArt).
    `labels` gives the number of values of each label, not counting index 0, "any". The last layers start at zero.

    With `pulse` harmonics every token is told its place in the beat, by "pulse" (B, 2) among the labels: beats a frame
    (0 for a clip without a known beat), and how far into a beat the clip begins. Attention then need not work out
    whether attacks seconds apart agree.

    Further `coarse` outputs are the same in all frames of a token. `refinement` is the number of channels of a few
    convolutions at full resolution, which correct the tokens' output beside x_t; 0 leaves them out.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        bands: int = 128,
        outputs: int = 1,
        coarse: int = 0,
        refinement: int = 0,
        pulse: int = 0,
        labels: Mapping[str, int],
        patch_frames: int = 4,
        width: int = 384,
        depth: int = 8,
        heads: int = 6,
        hidden: int = 1152,
    ) -> None:
        super().__init__()
        if width % (2 * heads):
            raise ValueError(f"width: got {width}, need a multiple of twice the {heads} heads")
        self.channels, self.bands, self.outputs, self.patch_frames = channels, bands, outputs, patch_frames
        self.coarse = coarse
        token = channels * bands * patch_frames
        self.embed = nn.Linear(token, width)
        self.time = nn.Sequential(LogSnrFeatures(256), nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.pulse = nn.Linear(2 * pulse, width, bias=False) if pulse else None
        self.labels = nn.ModuleDict({name: nn.Embedding(count + 1, width) for name, count in labels.items()})
        self.modulation = nn.Linear(width, 6 * width)
        self.blocks = nn.ModuleList(Block(width, heads, hidden) for _ in range(depth))
        self.head_modulation = nn.Linear(width, 2 * width)
        self.head = nn.Linear(width, outputs * token)
        self.coarse_head = nn.Linear(width, coarse * channels * bands) if coarse else None
        self.refine = Refinement(channels, outputs * channels, refinement, width) if refinement else None
        self.head_dim = width // heads
        for embedding in self.labels.values():
            nn.init.normal_(embedding.weight, std=0.02)  # type: ignore[arg-type]
        if self.pulse is not None:
            nn.init.zeros_(self.pulse.weight)
        for layer in (self.modulation, self.head_modulation, self.head, self.coarse_head):
            if layer is not None:
                nn.init.zeros_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, x_t: Tensor, log_snr: Tensor, cond: Mapping[str, Tensor]) -> Tensor:
        batch, channels, bands, frames = x_t.shape
        if (channels, bands) != (self.channels, self.bands) or frames % self.patch_frames:
            raise ValueError(
                f"x_t: got shape {tuple(x_t.shape)}, need (B, {self.channels}, {self.bands}, F) "
                f"with F a multiple of {self.patch_frames}"
            )
        tokens = frames // self.patch_frames
        h = x_t.reshape(batch, channels, bands, tokens, self.patch_frames).permute(0, 3, 4, 1, 2).flatten(2)
        h = self.embed(h)
        if self.pulse is not None and "pulse" in cond:
            waves = beat_waves(cond["pulse"], tokens, self.patch_frames, self.pulse.in_features // 2)
            h = h + self.pulse(waves.to(x_t.dtype))
        c = self.time(log_snr)
        for name, embedding in self.labels.items():
            label = cond[name] if name in cond else torch.zeros(batch, dtype=torch.long, device=x_t.device)
            c = c + embedding(label)
        c = F.silu(c)
        modulation = self.modulation(c).unflatten(-1, (6, 1, -1))
        rotation = rotary(tokens, self.head_dim, x_t.device)
        for block in self.blocks:
            h = block(h, modulation, rotation)
        shift, scale = self.head_modulation(c)[:, None].chunk(2, dim=-1)
        h = F.layer_norm(h, h.shape[-1:]) * (1 + scale) + shift
        output: Tensor = self.head(h)
        output = output.unflatten(-1, (self.patch_frames, self.outputs * channels, bands)).permute(0, 3, 4, 1, 2)
        output = output.reshape(batch, self.outputs * channels, bands, frames)
        if self.refine is not None:
            output = output + self.refine(torch.cat([x_t, output], dim=1), c)
        if self.coarse_head is None:
            return output
        coarse = self.coarse_head(h).unflatten(-1, (self.coarse * channels, bands)).permute(0, 2, 3, 1)
        return torch.cat([output, coarse.repeat_interleave(self.patch_frames, dim=-1).to(output)], dim=1)


class Block(nn.Module):
    """Attention and a feed-forward layer on tokens (B, N, width), each shifted, scaled and gated by the condition."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.heads = heads
        self.neighbours = nn.Parameter(torch.zeros(5, width))
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.modulation = nn.Parameter(torch.zeros(6, 1, width))
        with torch.no_grad():
            self.modulation[2], self.modulation[5] = 1.0, 1.0
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.down.weight)

    def forward(self, h: Tensor, modulation: Tensor, rotation: Tensor) -> Tensor:
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = (modulation + self.modulation).unbind(1)
        a = F.layer_norm(h, h.shape[-1:]) * (1 + scale_a) + shift_a
        a = a + depthwise(a, self.neighbours)
        q, k, v = self.qkv(a).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        q, k = (rotate(F.rms_norm(each, each.shape[-1:]), rotation).to(v.dtype) for each in (q, k))
        a = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(-1).to(v.dtype) @ v
        a = a.transpose(1, 2).flatten(2)
        h = h + gate_a * self.out(a)
        f = F.layer_norm(h, h.shape[-1:]) * (1 + scale_f) + shift_f
        fed: Tensor = self.down(F.gelu(self.up(f), approximate="tanh"))
        return h + gate_f * fed


class Refinement(nn.Module):
    """(x_t and the tokens' output (B, C + out, bands, frames), condition (B, width)) -> a correction (B, out, ...).

    Every value of a token comes from its own row of a large matrix, and neighbouring tokens need not agree at their
    edges. These convolutions see the neighbours of each value. The last layer starts at zero.
    """

    def __init__(self, channels: int, out: int, inner: int, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels + out, inner, 3, padding=1)
        self.second = nn.Conv2d(inner, inner, 3, padding=1)
        self.last = nn.Conv2d(inner, out, 3, padding=1)
        self.modulation = nn.Linear(width, 2 * inner)
        for layer in (self.last, self.modulation):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale = self.modulation(c)[..., None, None].chunk(2, dim=1)
        h = F.silu(self.first(x.contiguous(memory_format=torch.channels_last)))
        h = F.silu(self.second(h) * (1 + scale) + shift)
        correction: Tensor = self.last(h)
        return correction


def depthwise(x: Tensor, weights: Tensor) -> Tensor:
    """Each channel of x (B, N, width) convolved over N with its own odd-length filter, weights (length, width).

    Written as shifted sums, which compilers fuse into one pass; the library's depthwise convolution is many times
    slower than the rest of the block in bf16 on a CPU.
    """
    length = len(weights)
    padded = F.pad(x, (0, 0, length // 2, length // 2))
    return sum(padded[:, i : i + x.shape[1]] * weights[i] for i in range(length))  # type: ignore[return-value]


class LogSnrFeatures(nn.Module):
    """Sines and cosines of log-SNR (B,) at geometric frequencies (B, width), as for positions in Vaswani et al."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, log_snr: Tensor) -> Tensor:
        ramp = torch.arange(self.width // 2, device=log_snr.device) / (self.width // 2)
        angles = log_snr.float()[:, None] * 4.0 * 0.002**ramp
        return torch.cat([angles.sin(), angles.cos()], dim=-1).to(log_snr.dtype)


def beat_waves(pulse: Tensor, tokens: int, patch_frames: int, harmonics: int) -> Tensor:
    """Cosines and sines (B, tokens, 2 harmonics) of the place in a beat and its multiples, at the middle of each token.

    They are 0 for clips whose rate in `pulse` (B, 2) is 0.
    """
    rate, phase = pulse[:, None].unbind(-1)
    middle = (torch.arange(tokens, device=pulse.device) + 0.5) * patch_frames
    angles = 2 * torch.pi * (phase + rate * middle)[..., None] * torch.arange(1, harmonics + 1, device=pulse.device)
    return torch.cat([angles.cos(), angles.sin()], dim=-1) * (rate > 0)[..., None]


def rotary(tokens: int, head_dim: int, device: torch.device) -> Tensor:
    """Cosines and sines (2, tokens, head_dim / 2) of the angle of each pair of channels at each position."""
    frequencies = 1000.0 ** -(torch.arange(head_dim // 2, device=device) / (head_dim // 2))
    angles = torch.arange(tokens, device=device)[:, None] * frequencies
    return torch.stack([angles.cos(), angles.sin()])


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Pairs of channels of x (B, heads, tokens, head_dim) turned by their angles."""
    cos, sin = rotation
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)
