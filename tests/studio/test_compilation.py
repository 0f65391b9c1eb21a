"""The compiled network serves only if the music stays the same, only later runs, and only what it was compiled for."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from diffusion import checkpoint
from diffusion.engine import Clip, Preview
from diffusion.engine.local import MEL_TOLERANCE_DB, LocalEngine
from diffusion.networks import NETWORKS, FrameTransformer
from diffusion.networks.compiled import compiler_available
from diffusion.studio import Studio, open_studio

needs_a_compiler = pytest.mark.skipif(not compiler_available(), reason="no C++ compiler")


def clip_of(steps: Iterable[Preview | Clip]) -> Clip:
    *_, clip = steps
    assert isinstance(clip, Clip)
    return clip


@needs_a_compiler
@pytest.mark.slow
def test_it_serves_later_runs_of_its_shape_and_never_compiles_again(
    small_checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = LocalEngine(small_checkpoint, "cpu")
    eager, studio = open_studio(small_checkpoint, "cpu"), Studio(engine)
    request = studio.request(seed=3)
    under_way = studio.generate(request)
    first = [next(under_way) for _ in range(5)]
    with caplog.at_level(logging.INFO, "diffusion"):
        assert engine.compile(studio.request(seed=0))
    [line] = caplog.messages
    assert re.match(r"compiled: clips change by 0\.\d\d dB and take [\d.]+ s in place of [\d.]+ s$", line)

    expected = clip_of(eager.generate(request))
    clip = clip_of([*first, *under_way])
    assert clip.to_wav() == expected.to_wav()  # it went on as it had begun

    before = {name: dict(each) for name, each in counters.items()}
    later = clip_of(studio.generate(request))
    difference_db = np.abs(later.features - expected.features).mean() * studio.mel.unit_db
    assert 0 < difference_db < MEL_TOLERANCE_DB
    assert clip_of(studio.generate(request)).to_wav() == later.to_wav()
    for settings in ({"duration_s": 2.56}, {"guidance_scale": 1}, {"style": "any", "ensemble": "any"}):
        other = studio.request(seed=3, steps=4, **settings)
        assert clip_of(studio.generate(other)).to_wav() == clip_of(eager.generate(other)).to_wav()
    three = [studio.request(seed=seed, steps=4) for seed in (1, 2, 3)]  # never two passes, guided or not
    for one, another in zip(studio.generate_many(three), eager.generate_many(three), strict=True):
        if isinstance(one, Clip):
            assert isinstance(another, Clip)
            assert one.to_wav() == another.to_wav()
    assert {name: dict(each) for name, each in counters.items()} == before


class Unsteady(FrameTransformer):
    """A network that becomes another one when it is compiled."""

    def forward(self, x_t: Tensor, log_snr: Tensor, cond: dict[str, Tensor]) -> Tensor:
        output = super().forward(x_t, log_snr, cond)
        return output + 0.5 if torch.compiler.is_compiling() else output


@needs_a_compiler
@pytest.mark.slow
def test_a_twin_that_makes_other_music_does_not_serve(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(NETWORKS, "unsteady", Unsteady)
    loaded = checkpoint.load(small_checkpoint)
    settings = {**vars(loaded.configuration), "network": {**loaded.configuration.network, "name": "unsteady"}}
    folder = tmp_path / "unsteady"
    checkpoint.save(folder, checkpoint.Configuration(**settings), loaded.network.state_dict(), torch.float32)
    engine = LocalEngine(folder, "cpu")
    studio = Studio(engine)
    request = studio.request(seed=3)
    before = clip_of(studio.generate(request)).to_wav()
    assert not engine.compile(studio.request(seed=0))
    [line] = caplog.messages
    number = re.match(r"not compiled: a clip would change by ([\d.]+) dB, more than 0\.5 dB$", line)
    assert number is not None
    assert float(number[1]) > MEL_TOLERANCE_DB
    assert clip_of(studio.generate(request)).to_wav() == before


def test_without_a_compiler_the_network_serves_as_it_is(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = LocalEngine(small_checkpoint, "cpu")
    studio = Studio(engine)
    request = studio.request(seed=0, steps=1)
    before = clip_of(studio.generate(request)).to_wav()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not engine.compile(request)
    assert caplog.messages == ["not compiled: no C++ compiler on PATH"]
    assert len(list(islice(studio.generate(request), 9))) == 3
    assert clip_of(studio.generate(request)).to_wav() == before
