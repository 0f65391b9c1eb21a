"""The networks, by name. What their output means is for `diffusion.denoisers` to say."""

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

__all__ = ["NETWORKS", "AdaptiveUNet", "ConvUNet", "FrameTransformer", "StepMLP"]
