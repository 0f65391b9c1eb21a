"""What a network's last step leaves out of the music that it learns."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import nn

from diffusion.checkpoint import Configuration
from diffusion.corrections import Texture
from diffusion.data.dataset import Features
from diffusion.theory import LEAP_LOG_SNR, schedule_from

from .belief import beliefs

CLIPS = 144


def find_texture(configuration: Configuration, network: nn.Module, features: Features) -> dict[str, Any]:
    """The texture of the music as a configuration has it; {} if the network is not yet good enough to measure it.

    Measured at the noise level from which the last step begins, on clips and noise that are always the same.
    """
    schedule = schedule_from(configuration.schedule)
    t = schedule.inverse(torch.tensor(LEAP_LOG_SNR, dtype=torch.float64))
    x0, cond = features.crop(np.random.default_rng(0), configuration.frames, CLIPS)
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    texture = Texture.measured(beliefs(configuration, network, x0, t, eps, cond), x0, schedule(t))
    return asdict(texture) if texture else {}
