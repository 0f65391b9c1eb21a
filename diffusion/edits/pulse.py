"""Where the beats of a source are."""

from __future__ import annotations

import torch
from torch import Tensor

CLEAR = 0.1
"""Of all that grows louder in a source, the least share that must be on the beat for a pulse to be heard. In generated
clips that have more the beat is found to within a tenth, and a sixth too late for slow attacks."""


def heard_pulse(pulse: Tensor, features: Tensor, keep: Tensor | None) -> Tensor:
    """A pulse (B, 2), beats a frame and the place in a beat, with the place as it is heard in features (1, bands, F).

    The phase of what grows louder at the rate of the beats, where `keep` is true; it stays as it is where that is not
    clear, and without a beat.
    """
    louder = features[0].diff(dim=-1).clamp(min=0)
    if keep is not None:
        louder = louder * (keep[..., 1:] & keep[..., :-1])
    louder = louder.sum(0)
    places = torch.arange(1, features.shape[-1], device=features.device)
    angles = 2 * torch.pi * pulse[:, :1] * places
    across = torch.complex(louder * angles.cos(), louder * angles.sin()).sum(-1)
    clear = (across.abs() >= CLEAR * louder.sum()) & (pulse[:, 0] > 0) & (louder.sum() > 0)
    phase = (-across.angle() / (2 * torch.pi)) % 1
    return torch.stack([pulse[:, 0], torch.where(clear, phase, pulse[:, 1])], dim=-1)
