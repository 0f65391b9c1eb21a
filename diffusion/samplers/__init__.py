"""Generators of steps: each turns noise into data by asking a denoiser, and none knows what the denoiser is."""

from .ancestral import DDPM
from .base import Sampler
from .ddim import DDIM
from .dpm_solver import DPMSolver2M

SAMPLERS: dict[str, Sampler] = {
    "dpmpp-2m": DPMSolver2M(),
    "ddim": DDIM(),
    "ddpm": DDPM(),
}

__all__ = ["DDIM", "DDPM", "SAMPLERS", "DPMSolver2M", "Sampler"]
