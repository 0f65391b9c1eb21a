"""One jump is many steps, on pictures, points and sound; and what is left when they are over."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from diffusion.audio.wav import to_bytes
from diffusion.lab.experiment import Bars, Curve, Images, Points, Sound
from diffusion.lab.noising import (
    LONGEST_PX,
    MOST_BYTES,
    WELCOME,
    Noising,
    law,
    read_clip,
    read_picture,
    shipped_clip,
    step_on,
)
from diffusion.theory import LinearBetas, SeededNoise, jump, transition


def frames_of(experiment: Noising, seed: int = 3, **knobs: object) -> list:
    return list(experiment.run(experiment.asked(knobs), seed))


def file_of(pixels: np.ndarray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


GREY = np.full((8, 8, 3), 128, np.uint8)
NOISE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def test_steps_and_jump_have_one_mean_and_one_variance() -> None:
    """Over many noises, of a single x0: exactly so in the limit, here within four standard errors."""
    chain, count = LinearBetas(20, 1e-2, 0.2), 20_000
    x0 = torch.full((count, 1), 1.5)
    noise, times = SeededNoise(range(1)), torch.arange(21, dtype=torch.float64) / 20
    x = x0
    for i in range(1, 21):
        x = step_on(x, transition(chain(times[i]), chain(times[i - 1])), noise(i, x[None])[0], roots=True)
    jumped = jump(x0, chain(times[-1]), noise(99, x0[None])[0])
    level = chain(times[-1])
    error = 4 / count**0.5
    for each in (x, jumped):
        assert float(each.mean()) == pytest.approx(1.5 * float(level.alpha), abs=error)
        assert float(each.std()) == pytest.approx(float(level.sigma), abs=error)


@pytest.mark.parametrize("subject", ["picture", "points"])
@pytest.mark.parametrize("schedule", ["constant", "linear", "quadratic", "sigmoid", "cosine"])
def test_the_claim_holds_on_every_schedule(subject: str, schedule: str) -> None:
    experiment = Noising()
    frames = frames_of(experiment, subject=subject, schedule=schedule, steps=50)
    assert len(frames) == 11
    apart = {each.name: each for each in experiment.holds(frames)[:2]}
    assert all(each.holds for each in apart.values()), apart
    assert subject == "points" or max(each.value for each in apart.values()) < 0.03


def test_without_the_roots_steps_and_jump_part() -> None:
    experiment = Noising()
    signal, noise = experiment.holds(frames_of(experiment, roots="off"))[:2]
    assert signal.holds
    assert not noise.holds
    assert noise.value > 0.5


def test_what_is_left_at_the_end_is_said_of_every_schedule() -> None:
    """The numbers of the documents: their training leaves 36 %, Esling's sigmoid 60 %, his constant 2.8 %."""
    left = {
        betas: frames_of(Noising(), betas=betas)[0].panels["left"].values for betas in ("trained", "short", "shown")
    }
    assert left["trained"]["linear"] == pytest.approx(36.4, abs=0.1)
    assert left["short"]["sigmoid"] == pytest.approx(60.5, abs=0.1)
    assert left["short"]["constant"] == pytest.approx(2.8, abs=0.1)
    assert left["shown"]["linear"] < 0.01
    experiment = Noising()
    said = {each.name: each for each in experiment.holds(frames_of(experiment, betas="trained"))}
    assert not said["Left at the end of linear"].holds
    assert said["Left at the end of cosine"].holds


def test_a_clip_is_seen_and_heard_dissolving() -> None:
    frames = frames_of(Noising(), subject="clip", steps=10)
    sounds = [frame.panels["sound"] for frame in frames]
    assert all(isinstance(each, Sound) and np.isfinite(each.wave).all() for each in sounds)

    def flatness(wave: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(wave)) ** 2 + 1e-9
        return float(np.exp(np.log(power).mean()) / power.mean())

    assert flatness(sounds[-1].wave) > 5 * flatness(sounds[0].wave)


def test_the_visitors_own_clip_takes_the_place_of_the_shipped_one() -> None:
    silence = np.full_like(shipped_clip()[:, :, :32], -2.0)
    first = frames_of(Noising(clip=silence), subject="clip", steps=10)[0].panels["pictures"]
    assert isinstance(first, Images)
    assert first.pixels.shape[2] == 32


def test_panels_of_a_run() -> None:
    first, *_, last = frames_of(Noising())
    assert first.panels.keys() >= {"pictures", "left", "log_snr"}
    assert isinstance(first.panels["alpha_bar"], Curve)
    assert set(first.panels["alpha_bar"].y) == {"constant", "linear", "quadratic", "sigmoid", "cosine"}
    assert isinstance(first.panels["law"], Bars)
    assert (first.t, last.t) == (0, 1)
    assert last.panels["pictures"].captions == ["Step by step", "One jump"]
    assert isinstance(frames_of(Noising(), subject="points")[0].panels["one jump"], Points)


def test_own_pictures_are_read_upright_and_small() -> None:
    wide = np.zeros((300, 900, 3), np.uint8)
    wide[:, :450] = 255
    assert read_picture(file_of(wide, "PNG")).shape[:2] == (round(LONGEST_PX / 3), LONGEST_PX)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    assert read_picture(file_of(wide, "JPEG", exif=exif.tobytes())).shape[0] == LONGEST_PX
    own = Noising(picture=read_picture(file_of(GREY, "PNG")))
    assert frames_of(own, steps=10)[0].panels["pictures"].pixels[0].std() == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no PNG or JPEG picture"),
        (b"GIF89a" + b"\0" * 40, "no PNG or JPEG picture"),
        (file_of(NOISE, "PNG")[:600], "no PNG or JPEG picture"),
        (file_of(GREY, "GIF"), "no PNG or JPEG picture"),
        (b"\0" * (MOST_BYTES + 1), "allowed 10 MB at most"),
        (file_of(np.zeros((5000, 9000), np.uint8), "PNG"), "5000 pixels, allowed 40 million at most"),
    ],
    ids=["empty", "gif", "cut off", "whole gif", "too long", "too large"],
)
def test_other_files_are_refused_in_a_sentence(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_picture(content)


def test_own_clips_are_read_from_their_beginning() -> None:
    clip = read_clip(WELCOME.read_bytes())
    assert clip.shape == shipped_clip().shape
    assert float(np.corrcoef(clip.ravel(), shipped_clip().ravel())[0, 1]) > 0.99
    assert frames_of(Noising(clip=clip), subject="clip", steps=10)[0].panels["sound"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (file_of(GREY, "PNG"), "damaged, or not audio"),
        (b"\0" * (MOST_BYTES + 1), "clip: got 10.0 MB, allowed 10 MB at most"),
        (to_bytes(np.zeros(64_000, np.float32), 32_000), "silent"),
        (to_bytes(np.linspace(0, 0.5, 200, dtype=np.float32), 32_000), "too short"),
        (WELCOME.read_bytes()[:4000], "truncated"),
    ],
    ids=["empty", "picture", "too long", "silent", "too short", "cut off"],
)
def test_other_sounds_are_refused_in_a_sentence(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_clip(content)


def test_the_law_of_a_mixture_of_signal_and_noise() -> None:
    x0 = torch.randn(1, 50_000, generator=torch.Generator().manual_seed(0))
    eps = torch.randn(1, 50_000, generator=torch.Generator().manual_seed(1))
    assert law(0.6 * x0 + 0.8 * eps, x0) == pytest.approx((0.6, 0.8), abs=0.02)
