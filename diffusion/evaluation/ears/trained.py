"""The last layer but one of the classifier."""

from __future__ import annotations

from torch import Tensor

from diffusion.evaluation.classifier import Ear


class Trained:
    """The classifier's embedding; frozen by its weights, which were fixed before any model was judged."""

    title = "Trained network"
    summary = (
        "the last layer but one of the classifier, which learned styles and ensembles from other pieces and another "
        "sound font"
    )

    def __init__(self, ear: Ear) -> None:
        self.ear = ear

    def embed(self, heard: Tensor) -> Tensor:
        """Embeddings (n, 128) float32 of features (n, 1, bands, frames)."""
        return self.ear.judge(heard.float()).embedding
