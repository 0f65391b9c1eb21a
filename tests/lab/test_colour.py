"""Colour by the code of the digits, and what finetuning on one class does to a noise that stays the same."""

from __future__ import annotations

from dataclasses import replace
from inspect import getsource
from itertools import islice

import numpy as np
import pytest
import torch

from diffusion.data.images import emoji
from diffusion.lab import colour
from diffusion.lab.colour import GROUPS, NAME, Colour
from diffusion.lab.experiment import Images
from diffusion.lab.pictures import SHOWN, draw, panel, values
from diffusion.lab.training import shipped
from diffusion.networks import DemoUNet


def test_what_ships_is_the_notebooks_u_net_for_three_channels() -> None:
    model = shipped(NAME)
    assert isinstance(model.network, DemoUNet)
    assert model.configuration.network["widths"] == [8, 16, 32, 64]
    assert model.configuration.network["channels"] == 3
    assert tuple(model.configuration.labels["class"]) == emoji().names == tuple(GROUPS.values())[1:]


def test_coloured_pictures_of_a_group_come_out_of_noise() -> None:
    """Flags by guidance: most are nearer to a real flag than to any other emoji, of which a seventh are flags."""
    frames = list(Colour().run(Colour().asked({"group": "flags", "steps": 20}), seed=1))
    pixels = panel(frames, "samples", Images).pixels
    assert pixels.shape == (SHOWN, 32, 32, 3)
    assert float(np.ptp(pixels.astype(int), axis=-1).mean()) > 10  # not grey
    assert Colour().holds(frames)[0].value >= 50


def test_finetuning_on_one_class_draws_that_class_out_of_the_same_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """More flags after less than a minute, few before; and the shipped weights stay as they were."""
    monkeypatch.setattr(colour, "FINETUNING", replace(colour.FINETUNING, steps=84))
    monkeypatch.setattr(colour, "SAVES", 2)
    before = {name: each.clone() for name, each in shipped(NAME).network.state_dict().items()}
    experiment = Colour()
    frames = list(experiment.train(experiment.asked({"group": "flags"}), seed=1))
    near = values(frames, "near")
    assert near["after"] > near["before"] + 0.2
    assert len([frame for frame in frames if "samples" in frame.panels]) == 2
    assert panel(frames, "before", Images).pixels.shape == panel(frames, "samples", Images).pixels.shape
    assert [each.holds for each in experiment.holds(frames)] == [None, True]
    assert all(torch.equal(each, before[name]) for name, each in shipped(NAME).network.state_dict().items())


def test_ones_own_pictures_are_learned_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colour, "NETWORK", replace(colour.NETWORK, steps=4, batch=4))
    own = Colour(emoji()[:30])
    first, *_, last = own.train(own.asked({"steps": 5}), seed=1)
    assert "before" not in first.panels
    assert last.progress == 1
    assert own.holds([first, last])[0].value > 0


def test_the_line_that_changes_is_lit_in_the_code_that_digits_have_too() -> None:
    """What is lit is what runs, and says which network learns; nothing else in the code does."""
    knobs = Colour().asked({})
    lines, lit = Colour().source_code(knobs).splitlines(), Colour().lit(knobs)
    found: dict[str, object] = {}
    exec("\n".join(lines[number - 1] for number in lit), vars(colour).copy(), found)
    assert found == {"NETWORK": colour.NETWORK}
    rest = "\n".join(lines[lit.stop - 1 :])
    assert "NETWORK" not in rest
    assert getsource(draw).strip() in rest
    assert "def lesson(self" in rest


def test_the_first_frame_is_noise() -> None:
    [first] = islice(Colour().run(Colour().asked({}), seed=1), 1)
    assert first.t == 1
