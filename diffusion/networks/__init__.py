"""The networks, by name. What their output means is for `diffusion.denoisers` to say."""

from torch import nn

from .frame_transformer import FrameTransformer
from .step_mlp import FlatMLP, StepMLP
from .unet import AdaptiveUNet, ConvUNet, DemoUNet

NETWORKS: dict[str, type[nn.Module]] = {
    "frame-transformer": FrameTransformer,
    "conv-unet": ConvUNet,
    "adaptive-unet": AdaptiveUNet,
    "demo-unet": DemoUNet,
    "step-mlp": StepMLP,
    "flat-mlp": FlatMLP,
}

__all__ = ["NETWORKS", "AdaptiveUNet", "ConvUNet", "DemoUNet", "FlatMLP", "FrameTransformer", "StepMLP"]
