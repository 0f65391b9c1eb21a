"""Three ears: embeddings of clips, in which sets of clips are compared. No model was trained to do well in them.

They are frozen: the same clip gives the same numbers in every report. Whoever changes an ear gives it a new name.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from diffusion.evaluation.classifier import Ear
from diffusion.evaluation.ears.hand_made import HandMade
from diffusion.evaluation.ears.random_network import RandomNetwork
from diffusion.evaluation.ears.trained import Trained

__all__ = ["HandMade", "Listener", "RandomNetwork", "Trained", "listeners"]


class Listener(Protocol):
    """`title` names it in a report, `summary` says in a sentence what its embedding is made of."""

    title: str
    summary: str

    def embed(self, heard: Tensor) -> Tensor:
        """Embeddings (n, D) float32 of features (n, 1, bands, frames); each depends on its own clip alone."""
        ...


def listeners(ear: Ear) -> dict[str, Listener]:
    """The three, by name; the classifier `ear` is the trained one, and says what the features are."""
    return {
        "hand-made": HandMade(ear.config.mel),
        "random": RandomNetwork(ear.config.mel, seed=0),
        "trained": Trained(ear),
    }
