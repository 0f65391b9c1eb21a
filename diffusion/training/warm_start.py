"""The weights of one model as the beginning of another."""

from __future__ import annotations

import torch
from torch import nn

from diffusion.checkpoint import Checkpoint, Configuration


@torch.no_grad()
def warm_start(network: nn.Module, configuration: Configuration, source: Checkpoint) -> int:
    """Copy into `network` what `source` has of it: the number of weights that were taken over.

    A tensor is taken if name and shape agree; the embedding of a label is taken value by value, so that a model may
    know other styles than its source. Everything else stays as it is. ValueError if the features differ, or if no
    tensor agrees.
    """
    if configuration.codec != source.configuration.codec:
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
