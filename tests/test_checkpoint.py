"""A checkpoint folder survives the round trip, and whatever is wrong with one is said in one line."""

import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffusion.audio.crest import crest_db
from diffusion.audio.ending import ENDINGS, LEAST_S, RELEASE_S
from diffusion.audio.mel import MelParameters
from diffusion.checkpoint import CheckpointError, Configuration, load, save
from diffusion.denoisers import GUIDANCE_RULES
from diffusion.theory import Cond, Cosine, Estimate

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


def test_beliefs_are_kept_low_where_music_ends_and_the_network_is_not_told() -> None:
    ending = replace(CONFIGURATION, labels={**CONFIGURATION.labels, "ending": list(ENDINGS)})
    assert ending.build().state_dict().keys() == CONFIGURATION.build().state_dict().keys()
    known = [{"ending": 0}, {"ending": 1}, {"ending": 2}, {"ending": 2}]
    assert "ending" not in ending.cond(known, range(4))
    mel = MelParameters(**CONFIGURATION.codec)
    assert ending.bounds(known[:2], [5, 6], 640) == CONFIGURATION.bounds([{}], [7], 640) == mel.bounds
    low, high = ending.bounds(known, [5, 6, 7, 8], 640)
    assert low == mel.bounds[0]
    assert isinstance(high, torch.Tensor)
    assert high[:2].eq(mel.bounds[1]).all()
    starts = (high[2:] < mel.bounds[1]).flatten(1).int().argmax(1) / mel.frames_per_s
    assert starts[0] != starts[1]
    assert bool(((starts >= 10.24 - RELEASE_S) & (starts <= 10.24 - LEAST_S)).all())
    assert ending.bounds(known[2:3], [7], 640)[1].equal(high[2:3])  # the seed alone says where


def test_the_loudest_moments_stand_out_as_in_the_training_music() -> None:
    steps = [1.0, 2.0, 4.0]
    some = replace(CONFIGURATION, labels={"ensemble": ["a", "b"]}, crests={"any": [3.0], "a": steps})
    seeds = range(4000)
    drawn = some.crest_db([{"ensemble": 1}] * 4000, seeds)
    torch.testing.assert_close(
        drawn.quantile((torch.arange(3, dtype=torch.float64) + 0.5) / 3),
        torch.tensor(steps, dtype=torch.float64),
        rtol=0,
        atol=0.1,
    )
    assert drawn[7] == some.crest_db([{"ensemble": 1}], [7])  # the seed alone draws it
    assert some.crest_db([{}, {"ensemble": 0}, {"ensemble": 2}], seeds[:3]).tolist() == [3.0, 3.0, 3.0]

    mel = MelParameters(**CONFIGURATION.codec)
    x0 = torch.full((2, 1, 128, 32), -1.0)
    x0[..., 9] = 0.5
    x_t, t = torch.randn_like(x0), torch.tensor([0.5, 0.5], dtype=torch.float64)

    class Believer:
        schedule = Cosine()

        def __call__(self, x_t: torch.Tensor, t: torch.Tensor, cond: Cond) -> Estimate:
            return Estimate.from_x0(x_t, self.schedule(t), x0)

    for configuration, crests in ((some, [2.0, 3.0]), (replace(some, crests={}), [1.5 * mel.unit_db] * 2)):
        known, own_seeds = [{"ensemble": 1}, {}], [int((drawn - 2).abs().argmin()), 0]
        guided = configuration.guided(Believer(), {}, GUIDANCE_RULES["plain"], -15.0, known, own_seeds, 32)
        belief = guided(x_t, t, {}).x0
        torch.testing.assert_close(crest_db(belief, mel), torch.tensor(crests), rtol=0, atol=0.02)


@pytest.mark.parametrize(
    "crests",
    [["any"], {"a": [1.0]}, {"any": [1.0], "c": [1.0]}, {"any": []}, {"any": 1.0}, {"any": ["loud"]},
     {"any": [2.0, 1.0]}, {"any": [-1.0]}, {"any": [1.0, float("nan")]}, {"any": [float("inf")]}],
)  # fmt: skip
def test_other_crests_are_refused(crests: object) -> None:
    with pytest.raises(ValueError, match="crests: got"):
        replace(CONFIGURATION, labels={"ensemble": ["a"]}, crests=crests)


def test_guidance_begins_where_it_is_asked_to_and_costs_nothing_before() -> None:
    passes: list[int] = []

    class Believer:
        schedule = Cosine()

        def __call__(self, x_t: torch.Tensor, t: torch.Tensor, cond: Cond) -> Estimate:
            passes.append(len(x_t))
            told = cond["style"].to(x_t).reshape(-1, 1, 1, 1)
            return Estimate.from_x0(x_t, self.schedule(t), 0.1 * told.expand_as(x_t))

    x_t, times = torch.zeros(1, 1, 128, 32), Cosine().inverse(torch.tensor([-6.0, -5.0, 5.0]))
    scale, rule, cond = {"style": torch.tensor(3.0)}, GUIDANCE_RULES["plain"], {"style": torch.tensor([2])}

    def beliefs(guidance_from: float) -> list[float]:
        passes.clear()
        guided = CONFIGURATION.guided(Believer(), scale, rule, guidance_from, [{"style": 2}], [0], 32)
        return [round(float(guided(x_t, t[None], cond).x0.max()), 4) for t in times]

    assert (beliefs(-15.0), passes) == ([0.6, 0.6, 0.6], [2, 2, 2])
    assert (beliefs(-5.5), passes) == ([0.2, 0.6, 0.6], [1, 2, 2])
    assert (beliefs(15.0), passes) == ([0.2, 0.2, 0.2], [1, 1, 1])


def test_finished_music_has_texture_and_stays_where_music_is() -> None:
    """No louder than its room lets it be where it ends, and no moment further out than its crest."""
    labels = {**CONFIGURATION.labels, "ending": list(ENDINGS)}
    plain = replace(CONFIGURATION, labels=labels, crests={"any": [2.0]})
    uneven = replace(plain, texture={"deviation": 0.3, "frames": [1.0, 0.4], "bands": [1.0, 0.2]})
    mel = MelParameters(**CONFIGURATION.codec)
    known, seeds = [{}, {"ending": 2}], [5, 6]
    features = torch.zeros(2, 1, mel.bands, 320)
    features[:, :, ::3] = 1
    kept = uneven.kept(known, seeds, 320)
    features = kept(features)
    assert plain.finished(features, 0.1, known, seeds) is features

    finished = uneven.finished(features, 0.1, known, seeds)
    assert (finished - features).std() > 0.05
    _, high = uneven.bounds(known, seeds, 320)
    assert (finished <= high).all()
    assert (crest_db(finished, mel) <= 2 + 1e-3).all()
    coarse, fine = (float((uneven.finished(features, t, known, seeds) - features).std()) for t in (0.3, 0.003))
    assert coarse > 10 * fine  # a last step from little noise leaves little out


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


def test_foils_are_counted_as_the_values_are() -> None:
    three = replace(CONFIGURATION, labels={"style": ["a", "b", "c"]}, foils={"style": {"a": "c", "c": "b"}})
    assert {name: foils.tolist() for name, foils in three.foil_indices().items()} == {"style": [0, 3, 0, 2]}


def test_other_endings_are_refused() -> None:
    with pytest.raises(ValueError, match=r"labels: got the endings \['happy'\], need goes_on, ends"):
        replace(CONFIGURATION, labels={"style": ["a"], "ending": ["happy"]})


@pytest.mark.parametrize("keep", [0, 7, 1000])
def test_truncated_weights_are_refused(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="truncated or not safetensors"):
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
        ({"foils": 7}, "foils: got 7, need an object"),
        ({"foils": {"mood": {}}}, "foils: got mood: {}, need labels of this model"),
        ({"foils": {"style": ["b"]}}, r"foils: got style: \['b'\], need labels of this model with an object each"),
        ({"foils": {"style": {"a": "c"}}}, "foils: got 'c' for style 'a', allowed another of a, b"),
        ({"foils": {"style": {"a": "a"}}}, "foils: got 'a' for style 'a', allowed another of a, b"),
        ({"foils": {"style": {"a": []}}}, "unhashable"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_settings_that_are_not_ours_are_refused(folder: Path, change: dict[str, object], message: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(CheckpointError, match=message):
        load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\x00\xff"])
def test_a_config_that_is_no_json_object_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load(folder)
