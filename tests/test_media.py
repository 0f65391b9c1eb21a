"""Points, pictures and music: one composer, one engine, one studio, one film."""

from __future__ import annotations

import base64
import io
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import LABELS, images, music, points, save

from diffusion import checkpoint
from diffusion.cli import main
from diffusion.codecs import BELIEF, LogMel, codec_from, settings_of
from diffusion.compare import Cell, Comparison, compare, work
from diffusion.engine import Clip, Preview
from diffusion.engine.local import LocalEngine
from diffusion.film import Film
from diffusion.request import Request
from diffusion.settings import SETTINGS
from diffusion.studio import Studio, open_studio

MODELS = {
    "music": replace(music(LABELS), codec=settings_of(LogMel())),
    "points": points({}),
    "image": images({"digit": ["zero", "one"]}),
}
SHAPES = {"music": (1, 128, 160), "points": (64, 2), "image": (1, 8, 8)}
PIXELS = {"music": (160, 128), "points": (256, 256), "image": (8, 8)}
MEDIA = {"music": "sound", "points": "plot", "image": "image"}
SHORT = {"music": {"duration_s": 2.56}, "points": {}, "image": {}}
GUIDANCE = {"guidance_scale", "guidance_rule", "guidance_from", "guidance_against"}
ALWAYS = {"sampler", "steps", "seed", "knobs", "grid", "model"}


@pytest.fixture(scope="module", params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("media") / name, MODELS[name])


@pytest.fixture(scope="module")
def studio(folder: Path) -> Studio:
    return open_studio(folder, "cpu", torch.float32)


def asked(studio: Studio, **settings: Any) -> Request:
    return studio.request(**{"seed": 5, "steps": 4, **SHORT[studio.name], **settings})


def clip_of(studio: Studio, request: Request) -> Clip:
    *_, clip = studio.generate(request)
    assert isinstance(clip, Clip)
    return clip


def size_of(uri: str) -> tuple[int, int]:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).size


def test_a_model_is_asked_for_with_the_settings_that_it_has(studio: Studio, name: str) -> None:
    assert studio.codec.medium == MEDIA[name]
    expected = {
        "music": set(SETTINGS),
        "points": ALWAYS,
        "image": ALWAYS | GUIDANCE | {"digit"},
    }[name]
    assert set(studio.settings) == expected
    options = json.loads(json.dumps(studio.options()))
    assert set(options) == expected | {"presets"}
    for preset in options["presets"].values():
        studio.check(studio.request(**preset))
    if name == "image":
        assert options["digit"]["choices"] == ["any", "zero", "one"]
        assert options["guidance_rule"]["choices"] == ["plain", "rescaled", "projected"]  # nothing moves
        assert options["guidance_rule"]["default"] == "plain"
        with pytest.raises(ValueError, match="guidance_rule: got 'moving', allowed plain, rescaled, projected"):
            studio.request(guidance_rule="moving")
    if name != "music":
        with pytest.raises(ValueError, match=r"style: got 'chorale', but the settings are sampler, steps"):
            studio.request(style="chorale")


def test_a_run_and_its_film_have_the_shape_of_what_they_show(studio: Studio, name: str) -> None:
    request = asked(studio)
    film = Film(studio.codec, request)
    *previews, clip = studio.generate(request)
    assert [each.index for each in previews] == [0, 1, 2, 3, 4]
    for each in previews:
        assert isinstance(each, Preview)
        assert each.x.shape == SHAPES[name]
        assert each.x0 is None if each.index == 0 else each.x0.shape == SHAPES[name]
        film.add(each)
    assert isinstance(clip, Clip)
    assert clip.features.shape == SHAPES[name]
    low, high = studio.codec.bounds
    assert low <= clip.features.min() < clip.features.max() <= high
    story = film.story(clip)
    pictures = [frame[kind] for frame in story["film"] for kind in ("noise", "belief") if frame[kind]]
    assert len(pictures) == 5 + 4
    assert {size_of(each) for each in [*pictures, story["picture"]]} == {PIXELS[name]}
    assert [each.shape for each in film.beliefs] == [SHAPES[name]] * 5
    assert json.loads(json.dumps(story))["settings"] == clip.settings


def test_what_is_no_sound_has_neither_a_wave_nor_a_duration(studio: Studio, name: str) -> None:
    clip = clip_of(studio, asked(studio))
    assert clip.wave.size == (81920 if name == "music" else 0)
    assert ("duration_s" in clip.settings) == (name == "music")
    assert bool(clip.settings["decoder"]) == (name == "music")


def test_settings_and_links_make_the_same_clip_again(studio: Studio) -> None:
    request = asked(studio, sampler="ddim", knobs={"eta": 0.5})
    clip = clip_of(studio, request)
    for again in (Request.from_dict(json.loads(json.dumps(clip.settings))), Request.from_query(request.to_query())):
        assert again == request
        np.testing.assert_array_equal(clip_of(studio, again).features, clip.features)
    assert not np.array_equal(clip_of(studio, request.changed(seed=6)).features, clip.features)


def test_a_clip_is_the_same_alone_and_in_a_batch(studio: Studio) -> None:
    requests = [asked(studio, seed=seed, sampler="ddpm") for seed in (5, 6, 7)]
    clips = [each for each in studio.generate_many(requests) if isinstance(each, Clip)]
    for request, clip in zip(requests, clips, strict=True):
        np.testing.assert_allclose(clip.features, clip_of(studio, request).features, atol=1e-4)


def test_a_stopped_run_is_what_was_believed_last(studio: Studio) -> None:
    stop = threading.Event()
    shown: list[Preview] = []
    for each in studio.generate(asked(studio, steps=50), stop):
        if isinstance(each, Clip):
            clip = each
        else:
            shown.append(each)
            if each.index == 3:
                stop.set()
    assert (clip.settings["stopped_at"], len(shown)) == (3, 4)
    np.testing.assert_array_equal(clip.features, shown[-1].x0)


def test_two_settings_can_be_compared(studio: Studio, name: str) -> None:
    comparison = Comparison(asked(studio), "steps", (2, 3), "seed", (1, 2))
    cells = [each for each in compare(studio, comparison) if isinstance(each, Cell)] if name != "music" else []
    assert work(studio, comparison) == (10, 200 if name == "music" else 0)
    assert [each.distance_db for each in cells] == [None] * len(cells)  # only music has decibels
    assert len(cells) == (0 if name == "music" else 4)


def test_only_the_network_of_music_is_compiled(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = LocalEngine(folder, "cpu")
    engine.prepare(asked(Studio(engine)), compile=False)
    if name != "music":
        assert not engine.compile(asked(Studio(engine)))


def test_a_codec_is_named_in_the_configuration(folder: Path, name: str) -> None:
    configuration = checkpoint.load(folder).configuration
    assert configuration.codec["name"] == {"music": "log-mel", "points": "points", "image": "image"}[name]
    assert codec_from(settings_of(configuration.features)) == configuration.features  # type: ignore[arg-type]
    assert configuration.features.shape(160) == SHAPES[name]


def test_a_codec_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert codec_from({}) == LogMel()  # those from before there was a choice
    for wrong, words in (({"name": "opera"}, "name 'opera', allowed log-mel, image, points"), ({"hue": 1}, "hue")):
        with pytest.raises(ValueError, match=f"codec: got .*{words}"):
            codec_from(wrong)
    with pytest.raises(ValueError, match="codec: got one for image, but prominences"):
        replace(MODELS["image"], prominences={"any": [1.0]})


@pytest.mark.parametrize(("command", "out"), [("generate", "clip.wav"), ("gallery", "gallery")])
def test_commands_that_write_sound_refuse_what_makes_none(tmp_path: Path, command: str, out: str) -> None:
    folder = save(tmp_path / "pictures", MODELS["image"])
    with pytest.raises(SystemExit, match="error: checkpoint: got pictures") as end:
        main([command, "--checkpoint", str(folder), "--out", str(tmp_path / out), "--device", "cpu"])
    assert len(str(end.value.code).splitlines()) == 1


def test_points_land_where_the_data_are(tmp_path: Path) -> None:
    """A cluster on either side of the origin, learned quickly: x0 from noise, told the side or not."""
    configuration = points({"side": ["left", "right"]}, count=256)
    torch.manual_seed(0)
    network = configuration.build()
    denoiser = configuration.denoiser(network)
    optimiser = torch.optim.Adam(network.parameters(), 5e-3)
    for _ in range(250):
        side = torch.randint(1, 3, (256,))
        x0 = 0.1 * torch.randn(256, 2) + torch.stack([2.4 * (side - 1.5), 0.6 * torch.ones(256)], dim=1)
        t, eps = (torch.randint(1, 21, (256,)) / 20).double(), torch.randn(256, 2)
        level = denoiser.schedule(t)
        x_t = (level.alpha[:, None] * x0 + level.sigma[:, None] * eps).float()
        told = side * (torch.rand(256) < 0.8)
        loss = (denoiser(x_t, t, {"side": told}).x0 - x0).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    checkpoint.save(tmp_path, configuration, network.state_dict(), torch.float32)
    studio = open_studio(tmp_path, "cpu", torch.float32)
    for side, centre in (("left", -1.2), ("right", 1.2)):
        clip = clip_of(studio, studio.request(seed=1, steps=20, grid="uniform", side=side))
        np.testing.assert_allclose(clip.features.mean(0), [centre, 0.6], atol=0.1)
        assert np.hypot(*(clip.features - [centre, 0.6]).T).mean() < 0.25
        light = studio.codec.picture(clip.features, studio.codec.limits(*BELIEF)).sum(2, dtype=int)
        row, column = np.array(np.unravel_index(light.argmax(), light.shape)) / 256
        assert (column > 0.5) == (side == "right")  # x to the right
        assert row < 0.5  # y upwards
    both = clip_of(studio, studio.request(seed=1, steps=20, grid="uniform", side="any")).features[:, 0]
    assert 0.3 < (both < 0).mean() < 0.7
