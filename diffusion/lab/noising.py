"""Noise on a picture, a clip or points: a step at a time beside one jump, under five schedules."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from diffusion.audio.codec import LogMelCodec
from diffusion.audio.loudness import finish
from diffusion.checkpoint import CHECKPOINTS, find_vocoder, load_vocoder
from diffusion.codecs import Codec, ImageCodec, LogMel
from diffusion.codecs import Points as PointsCodec
from diffusion.settings import Choice, Number, Setting, Words
from diffusion.theory import (
    ConstantBetas,
    Cosine,
    Level,
    LinearBetas,
    QuadraticBetas,
    Schedule,
    SeededNoise,
    SigmoidBetas,
    Transition,
    jump,
    transition,
)

from .experiment import SWITCH, Bars, Curve, Experiment, Frame, Images, Measured, Panel, Points, Sound, Source, stopped
from .swiss_roll import BOX, COMPARED, drawn

MOMENTS = 10
AGREED = 0.1
"""What steps and jump may differ by in signal or noise: of 2000 points, chance makes up to 0.08."""
MOST_BYTES = 10_000_000
MOST_PIXELS = 40_000_000
LONGEST_PX = 128
PICTURE = Path("mpl-data", "sample_data", "grace_hopper.jpg")
WELCOME = CHECKPOINTS / "daybreak" / "welcome.wav"
HEARD_S = 2.56
DRAWS = 1_000_000
"""The number of the draw of the jumps, beyond those of all steps."""

SUBJECTS = {
    "picture": Words("Picture", "A photograph, or a picture of your own."),
    "clip": Words("Clip", "Music, seen and heard."),
    "points": Words("Points", "The Swiss roll."),
}
BETAS: dict[str, tuple[str, str, float, float]] = {
    "shown": ("1e-3 to 0.2", "The cells of Démo DDPM that show the noising.", 1e-3, 0.2),
    "trained": ("1e-4 to 0.02", "What Démo DDPM and DDPM improvements train with.", 1e-4, 2e-2),
    "short": ("1e-5 to 0.01", "Esling's notebook.", 1e-5, 1e-2),
}
KINDS: dict[str, Callable[[int, float, float], Schedule]] = {
    "constant": lambda steps, first, last: ConstantBetas(steps, 0.035),
    "linear": LinearBetas,
    "quadratic": QuadraticBetas,
    "sigmoid": SigmoidBetas,
    "cosine": lambda steps, first, last: Cosine(),
}
TITLES = {
    "constant": Words("Constant", ConstantBetas.summary),
    "linear": Words("Linear", LinearBetas.summary),
    "quadratic": Words("Quadratic", QuadraticBetas.summary),
    "sigmoid": Words("Sigmoid", SigmoidBetas.summary),
    "cosine": Words("Cosine", Cosine.summary),
}


def read_picture(content: bytes) -> np.ndarray:
    """RGB (height, width, 3) uint8 of a PNG or JPEG file, upright, its longer side LONGEST_PX or less.

    ValueError, in one sentence, for a file that is too large or is no such picture.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    if len(content) > MOST_BYTES:
        raise ValueError(f"picture: got {len(content) / 1e6:.1f} MB, allowed {MOST_BYTES / 1e6:g} MB at most")
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MOST_PIXELS:
                size = f"{image.width} x {image.height}"
                raise ValueError(f"picture: got {size} pixels, allowed {MOST_PIXELS / 1e6:g} million at most")
            image.draft("RGB", (4 * LONGEST_PX, 4 * LONGEST_PX))  # a large JPEG is read at a fraction of its size
            upright = ImageOps.exif_transpose(image).convert("RGB")
            upright.thumbnail((LONGEST_PX, LONGEST_PX))
            return np.asarray(upright)
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("picture: got a file that is no PNG or JPEG picture, or a damaged one") from error


def read_clip(content: bytes) -> np.ndarray:
    """The beginning of a WAV, FLAC, MP3 or Ogg file as features (1, bands, frames) float32, HEARD_S long or less.

    ValueError, in one sentence, for a file that is too large, too short, silent or no such sound.
    """
    from diffusion.data.sources import read_source

    if len(content) > MOST_BYTES:
        raise ValueError(f"clip: got {len(content) / 1e6:.1f} MB, allowed {MOST_BYTES / 1e6:g} MB at most")
    codec = LogMel()
    with TemporaryDirectory() as folder:
        path = Path(folder, "clip")
        path.write_bytes(content)
        return read_source(path, codec.mel).features[..., : codec.frames_of(HEARD_S)].copy()


@cache
def shipped_picture() -> np.ndarray:
    """Grace Hopper (public domain, in matplotlib's sample data), RGB (height, width, 3) uint8."""
    found = find_spec("matplotlib")  # importing it would take longer than the noising
    if found is None or found.origin is None:
        raise ValueError("picture: matplotlib is missing, which brings the picture: pip install matplotlib")
    return read_picture((Path(found.origin).parent / PICTURE).read_bytes())


@cache
def shipped_clip() -> np.ndarray:
    """The beginning of the welcome clip as features (1, bands, frames) float32."""
    import soundfile

    mel = LogMel()
    wave, _ = soundfile.read(WELCOME, frames=mel.frames_of(HEARD_S) * mel.hop_size, dtype="float32")
    return LogMelCodec(mel.mel).encode(torch.from_numpy(wave)[None])[0].numpy()


@cache
def _decoder() -> LogMelCodec:
    """The shipped vocoder, or Griffin-Lim without one."""
    mel = LogMel().mel
    folder = find_vocoder(CHECKPOINTS, mel)
    return LogMelCodec(mel, load_vocoder(folder) if folder else None)


@torch.no_grad()
def heard(features: Tensor) -> Sound:
    """What features (1, 1, bands, frames) sound like; beyond their bounds they are clipped."""
    codec = _decoder()
    wave = finish(codec.decode(features)[0], codec.mel.sample_rate_hz)
    return Sound(wave.numpy(), codec.mel.sample_rate_hz, "One jump, heard")


def added(level: Level, roots: bool) -> Level:
    """What multiplies the data and the noise: alpha and sigma, or their squares where the roots are forgotten."""
    return level if roots else Level(level.alpha**2, level.sigma**2)


def step_on(x: Tensor, step: Transition, eps: Tensor, roots: bool) -> Tensor:
    """One noising step of x (B, ...): sqrt(1 - beta) x + sqrt(beta) eps, or without its roots."""
    return jump(x, added(Level(step.alpha, step.variance.sqrt()), roots), eps)


def law(x: Tensor, x0: Tensor) -> tuple[float, float]:
    """How much of x0 (1, ...) is in x, and the standard deviation of the rest: least squares, means left out."""
    centred, x = x0 - x0.mean(), x - x.mean()
    signal = float((x * centred).sum() / centred.square().sum())
    return signal, float((x - signal * centred).std())


@dataclass(frozen=True)
class Subject:
    """What dissolves: x0 (1, ...), how its states are shown, and whether they are heard."""

    x0: Tensor
    codec: Codec
    sounds: bool = False

    def shown(self, states: Mapping[str, Tensor], level: Level) -> dict[str, Panel]:
        """Panels of states (1, ...) at one level."""
        if isinstance(self.codec, PointsCodec):
            return {name: Points(x[0].numpy(), BOX, name.capitalize()) for name, x in states.items()}
        limits = self.codec.limits(float(level.alpha), float(level.sigma))
        pixels = np.stack([self.codec.picture(x[0].numpy(), limits) for x in states.values()])
        panels: dict[str, Panel] = {"pictures": Images(pixels, [name.capitalize() for name in states])}
        return panels | ({"sound": heard(states["one jump"])} if self.sounds else {})


@dataclass(frozen=True)
class Noising(Experiment):
    """A picture, a clip or points dissolve in noise, twice: by the steps of a chain and by a jump to each time.

    `picture` RGB (height, width, 3) uint8 and `clip`, features (1, bands, frames) of LogMel, take the place of what
    ships.
    """

    picture: np.ndarray | None = None
    clip: np.ndarray | None = None

    name: ClassVar[str] = "noising"
    title: ClassVar[str] = "Noising"
    summary: ClassVar[str] = "A picture or a clip dissolves, step by step and in one jump, under five schedules."
    source: ClassVar[Source] = Source("Démo DDPM", "Noising; Esling, forward process; Module 18a, forward process")
    claim: ClassVar[str] = (
        "One jump gives what many steps give: the same mean and the same variance. "
        "After T steps nothing but noise is left."
    )
    formula: ClassVar[str] = (
        r"x_t = \sqrt{1-\beta_t}\, x_{t-1} + \sqrt{\beta_t}\, z \;\Rightarrow\; "
        r"x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1-\bar\alpha_t}\, \epsilon"
    )
    own: ClassVar[Mapping[str, Callable[[bytes], np.ndarray]]] = {"picture": read_picture, "clip": read_clip}
    knobs: ClassVar[Mapping[str, Setting]] = {
        "subject": Choice(
            name="subject", title="Subject", help="What dissolves.", default="picture", catalogue=SUBJECTS
        ),
        "schedule": Choice(
            name="schedule", title="Schedule", help="How the noise grows.", default="linear", catalogue=TITLES
        ),
        "betas": Choice(
            name="betas",
            title="Betas",
            help="The variances of the first and the last step, of the schedules that rise.",
            default="shown",
            catalogue={name: Words(title, summary) for name, (title, summary, _, _) in BETAS.items()},
        ),
        "steps": Number(
            name="steps",
            title="Steps",
            help="T, the number of noising steps.",
            default=100,
            range=(MOMENTS, 1000),
            whole=True,
            step=10,
        ),
        "roots": Choice(
            name="roots",
            title="Square roots",
            help="Without them, as two cells of the notebook have it, steps and jump no longer agree.",
            default="on",
            catalogue=SWITCH,
        ),
    }

    def code(self, knobs: Mapping[str, Any]) -> Callable[..., Any]:
        return jump

    def subject(self, name: str, seed: int) -> Subject:
        """What the knob of that name stands for."""
        if name == "points":
            return Subject(drawn(COMPARED, seed)[None], PointsCodec(COMPARED, BOX[1]))
        if name == "clip":
            features = shipped_clip() if self.clip is None else self.clip
            return Subject(torch.from_numpy(features)[None], LogMel(), sounds=True)
        pixels = shipped_picture() if self.picture is None else self.picture
        codec = ImageCodec(3, *pixels.shape[:2])
        return Subject(torch.from_numpy(codec.encode(pixels[None])), codec)

    def run(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        steps, roots = knobs["steps"], knobs["roots"] == "on"
        _, _, first, last = BETAS[knobs["betas"]]
        schedules = {name: kind(steps, first, last) for name, kind in KINDS.items()}
        schedule = schedules[knobs["schedule"]]
        subject, noise = self.subject(knobs["subject"], seed), SeededNoise([seed])
        x0 = x = subject.x0
        times = torch.arange(steps + 1, dtype=torch.float64) / steps
        marks = {round(steps * moment / MOMENTS) for moment in range(MOMENTS + 1)}
        for i, t in enumerate(times):
            level = schedule(t)
            if i:
                x = step_on(x, transition(level, schedule(times[i - 1])), noise(i, x), roots)
            if i not in marks:
                continue
            states = {"step by step": x, "one jump": jump(x0, added(level, roots), noise(DRAWS, x0)) if i else x0}
            panels = subject.shown(states, level)
            kept = {f"{what}, {name}": value for name, each in states.items() for what, value in _law(each, x0)}
            left = 100 * float(level.alpha**2)
            panels["law"] = Bars(kept, "", "What is left of the signal, and the noise")
            if i == 0:
                panels |= curves(schedules, steps) | {"left": ends(schedules)}
            yield Frame(panels, i / steps, float(t), f"Step {i}: {left:.3g} % of the signal's variance is left")
            if stopped(stop):
                return

    def holds(self, frames: Sequence[Frame]) -> list[Measured]:
        laws = [each.values for frame in frames if isinstance(each := frame.panels.get("law"), Bars)]
        left = frames[0].panels["left"]
        assert isinstance(left, Bars)
        apart = {
            what: max(abs(law[f"{what}, step by step"] - law[f"{what}, one jump"]) for law in laws)
            for what in ("signal", "noise")
        }
        found = [
            Measured(f"Largest difference in the {what} between steps and jump", value, holds=value < AGREED)
            for what, value in apart.items()
        ]
        for name, value in left.values.items():
            found.append(Measured(f"Left at the end of {name}", value, "%", "nothing", value < 0.1))
        return found


def _law(x: Tensor, x0: Tensor) -> list[tuple[str, float]]:
    return list(zip(("signal", "noise"), law(x, x0), strict=True))


def curves(schedules: Mapping[str, Schedule], steps: int) -> dict[str, Panel]:
    """alpha-bar and log-SNR (steps,) of the schedules."""
    t = torch.arange(1, steps + 1, dtype=torch.float64) / steps
    bars = {name: (each(t).alpha ** 2).numpy() for name, each in schedules.items()}
    log_snrs = {name: each.log_snr(t).numpy() for name, each in schedules.items()}
    x = np.arange(1, steps + 1)
    return {
        "alpha_bar": Curve(x, bars, "step", "alpha-bar", title="How much of the variance is left"),
        "log_snr": Curve(x, log_snrs, "step", "log-SNR", title="Signal to noise"),
    }


def ends(schedules: Mapping[str, Schedule]) -> Bars:
    """What is left of the variance of the data at the end."""
    end = torch.ones((), dtype=torch.float64)
    left = {name: 100 * float(each(end).alpha ** 2) for name, each in schedules.items()}
    return Bars(left, "%", "Left of the variance at the end")
