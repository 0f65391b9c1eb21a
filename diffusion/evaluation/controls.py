"""Control clips: they keep the timbre, the register and the harmony of music, and must fail all the same."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def shuffle_frames(clip: Tensor, generator: torch.Generator, block_frames: int = 1) -> Tensor:
    """The frames of a clip (..., bands, frames) in random order, in blocks of `block_frames`.

    Every statistic of single frames stays exactly the same; all rhythm and voice leading is lost.
    """
    frames = clip.shape[-1]
    if not 1 <= block_frames < frames:
        raise ValueError(f"block_frames: got {block_frames}, allowed 1 to {frames - 1}")
    starts = torch.arange(0, frames, block_frames)
    order = torch.randperm(len(starts), generator=generator)
    index = (starts[order][:, None] + torch.arange(block_frames)).flatten()
    return clip[..., index[index < frames]]


def hold_chord(clip: Tensor, generator: torch.Generator, chord_frames: int = 4) -> Tensor:
    """`chord_frames` successive frames of a clip (..., bands, frames), repeated back and forth to its length.

    Back and forth, so that no jump sounds like an onset. The frames are drawn from the louder half: a chord, no rest.
    """
    frames = clip.shape[-1]
    if not 1 <= chord_frames <= frames:
        raise ValueError(f"chord_frames: got {chord_frames}, allowed 1 to {frames}")
    level = clip.reshape(-1, frames).mean(0).unfold(0, chord_frames, 1).mean(-1)
    loud = (level >= level.median()).nonzero()[:, 0]
    start = int(loud[torch.randint(len(loud), (), generator=generator)])
    phase = torch.arange(frames) % max(1, 2 * chord_frames - 2)
    return clip[..., start + torch.minimum(phase, (2 * chord_frames - 2 - phase).abs())]


def _each(control: Callable[[Tensor, torch.Generator], Tensor]) -> Callable[[Tensor, torch.Generator], Tensor]:
    return lambda clips, generator: torch.stack([control(clip, generator) for clip in clips])


def repeat_first(clips: Tensor, generator: torch.Generator) -> Tensor:
    """The first of the clips (n, 1, bands, frames) of one label, n times; nothing is drawn.

    Each is real music, so they pass every accuracy. Diversity and recall must fail them.
    """
    return clips[:1].expand_as(clips).clone()


CONTROLS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "shuffled frames": _each(shuffle_frames),
    "one held chord": _each(hold_chord),
    "one clip repeated": repeat_first,
}
"""(clips (n, 1, bands, frames) of one label, random generator) -> as many clips that must fail."""
