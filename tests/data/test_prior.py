"""Labels that are left open are drawn as the music has them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from diffusion.audio.mel import MelParameters
from diffusion.corrections import LEAST_S, RELEASE_S
from diffusion.data.dataset import VERSION, Features
from diffusion.data.prior import PROMINENCE_CLIPS, PROMINENCE_STEPS, count, draw, prominences

SECONDS = np.array([[[30, 10], [0, 20]], [[5, 5], [40, 0]]])  # style x mode x tempo
PRIOR = [{"labels": ["style", "mode", "tempo"], "counts": SECONDS.tolist()}, {"labels": ["key"], "counts": [1, 2, 3]}]


def test_what_is_drawn_is_as_likely_as_in_the_music() -> None:
    seeds = range(6000)
    found = Counter((d["mode"], d["tempo"]) for d in (draw(PRIOR, {"style": 1}, seed) for seed in seeds))
    assert found.keys() == {(1, 1), (1, 2), (2, 2)}
    for (mode, tempo), times in found.items():
        assert times / 6000 == pytest.approx(SECONDS[0, mode - 1, tempo - 1] / 60, abs=0.025)
    keys = Counter(draw(PRIOR, {}, seed)["key"] for seed in seeds)
    assert [keys[key] / 6000 for key in (1, 2, 3)] == pytest.approx([1 / 6, 2 / 6, 3 / 6], abs=0.025)


def test_of_an_open_style_all_are_meant_and_none_is_drawn() -> None:
    found = Counter(draw(PRIOR, {"style": 0, "mode": 2}, seed)["tempo"] for seed in range(3000))
    assert found[1] / 3000 == pytest.approx(40 / 60, abs=0.03)
    assert "style" not in draw(PRIOR, {}, 0)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.integers(0, 3))
def test_what_is_chosen_stays_and_a_key_depends_on_the_seed_alone(
    seed: int, style: int, mode: int, tempo: int, key: int
) -> None:
    chosen = {"style": style, "mode": mode, "tempo": tempo, "key": key}
    drawn = draw(PRIOR, chosen, seed)
    assert drawn == draw(PRIOR, chosen, seed)
    assert not any(chosen[name] for name in drawn)
    if not key:
        assert drawn["key"] == draw(PRIOR, {}, seed)["key"]


def test_what_never_goes_together_stays_open() -> None:
    assert draw(PRIOR, {"style": 1, "mode": 2, "tempo": 1, "key": 1}, 0) == {}
    assert draw([{"labels": ["mode"], "counts": [0, 0]}], {}, 0) == {}
    assert draw([], {}, 0) == {}


def write(
    folder: Path,
    labels: dict[str, list[str]],
    frames: list[int],
    sources: tuple[str, ...] = (),
    mel: torch.Tensor | None = None,
    **columns: list[int],
) -> Features:
    table = {name: torch.tensor(values) for name, values in columns.items()}
    length = torch.tensor(frames)
    rest = {"frames": length, "start": length.cumsum(0) - length}
    rest |= {name: torch.zeros(len(frames), dtype=torch.long) for name in ("piece", "family", "transpose")}
    settings = {"version": VERSION, "labels": labels, "codec": {"hop_size": 512, "sample_rate_hz": 32000}}
    settings |= {"sources": sources} if sources else {}
    (folder / "train").mkdir()
    save_file(
        {**table, **rest, "mel": torch.zeros(sum(frames), 128) if mel is None else mel},
        folder / "train" / "00000.safetensors",
        metadata={"settings": json.dumps(settings)},
    )
    return Features(folder, "train")


def test_seconds_are_counted_where_every_label_is_known(tmp_path: Path) -> None:
    labels = {"style": ["a", "b"], "ensemble": ["x"], "mode": ["major", "minor"], "tempo": [], "key": ["C", "D", "E"]}
    features = write(
        tmp_path, labels, [625, 125, 250, 1250],
        style=[1, 2, 2, 0], ensemble=[1] * 4, mode=[2, 1, 1, 1], tempo=[0] * 4, key=[3, 3, 0, 1], beat=[0] * 4,
    )  # fmt: skip
    assert count(features, 64) == [
        {"labels": ["style", "mode"], "counts": [[0, 10], [6, 0]]},
        {"labels": ["key"], "counts": [20, 0, 12]},
    ]


def test_recordings_that_say_nothing_have_no_prior(tmp_path: Path) -> None:
    none = {name: [0] for name in ("ensemble", "mode", "tempo", "key", "beat")}
    features = write(tmp_path, {"style": ["a"], "ensemble": []}, [625], style=[1], **none)
    assert count(features, 64) == []


def test_how_often_music_ends_is_counted_over_all_beginnings_of_a_clip(tmp_path: Path) -> None:
    """Those in which it is heard to end: all of a short performance, none of one that is shorter than a clip."""
    labels = {"style": ["a", "b"], "ensemble": ["x"], "mode": [], "tempo": [], "key": []}
    long, short = 640 + 6250, 640 + 62
    columns = {name: [0] * 4 for name in ("mode", "tempo", "key", "beat")} | {"ensemble": [1] * 4}
    features = write(tmp_path, labels, [long, long, short, 500], ("scores",), style=[1, 1, 2, 2], **columns)
    [ending] = count(features, 640)
    assert ending == {"labels": ["style", "ending"], "counts": [[round(200 - 2 * (RELEASE_S - LEAST_S)), 2], [0, 1]]}
    found = [draw([ending], {"style": 1}, seed)["ending"] for seed in range(3000)]
    assert found.count(2) / 3000 == pytest.approx(2 / 200, abs=0.006)
    assert draw([ending], {"style": 2}, 0) == {"ending": 2}
    assert draw([ending], {"style": 1, "ending": 2}, 0) == {}


def test_prominences_are_those_of_the_clips_of_each_ensemble(tmp_path: Path) -> None:
    """A recording whose clips have a peak of 0, 0.01, 0.02 ... each, one that does not say by what it is played."""
    clips = 3 * PROMINENCE_CLIPS
    frames = [64 * clips + 63, 64, 63]
    peaks = torch.arange(clips) / 100
    mel = torch.zeros(sum(frames), 128)
    mel[5 : 64 * clips : 64] = peaks[:, None]
    mel[64 * clips + 63 + 9] = 99.0
    columns = {name: [0] * 3 for name in ("style", "mode", "tempo", "key", "beat")} | {"ensemble": [2, 0, 1]}
    features = write(tmp_path, {"style": [], "ensemble": ["x", "y"]}, frames, mel=mel, **columns)
    found = prominences(features, 64)
    assert found.keys() == {"any", "y"}  # x has no clip so long
    unit_db = MelParameters().unit_db
    middles = (np.arange(PROMINENCE_STEPS) + 0.5) / PROMINENCE_STEPS
    assert found["y"] == pytest.approx(unit_db * middles * float(peaks[-1]), rel=0.01)
    assert found["any"] == pytest.approx(found["y"], rel=0.02)
