"""Denoisers that wrap denoisers: whatever changes a prediction is one of these."""

from .clipping import Clipped
from .guidance import Guided
from .network import PREDICTIONS, NetworkDenoiser

__all__ = ["PREDICTIONS", "Clipped", "Guided", "NetworkDenoiser"]
