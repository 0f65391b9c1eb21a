"""Three ears that turn clips into numbers, so that sets of clips can be compared where nobody trained to please them.

They are frozen: the same clip gives the same numbers today and in every later report. A change of any of them is a new
ear under a new name.
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
    """`title` names it in a report, `summary` says in a sentence what it hears."""

    title: str
    summary: str

    def embed(self, heard: Tensor) -> Tensor:
        """Embeddings (n, D) float32 of features (n, 1, bands, frames); each clip's follows from that clip alone."""
        ...


def listeners(ear: Ear) -> dict[str, Listener]:
    """The three, by name; the classifier `ear` is the trained one, and says what the features are."""
    return {
        "hand-made": HandMade(ear.config.mel),
        "random": RandomNetwork(ear.config.mel, seed=0),
        "trained": Trained(ear),
    }
