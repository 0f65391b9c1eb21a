"""A model that begins as another: what agrees is taken over, label by label, and what does not stays fresh."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from diffusion.checkpoint import Checkpoint, Configuration
from diffusion.training.warm_start import warm_start

LABELS = {"style": ["slow", "fast"], "ensemble": ["bare", "rich"]}


def configuration(labels: dict[str, list[str]] = LABELS, depth: int = 2, bands: int = 16) -> Configuration:
    network = {"name": "frame-transformer", "bands": bands, "width": 24, "depth": depth, "heads": 2, "hidden": 32}
    return Configuration(network, {"name": "cosine"}, "x0", labels, 16, {"bands": bands})


def source() -> Checkpoint:
    torch.manual_seed(1)
    return Checkpoint(configuration(), configuration().build(), "")


def test_other_labels_and_more_blocks_keep_what_agrees() -> None:
    old = source()
    wanted = configuration({"style": ["fast", "lively", "slow"], "ensemble": ["rich"], "mode": ["major"]}, depth=3)
    torch.manual_seed(2)
    network = wanted.build()
    fresh = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    warm_start(network, wanted, old)
    ours, theirs = network.state_dict(), old.network.state_dict()
    style, ensemble = ours["labels.style.weight"], ours["labels.ensemble.weight"]
    assert torch.equal(style[[0, 1, 3]], theirs["labels.style.weight"][[0, 2, 1]])
    assert torch.equal(style[2], fresh["labels.style.weight"][2])
    assert torch.equal(ensemble, theirs["labels.ensemble.weight"][[0, 2]])
    assert torch.equal(ours["labels.mode.weight"], fresh["labels.mode.weight"])
    assert torch.equal(ours["blocks.1.qkv.weight"], theirs["blocks.1.qkv.weight"])
    assert torch.equal(ours["blocks.2.qkv.weight"], fresh["blocks.2.qkv.weight"])


def test_other_features_are_refused() -> None:
    with pytest.raises(ValueError, match=r"init: its features are \{'bands': 16\}, need \{'bands': 8\}"):
        warm_start(configuration(bands=8).build(), configuration(bands=8), source())


def test_a_checkpoint_that_does_not_name_its_codec_has_the_same_features() -> None:
    named = dataclasses.replace(configuration(), codec={"name": "log-mel", "bands": 16})
    assert warm_start(named.build(), named, source()) > 0


def test_another_network_is_refused() -> None:
    wanted = dataclasses.replace(configuration(), network={"name": "step-mlp", "size": 4})
    with pytest.raises(ValueError, match="init: a frame-transformer has nothing for a step-mlp"):
        warm_start(torch.nn.Linear(2, 2), wanted, source())
