"""Training that begins with the weights of another model."""

from __future__ import annotations

import torch
from torch import nn

from diffusion.checkpoint import Checkpoint, Configuration


@torch.no_grad()
def warm_start(network: nn.Module, configuration: Configuration, source: Checkpoint) -> int:
    """Copy into `network` the weights that `source` has for it; returns their number.

    A tensor is copied if name and shape agree. The embedding of a label is copied value by value, so that a model may
    have other styles than its source. Everything else stays as it is. ValueError if the features differ, or if no
    tensor agrees.
    """
    if configuration.features != source.configuration.features:
        raise ValueError(f"init: its features are {source.configuration.codec}, need {configuration.codec}")
    taken = 0
    theirs = source.network.state_dict()
    for name, own in network.state_dict().items():
        if name not in theirs:
            continue
        label = name.removesuffix(".weight").rpartition(".")[2]
        if label in configuration.labels and label in source.configuration.labels:
            known = {value: row for row, value in enumerate(source.configuration.labels[label], start=1)}
            for row, value in enumerate(configuration.labels[label], start=1):
                if value in known:
                    own[row] = theirs[name][known[value]]
            own[0] = theirs[name][0]
        elif own.shape == theirs[name].shape:
            own.copy_(theirs[name])
        else:
            continue
        taken += own.numel()
    if not taken:
        raise ValueError(
            f"init: a {source.configuration.network['name']} has nothing for a {configuration.network['name']}"
        )
    return taken
