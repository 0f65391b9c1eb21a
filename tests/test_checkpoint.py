"""A checkpoint folder survives the round trip, and whatever is wrong with one is said in one line."""

import json
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffusion.checkpoint import CheckpointError, Configuration, load, save
from diffusion.codecs import LogMel, settings_of

CONFIGURATION = Configuration(
    network={"name": "frame-transformer", "outputs": 2, "width": 32, "depth": 1, "heads": 2, "hidden": 32},
    schedule={"name": "cosine", "shift": -0.5},
    prediction="moments",
    labels={"style": ["a", "b"]},
    frames=32,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save(tmp_path, CONFIGURATION, CONFIGURATION.build().state_dict(), torch.float32)
    return tmp_path


def test_round_trip_is_exact(folder: Path) -> None:
    torch.manual_seed(0)
    network = CONFIGURATION.build()
    loaded = load(folder)
    assert loaded.configuration == CONFIGURATION
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, loaded.network.state_dict()[name])
    x, t = torch.randn(2, 1, 128, 32), torch.tensor([0.3, 0.6], dtype=torch.float64)
    torch.testing.assert_close(loaded.denoiser(x, t, {}).x0, CONFIGURATION.denoiser(network)(x, t, {}).x0)


def test_files_of_older_versions_are_read(folder: Path) -> None:
    """They call the negatives foils and the prominences crests, and name no codec."""
    negatives, prominences = {"style": {"a": "b"}}, {"any": [1.0, 2.0]}
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    del settings["negatives"], settings["prominences"]
    old = {**settings, "foils": negatives, "crests": prominences, "codec": {"floor": 1e-4}}
    (folder / "config.json").write_text(json.dumps(old), encoding="utf-8")
    read = load(folder).configuration
    assert (read.negatives, read.prominences) == (negatives, prominences)
    assert read.features == LogMel(floor=1e-4)
    assert replace(read, codec=settings_of(LogMel(floor=1e-4))).features == read.features


def test_the_digest_follows_weights_and_settings(folder: Path) -> None:
    before = load(folder).digest
    assert len(before) == 12
    assert load(folder).digest == before
    weights = load_file(folder / "model.safetensors")
    weights["head.bias"] += 1
    save_file(weights, folder / "model.safetensors")
    assert load(folder).digest != before


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"no file model\.safetensors"):
        load(folder)
    with pytest.raises(CheckpointError, match=r"no file config\.json"):
        load(folder / "nowhere")


@pytest.mark.parametrize("beats", [[], ["fast"], ["60", "nan"], ["-60"]])
def test_a_network_that_hears_the_pulse_needs_beats_a_minute(beats: list[str]) -> None:
    with pytest.raises(ValueError, match=re.escape(f"labels: got the beats {beats}, but a network that hears")):
        replace(CONFIGURATION, network={**CONFIGURATION.network, "pulse": 4}, labels={"style": ["a"], "beat": beats})


@pytest.mark.parametrize(
    "prominences",
    [["any"], {"a": [1.0]}, {"any": [1.0], "c": [1.0]}, {"any": []}, {"any": 1.0}, {"any": ["loud"]},
     {"any": [2.0, 1.0]}, {"any": [-1.0]}, {"any": [1.0, float("nan")]}, {"any": [float("inf")]}],
)  # fmt: skip
def test_other_prominences_are_refused(prominences: object) -> None:
    with pytest.raises(ValueError, match="prominences: got"):
        replace(CONFIGURATION, labels={"ensemble": ["a"]}, prominences=prominences)


@pytest.mark.parametrize(
    "change",
    [{"deviation": -1.0}, {"deviation": float("nan")}, {"deviation": "much"}, {"frames": []}, {"frames": 1.0},
     {"frames": [0.5]}, {"bands": [1.0, 1.5]}, {"bands": [1.0, float("inf")]}, {"bands": [1.0, "x"]}, {"colour": 1}],
)  # fmt: skip
def test_other_textures_are_refused(change: dict[str, object]) -> None:
    texture = {"deviation": 0.1, "frames": [1.0], "bands": [1.0, 0.2]}
    assert replace(CONFIGURATION, texture=texture).texture == texture
    for wrong in (texture | change, [*change]):
        with pytest.raises(ValueError, match="texture: got"):
            replace(CONFIGURATION, texture=wrong)


def test_other_endings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels: got the endings \['happy'\], need goes_on, ends"):
        replace(CONFIGURATION, labels={"style": ["a"], "ending": ["happy"]})


@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_truncated_weights_are_refused(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="truncated or not safetensors"):
        load(folder)


def test_weights_that_may_not_be_read_are_named_as_such(folder: Path) -> None:
    (folder / "model.safetensors").chmod(0)
    if os.access(folder / "model.safetensors", os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(CheckpointError, match="may not be read by this user"):
        load(folder)


def test_a_pickle_is_not_opened(folder: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return open, (str(folder / "exploded"), "w")  # type: ignore[return-value]

    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError):
        load(folder)
    assert not (folder / "exploded").exists()


def test_weights_that_do_not_fit_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["head.bias"] = weights["head.bias"][:-1].clone()
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"does not fit config.json in 1 tensors, the first head.bias"):
        load(folder)


def test_weights_that_are_not_finite_are_refused(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    weights["head.bias"][0] = float("nan")
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="not finite"):
        load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format: got 99"),
        ({"prediction": "magic"}, "prediction: got 'magic', allowed x0"),
        ({"network": {"name": "mystery"}}, "network: got"),
        ({"network": {"name": "frame-transformer", "colour": 3}}, "colour"),
        ({"schedule": {"name": "sundial"}}, "schedule: got"),
        ({"schedule": {"name": "cosine", "colour": 3}}, "colour"),
        ({"frames": -1}, "frames: got -1"),
        ({"prior": [{"labels": ["mood"], "counts": [1]}]}, "prior: got .*mood.*, need labels of this model"),
        ({"prior": [{"labels": ["style"], "counts": [[1], [2]]}]}, "prior: counts of style do not fit"),
        ({"prior": [{"labels": ["style"], "counts": "many"}]}, "prior: got"),
        ({"prior": 7}, "prior: got 7, need a list"),
        ({"negatives": 7}, "negatives: got 7, need an object"),
        ({"negatives": {"mood": {}}}, "negatives: got mood: {}, need labels of this model"),
        (
            {"negatives": {"style": ["b"]}},
            r"negatives: got style: \['b'\], need labels of this model with an object each",
        ),
        ({"negatives": {"style": {"a": "c"}}}, "negatives: got 'c' for style 'a', allowed another of a, b"),
        ({"negatives": {"style": {"a": "a"}}}, "negatives: got 'a' for style 'a', allowed another of a, b"),
        ({"negatives": {"style": {"a": []}}}, "unhashable"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_settings_that_are_not_ours_are_refused(folder: Path, change: dict[str, object], message: str) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, **change}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=message):
        load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00\xff"])
def test_a_config_that_is_no_json_object_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load(folder)
