"""Networks that look at a noisy spectrogram; none knows what its output means."""

from .frame_transformer import FrameTransformer

NETWORKS: dict[str, type[FrameTransformer]] = {"frame-transformer": FrameTransformer}

__all__ = ["NETWORKS", "FrameTransformer"]
