import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from diffusion import checkpoint
from diffusion.audio.codec import LogMelCodec
from diffusion.audio.griffin_lim import GriffinLim
from diffusion.audio.mel import MelParameters
from diffusion.checkpoint import VocoderConfiguration
from diffusion.compose import compose
from diffusion.data.dataset import Features
from diffusion.denoisers import InFormat
from diffusion.evaluation.clips import (
    Playback,
    Recipe,
    Way,
    compiled,
    control,
    gather,
    generated,
    load_playback,
    real,
)
from diffusion.networks.compiled import compiler_available
from diffusion.networks.precision import fast_dtype
from diffusion.request import Request
from diffusion.settings import PRESETS

ROUGH = Playback(LogMelCodec(decoder=GriffinLim(1)), "one iteration")


def watched(recipe: Recipe) -> tuple[Recipe, list[range]]:
    """The recipe, and the rows that were made."""
    made: list[range] = []

    def make(rows: range) -> torch.Tensor:
        made.append(rows)
        return recipe.make(rows)

    return Recipe(recipe.name, recipe.style, recipe.ensemble, recipe.settings, make), made


def test_what_a_visitor_hears_is_what_is_judged(invented_checkpoint):
    """The clips of an evaluation are those that the composer gives for a request of the same seed, to the bit."""
    model = checkpoint.load(invented_checkpoint)
    device = torch.device("cpu")
    request = Request({"style": "slow", "ensemble": "bright"}, 3_000_001)
    assert Way().request.changed(**request.labels, seed=request.seed) == request
    assert PRESETS["Balanced"] == {"sampler": Way.sampler, "steps": Way().steps}
    denoiser = InFormat(model.denoiser, device, fast_dtype(device))
    *_, last = compose(denoiser, model.configuration, [request], frames=model.configuration.frames)
    assert generated(model, 1, 3).make(range(1, 2)).equal(last.features)


@pytest.mark.parametrize(
    ("sampler", "evaluations", "steps"),
    [
        ("unipc", 5, 5),
        ("heun", 5, 3),
        ("heun", 6, 4),
        ("heun", 7, 4),
        ("heun", 8, 5),
        ("predictor-corrector", 10, 5),
        ("ddpm", 50, 50),
    ],
)
def test_a_way_takes_the_steps_that_its_evaluations_allow(sampler, evaluations, steps):
    assert Way(sampler, evaluations).steps == steps


def test_impossible_ways_are_refused():
    for arguments, message in [
        (("magic",), "sampler: got 'magic', allowed unipc"),
        (("unipc", 0), "evaluations: got 0, but unipc needs at least 1"),
        (("unipc", 1001), "steps: got 1001, allowed a whole number from 1 to 1000"),
        (("unipc", 5, 0.5), r"guidance_scale: got 0.5, allowed 1.0 to 15.0"),
        (("unipc", 5, float("nan")), "guidance_scale: got nan"),
        (("unipc", 5, 1.0, 1.0, "square"), "grid: got 'square', allowed leap, early"),
        (("unipc", 5, 1.0, 1.0, "early", "loud"), "guidance_rule: got 'loud', allowed moving, plain"),
        (("unipc", 5, 1.0, 1.0, "early", "plain", 16.0), "guidance_from: got 16.0, allowed -15.0 to 15.0"),
        (("unipc", 5, 1.0, 0.0), "length: got 0.0, need a positive number"),
    ]:
        with pytest.raises(ValueError, match=message):
            Way(*arguments)


def test_an_interrupted_set_makes_only_what_is_missing(invented_data, tmp_path):
    recipe, made = watched(real(Features(invented_data, "test"), 2, 64, 0))

    def interrupted(batches):
        yield from batches[:2]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gather(recipe, ROUGH, tmp_path, batch=3, progress=interrupted)
    resumed = gather(recipe, ROUGH, tmp_path, batch=3)
    assert made == [range(0, 3), range(3, 6), range(6, 8)]
    whole = gather(recipe, ROUGH, tmp_path / "whole", batch=3)
    for name in ("features", "heard", "gain"):
        assert torch.equal(getattr(resumed, name), getattr(whole, name))
    assert not list(tmp_path.rglob("*.part"))


def test_a_larger_set_begins_with_the_smaller_one(invented_data, tmp_path):
    features = Features(invented_data, "test")
    small = gather(real(features, 2, 64, 0), ROUGH, tmp_path, batch=4)
    recipe, made = watched(real(features, 3, 64, 0))
    large = gather(recipe, ROUGH, tmp_path, batch=4)
    assert made == [range(8, 12)]
    assert torch.equal(large.first(8).heard, small.heard)
    assert torch.equal(large.first(8).style, small.style)


def test_clips_of_another_decoder_batch_or_seed_are_not_taken(invented_data, tmp_path):
    features = Features(invented_data, "test")
    gather(real(features, 1, 64, 0), ROUGH, tmp_path, batch=4)
    for seed, playback, batch, by in (
        (1, ROUGH, 4, ""),
        (0, Playback(ROUGH.codec, "another"), 4, ""),
        (0, ROUGH, 2, ""),
        (0, ROUGH, 4, "other data"),
    ):
        recipe, made = watched(real(features, 1, 64, seed))
        gather(recipe, playback, tmp_path, batch=batch, measured_by=by)
        assert sum(map(len, made)) == 4


def test_measures_are_added_to_clips_that_are_there(invented_data, tmp_path):
    recipe, made = watched(real(Features(invented_data, "test"), 1, 64, 0))
    before = gather(recipe, ROUGH, tmp_path)
    measured_waves = []

    def peak(wave, heard):
        measured_waves.append(len(wave))
        assert heard.shape == (4, 1, 128, 64)
        return {"peak": wave.abs().amax(1)}

    for _ in range(2):
        measured = gather(recipe, ROUGH, tmp_path, measures={"levels": peak})
    assert len(made) == len(measured_waves) == 1
    assert torch.equal(measured.heard, before.heard)
    assert measured.measures["levels"]["peak"].shape == (4,)
    assert (measured.measures["levels"]["peak"] > 0).all()
    assert before.measures == {}


def test_undecoded_clips_are_what_a_perfect_decoder_would_leave(tmp_path):
    wave = 0.01 * torch.randn(2, 64 * 512, generator=torch.Generator().manual_seed(0))
    codec = LogMelCodec(decoder=lambda mel_magnitude: wave)
    rows = torch.zeros(2, dtype=torch.long)
    clips = gather(
        Recipe("noise", rows, rows, {}, lambda rows: codec.encode(wave)), Playback(codec, "perfect"), tmp_path
    )
    inside = slice(2, -2)  # of the fades
    assert (clips.heard - clips.features)[..., inside].mean() > 0.5  # the gain
    torch.testing.assert_close(clips.undecoded(codec.mel)[..., inside], clips.heard[..., inside], atol=5e-3, rtol=1e-2)


def test_clips_belong_to_their_seed_not_to_their_batch(invented_checkpoint):
    model = checkpoint.load(invented_checkpoint)

    def make(seed, rows):
        return generated(model, 2, seed, Way("unipc", 2, 1.5)).make(rows)

    together = make(0, range(0, 4))
    apart = torch.cat([make(0, range(0, 2)), make(0, range(2, 4))])
    torch.testing.assert_close(together, apart, atol=0.05, rtol=0)  # bfloat16 in batches of other sizes
    assert not torch.allclose(together, make(1, range(0, 4)), atol=0.05)
    low, high = MelParameters().bounds
    assert together.min() >= low
    assert together.max() <= high


@pytest.mark.slow
@pytest.mark.skipif(not compiler_available(), reason="no C++ compiler")
def test_a_compiled_network_makes_the_same_clips(invented_checkpoint):
    model = checkpoint.load(invented_checkpoint)
    eager, quick = (generated(each, 2, 0, Way("unipc", 2)).make(range(4)) for each in (model, compiled(model)))
    assert not quick.equal(eager)
    torch.testing.assert_close(quick, eager, atol=0.05, rtol=0)  # bfloat16, rounded elsewhere


def test_other_labels_are_as_likely_as_in_the_music(invented_checkpoint):
    model = checkpoint.load(invented_checkpoint)
    labels = {**model.configuration.labels, "key": ["C", "D"]}
    prior = [{"labels": ["style", "key"], "counts": [[0, 3], [3, 0]]}]
    model = replace(model, configuration=replace(model.configuration, labels=labels, prior=prior))
    seen = []
    forward = model.network.forward
    model.network.forward = lambda x, t, cond: seen.append(cond) or forward(x, t, cond)
    recipe = generated(model, 1, 0, Way("unipc", 1, 1.0))
    recipe.make(range(4))
    assert seen[0]["key"].tolist() == (2 - recipe.style).tolist()


@pytest.mark.parametrize(("length", "kept"), [(0.5, 32), (1.0, 64), (3.0, 64)])
def test_of_long_clips_the_end_is_judged(invented_checkpoint, length, kept):
    model = checkpoint.load(invented_checkpoint)
    shapes = []
    forward = model.network.forward
    model.network.forward = lambda x, *rest, **named: shapes.append(x.shape) or forward(x, *rest, **named)
    made = generated(model, 1, 0, Way("unipc", 1, 1.0, length)).make(range(2))
    assert made.shape == (2, 1, 128, kept)
    assert {shape[-1] for shape in shapes} == {64 * length}


def test_labels_other_than_style_and_ensemble_are_left_open(invented_checkpoint):
    model = checkpoint.load(invented_checkpoint)
    seen = []
    network = model.network.forward

    def watched_forward(*arguments, **named):
        seen.append(next(each for each in (*arguments, *named.values()) if isinstance(each, dict)))
        return network(*arguments, **named)

    model.network.forward = watched_forward
    generated(model, 1, 0, Way("unipc", 1, 1.0)).make(range(4))
    assert seen[0].keys() == model.configuration.labels.keys()
    for name, label in seen[0].items():
        assert (label == 0).all() == (name not in ("style", "ensemble"))


def test_real_clips_are_spread_over_performances(invented_data):
    features = Features(invented_data, "test")
    recipe = real(features, 5, 64, 0)
    assert torch.equal(torch.bincount(2 * recipe.style + recipe.ensemble), torch.full((4,), 5))
    clips = recipe.make(range(20))
    assert len({clip.numpy().tobytes() for clip in clips}) == 20
    others = real(features, 3, 64, 0, skip=5).make(range(12))
    assert not {clip.numpy().tobytes() for clip in others} & {clip.numpy().tobytes() for clip in clips}
    assert torch.equal(others, real(features, 8, 64, 0).make(range(20, 32)))
    with pytest.raises(ValueError, match="frames: got 161"):
        real(features, 1, 161, 0)


def test_controls_are_made_label_by_label(invented_data):
    music = real(Features(invented_data, "test"), 3, 64, 0)
    repeated = control("one clip repeated", music)
    assert torch.equal(repeated.make(range(4, 9)), music.make(range(0, 9))[[0, 1, 2, 3, 0]])
    shuffled = control("shuffled frames", music)
    together = shuffled.make(range(12))
    assert torch.equal(together[6:], shuffled.make(range(6, 12)))
    torch.testing.assert_close(together.sum(-1), music.make(range(12)).sum(-1))
    with pytest.raises(ValueError, match="kind: got 'noise', allowed shuffled frames"):
        control("noise", music)


def test_a_vocoder_is_found_named_by_its_weights_and_must_fit(tmp_path):
    mel = MelParameters()
    assert checkpoint.find_vocoder(tmp_path, mel) is None
    assert load_playback(mel, None).decoder == "Griffin-Lim"
    size = {"width": 8, "depth": 1, "hidden": 8}
    for number, codec in enumerate(({"floor": 1e-4}, {}, {})):
        configuration = VocoderConfiguration(size, codec)
        torch.manual_seed(number)
        folder = tmp_path / f"{number}"
        checkpoint.save(folder, configuration, configuration.build().state_dict(), torch.float32)
    with pytest.raises(ValueError, match=r"vocoder: .*0 decodes features"):
        load_playback(mel, tmp_path / "0")
    assert checkpoint.find_vocoder(tmp_path, mel) == tmp_path / "1"
    names = [load_playback(mel, tmp_path / each).decoder for each in "12"]
    assert len(set(names)) == 2
    shutil.copytree(tmp_path / "1", tmp_path / "again")
    assert load_playback(mel, tmp_path / "again").decoder.split("(")[1] == names[0].split("(")[1]
    wave, heard, gain = load_playback(mel, tmp_path / "1")(torch.zeros(2, 1, 128, 16))
    assert wave.shape == (2, 16 * mel.hop_size)
    assert heard.shape == (2, 1, 128, 16)
    assert gain.shape == (2,)


def test_a_folder_without_a_vocoder_says_so(tmp_path: Path):
    with pytest.raises(checkpoint.CheckpointError, match="no file config"):
        load_playback(MelParameters(), tmp_path)
