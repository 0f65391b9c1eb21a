"""Networks that look at a noisy spectrogram; none knows what its output means."""

from torch import nn

from .frame_transformer import FrameTransformer
from .step_mlp import StepMLP
from .unet import AdaptiveUNet, ConvUNet

NETWORKS: dict[str, type[nn.Module]] = {
    "frame-transformer": FrameTransformer,
    "conv-unet": ConvUNet,
    "adaptive-unet": AdaptiveUNet,
    "step-mlp": StepMLP,
}

NETWORK_SUMMARIES: dict[str, str] = {
    "frame-transformer": "Attention over slices of time that each hold all frequencies. What plays here.",
    "conv-unet": "Convolutions down to a coarse view and up again. The network of the first diffusion models.",
    "adaptive-unet": "The same shape with residual levels, its normalisation steered by noise level and labels.",
    "step-mlp": "A few dense layers with weights for every step, for points in a plane.",
}

__all__ = ["NETWORKS", "NETWORK_SUMMARIES", "AdaptiveUNet", "ConvUNet", "FrameTransformer", "StepMLP"]
