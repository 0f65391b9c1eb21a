"""Two channels, magnitude and phase, at T = 100: what `music_diffusion` does, what goes wrong with it, and the cures.

The notes are short and few, the network is small. So what it makes are no good notes; what is shown is the difference
that each choice makes.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from diffusion.audio.loudness import finish
from diffusion.checkpoint import CARD, Configuration
from diffusion.codecs import MagnitudePhase, settings_of
from diffusion.codecs.magnitude_phase import Ranges
from diffusion.data.ensembles import VOICES
from diffusion.data.fonts import DEFAULT_EAR_FONTS
from diffusion.denoisers import Clipped
from diffusion.files import write_text, written
from diffusion.objectives import ErrorPlusKL, NormalisedKL, Objective, PosteriorKL, loss_curve, low_discrepancy
from diffusion.samplers import DDPM
from diffusion.settings import Choice, Number, Setting, Words
from diffusion.theory import Cond, Denoiser, Estimate, LinearBetas, Mix, Schedule, SeededNoise, jump, uniform_grid

from .experiment import SWITCH, Bars, Curve, Experiment, Frame, Images, Measured, Panel, Sound, Source, stopped
from .training import LAB, Lesson, learn, ship, shipped

STEPS = 100
CHAIN = LinearBetas(STEPS, 1e-4, 2e-2)
"""The document's own: 36 % of the variance of the data are left at the end."""
CLAMP = 1e-20
"""What the document puts in place of a smaller beta-tilde."""
RATE_HZ, FFT, HOP, FRAMES = 8000, 128, 64, 64
SAMPLES = (FRAMES - 1) * HOP
FONT = DEFAULT_EAR_FONTS[-1]  # in the public domain
PLAYERS = ("piano", "guitar", "flute", "marimba", "organ", "strings")
PITCHES = (57, 62, 67, 72)
NOTES = "notes.flac"
BATCH = 4
"""How many notes are sampled; the first is seen and heard."""
HISTOGRAM = 40

CODECS = {
    "linear": MagnitudePhase(RATE_HZ, FFT, HOP),
    "logarithmic": MagnitudePhase(RATE_HZ, FFT, HOP, logarithmic=True),
}


@dataclass(frozen=True)
class Cost:
    """An objective under the name that the document has for it."""

    title: str
    summary: str
    objective: Objective


COSTS: dict[str, Cost] = {
    "sum": Cost("Sum", "The KL of a step, over all of the spectrogram.", PosteriorKL(STEPS)),
    "batch-maximum": Cost("Batch maximum", "The KL over the largest of its batch: a biased loss.", NormalisedKL(STEPS)),
    "mse-kl": Cost("MSE + KL", "The error of the noise and the KL, both.", ErrorPlusKL(STEPS)),
}
STARTS = {
    "noise": Words("Noise", "N(0, 1), as the document starts: training has never been there."),
    "noised": Words("Noised notes", "Where training ended: notes with the noise of the last step."),
}
VARIANCES = {
    "learned": Words("Learned", "What the second head says, between beta-tilde (v = 0) and beta (v = 1)."),
    "dial": Words("By the dial", "The same v everywhere."),
}


@dataclass(frozen=True)
class Dialled:
    """The inner denoiser with one fraction v between log beta-tilde and log beta everywhere."""

    inner: Denoiser
    v: float

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        belief = self.inner(x_t, t, cond)
        return replace(belief, variance=Mix(torch.full_like(x_t, self.v)))


def render(font: Path = FONT) -> np.ndarray:
    """Every player's notes (notes, SAMPLES) float32, played with a sound font; needs what making data needs."""
    from scipy.signal import resample_poly

    from diffusion.data.synthesiser import SAMPLE_RATE_HZ, Synthesiser

    synthesiser, times = Synthesiser(font), SAMPLE_RATE_HZ // RATE_HZ
    waves = []
    for player in PLAYERS:
        for pitch in PITCHES:
            events = np.array([[0.0, 0.4, pitch, 90, 0]])
            wave = synthesiser.render(events, {0: VOICES[player][0]}, SAMPLES * times)
            waves.append(resample_poly(wave, 1, times)[:SAMPLES])
    loud: np.ndarray = np.stack(waves).astype(np.float32)
    loud *= 0.9 / np.abs(loud).max(axis=1, keepdims=True)
    return loud


@cache
def notes(magnitude: str) -> tuple[Tensor, Ranges]:
    """The shipped notes as features (notes, 2, bins, FRAMES) and their ranges."""
    import soundfile

    wave, _ = soundfile.read(LAB / "notes" / NOTES, dtype="float32")
    return CODECS[magnitude].encode(torch.from_numpy(wave).reshape(-1, SAMPLES))


def burst(v: float) -> float:
    """The KL in nats of the first step, each value, as the document counts it: q has beta, beta-tilde is clamped.

    (r - 1 - log r) / 2 with r = beta / (beta^v CLAMP^(1 - v)), where both means agree.
    """
    beta = float(CHAIN.betas[0])
    ratio = math.pow(beta / CLAMP, 1 - v)
    return (ratio - 1 - math.log(ratio)) / 2


def configuration(magnitude: str) -> Configuration:
    network = {"name": "conv-unet", "channels": 2, "outputs": 2, "widths": [8, 8, 16], "condition": 16}
    schedule = {"name": "linear", "steps": CHAIN.steps, "first": CHAIN.first, "last": CHAIN.last}
    return Configuration(network, schedule, "eps-mix", {}, FRAMES, settings_of(CODECS[magnitude]))


def lesson(cost: str, magnitude: str, steps: int = 300, batch: int = 4) -> Lesson:
    features, _ = notes(magnitude)

    def draw(batch: int, generator: torch.Generator) -> tuple[Tensor, Cond]:
        return features[torch.randint(len(features), (batch,), generator=generator)], {}

    objective = COSTS[cost].objective
    return Lesson(draw, objective, configuration(magnitude).denoiser, steps, batch, low_discrepancy, 0.98, lr=4e-3)


def named(cost: str, magnitude: str) -> str:
    """What the folder of the weights is called."""
    return f"channels-{cost}-{magnitude}"


def outside(x: Tensor) -> float:
    """The share of values beyond [-1, 1]."""
    return float((x.abs() > 1 + 1e-5).float().mean())


def heard(features: Tensor, codec: MagnitudePhase, title: str) -> Sound:
    """What features (2, bins, frames) sound like, as loud as every clip."""
    wave = codec.decode(features[None])[0]
    return Sound(finish(wave, RATE_HZ).numpy(), RATE_HZ, title)


def histogram(real: Tensor, made: Tensor, title: str) -> Curve:
    """How the values of one channel are distributed, from -1 to 1."""
    edges = np.linspace(-1, 1, HISTOGRAM + 1)
    lines = {
        name: np.histogram(values.clamp(-1, 1).numpy(), edges, density=True)[0]
        for name, values in (("notes", real), ("samples", made))
    }
    return Curve((edges[1:] + edges[:-1]) / 2, lines, "value", "density", title=title)


@torch.no_grad()
def meters(denoiser: Denoiser, x0: Tensor) -> tuple[Curve, Bars]:
    """The KL of each step in bits a value, and that of the first in nats as the document counts it."""
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(4))
    times = torch.arange(1, STEPS + 1, dtype=torch.float64) / STEPS
    kl = loss_curve(PosteriorKL(STEPS), denoiser, x0, eps, times, {})
    t = times[:1].expand(len(x0))
    variance = denoiser(jump(x0, CHAIN(t), eps), t, {}).variance
    assert isinstance(variance, Mix)
    v = float(variance.fraction.mean())
    counted = {"v at the first step": v, "log10 of its KL, q with beta": math.log10(burst(v))}
    counted["log10 of its KL, q with beta-tilde of the next"] = math.log10(max(float(kl[0]) * math.log(2), 1e-12))
    curve = Curve(
        np.arange(1, STEPS + 1), {"KL": kl.numpy()}, "step", "bits a value", logarithmic=True, title="KL of each step"
    )
    return curve, Bars(counted, "v, and nats a value", "The first step")


def fly(denoiser: Denoiser, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None) -> Iterator[Frame]:
    """The frames of a run of the chain."""
    codec = CODECS[knobs["magnitude"]]
    real, _ = notes(knobs["magnitude"])
    dialled = denoiser if knobs["variance"] == "learned" else Dialled(denoiser, knobs["v"])
    asked = Clipped(dialled, codec.bounds) if knobs["clip"] == "on" else dialled
    noise = SeededNoise([seed + number for number in range(BATCH)])
    x = noise(0, real[:BATCH])
    if knobs["start"] == "noised":
        x = jump(real[:: len(real) // BATCH][:BATCH], CHAIN(torch.ones((), dtype=torch.float64)), x)
    beyond: dict[str, list[float]] = {"state": [], "belief": []}
    for step in DDPM("learned").steps(asked, x, uniform_grid(CHAIN, STEPS), cond={}, noise=noise):
        level = CHAIN(torch.tensor(step.s, dtype=torch.float64))
        shown = {"state": (step.x, codec.limits(float(level.alpha), float(level.sigma)))}
        if step.x0 is not None:
            shown["belief"] = (step.x0, codec.bounds)
            beyond["state"].append(outside(step.x))
            beyond["belief"].append(outside(step.x0))
        pixels = np.stack([codec.picture(each[0].numpy(), limits) for each, limits in shown.values()])
        panels: dict[str, Panel] = {"channels": Images(pixels, [*shown], "Magnitude above phase")}
        if step.x0 is None:
            panels["note"] = heard(real[0], codec, "A note as it is")
            note = codec.picture(real[0].numpy(), codec.bounds)
            panels["notes"] = Images(note[None], ["a note"], "Magnitude above phase")
        else:
            done = np.arange(1, step.index + 1)
            lines = {name: 100 * np.array(values) for name, values in beyond.items()}
            panels["range"] = Curve(done, lines, "step", "%", title="Values beyond [-1, 1]")
        if step.s == 0:
            panels["sound"] = heard(step.x[0], codec, "The first sample")
            panels["magnitudes"] = histogram(real[:, 0], step.x[:, 0], "Magnitudes")
            panels["phases"] = histogram(real[:, 1], step.x[:, 1], "Phases")
            panels["kl"], panels["first"] = meters(dialled, real[::6])
            means = {"notes": real[:, 0].mean(), "samples": step.x[:, 0].mean()}
            spreads = {"notes": real[:, 0].std(), "samples": step.x[:, 0].std()}
            panels["magnitude"] = Bars(
                {f"mean, {name}": float(value) for name, value in means.items()}
                | {f"spread, {name}": float(value) for name, value in spreads.items()},
                "",
                "The magnitude",
            )
        yield Frame(panels, step.index / step.total, step.s, f"Step {step.index} of {step.total}")
        if stopped(stop):
            return


@dataclass(frozen=True)
class Channels(Experiment):
    """Notes as magnitude and phase, by a chain of a hundred steps."""

    name: ClassVar[str] = "channels"
    title: ClassVar[str] = "Two channels"
    summary: ClassVar[str] = (
        "Short notes as magnitude and phase, at T = 100 by the book: what goes wrong, and the cures."
    )
    source: ClassVar[Source] = Source("DDPM improvements", "Clipping, variance, KL, loss")
    claim: ClassVar[str] = (
        "Without clipping the beliefs leave [-1, 1]. The KL of the first step explodes where q has the variance beta. "
        "A linear magnitude is nearly all silence, and a loss over its batch maximum falls silent too."
    )
    formula: ClassVar[str] = (
        r"\Sigma = \exp(v \log \beta_t + (1 - v) \log \tilde\beta_t), \qquad v = \mathrm{sigmoid}(u)"
    )
    trains: ClassVar[bool] = True
    knobs: ClassVar[Mapping[str, Setting]] = {
        "objective": Choice(
            name="objective", title="Loss", help="What the network minimised.", default="sum", catalogue=COSTS
        ),
        "magnitude": Choice(
            name="magnitude",
            title="Magnitude",
            help="As it is, or its logarithm.",
            default="linear",
            catalogue={
                "linear": Words("Linear", "As the document has it: nearly all values are close to silence."),
                "logarithmic": Words("Logarithmic", "In decibels: quiet partials count as well."),
            },
        ),
        "clip": Choice(
            name="clip", title="Clipping", help="Every belief is cut to [-1, 1].", default="on", catalogue=SWITCH
        ),
        "variance": Choice(
            name="variance", title="Variance", help="Who says v.", default="learned", catalogue=VARIANCES
        ),
        "v": Number(
            name="v",
            title="v",
            help="The dial: 0 is beta-tilde, 1 is beta.",
            default=0.5,
            range=(0.0, 1.0),
            step=0.05,
        ),
        "start": Choice(name="start", title="Start", help="Where sampling begins.", default="noise", catalogue=STARTS),
    }

    def code(self, knobs: Mapping[str, Any]) -> Callable[..., Any]:
        return type(COSTS[knobs["objective"]].objective)

    def run(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        yield from fly(shipped(named(knobs["objective"], knobs["magnitude"])).denoiser, knobs, seed, stop)

    def train(self, knobs: Mapping[str, Any], seed: int, stop: threading.Event | None = None) -> Iterator[Frame]:
        plan = lesson(knobs["objective"], knobs["magnitude"], steps=300)
        torch.manual_seed(seed)
        steps, losses = [], []
        for learned in learn(configuration(knobs["magnitude"]).build(), plan, seed, stop=stop, every=10):
            steps.append(learned.step)
            losses.append(learned.loss)
            curve = Curve(np.array(steps), {"now": np.array(losses)}, "step", "loss", title="Loss")
            yield Frame({"losses": curve}, 0.8 * learned.progress, caption=f"Step {learned.step} of {learned.steps}")
        for frame in fly(plan.denoiser(learned.average), knobs, seed, stop):
            yield replace(frame, progress=0.8 + 0.2 * frame.progress)

    def make(self, folder: Path) -> Iterator[str]:
        if not (LAB / "notes" / NOTES).is_file():
            yield from make_notes()
        for magnitude in CODECS:
            for cost in COSTS:
                plan = lesson(cost, magnitude)
                torch.manual_seed(0)
                *_, learned = learn(configuration(magnitude).build(), plan, seed=0)
                card = (
                    f"# {named(cost, magnitude)}\n\nConvUNet with two heads for {len(notes(magnitude)[0])} short notes "
                    f"as {magnitude} magnitude and phase, taught by {COSTS[cost].title}: {learned.steps} steps "
                    f"of {plan.batch} notes, {learned.seconds / 60:.1f} minutes on one core, "
                    f"last loss {learned.loss:.4g}. Made by `python -m diffusion lab train {self.name}`."
                )
                ship(folder / named(cost, magnitude), configuration(magnitude), learned.average, card)
                yield card

    def holds(self, frames: Sequence[Frame]) -> list[Measured]:
        panels = {name: panel for frame in frames for name, panel in frame.panels.items()}
        beyond, first, magnitude = panels["range"], panels["first"], panels["magnitude"]
        real = panels["magnitudes"]
        assert isinstance(beyond, Curve)
        assert isinstance(first, Bars)
        assert isinstance(magnitude, Bars)
        assert isinstance(real, Curve)
        silent = float(real.y["notes"][real.x < -0.9].sum() / real.y["notes"].sum())
        left = 100 * float(CHAIN(torch.ones((), dtype=torch.float64)).alpha ** 2)
        largest = float(beyond.y["belief"].max())
        exploded = first.values["log10 of its KL, q with beta"]
        spread = magnitude.values["spread, samples"] / magnitude.values["spread, notes"]
        return [
            Measured("Beliefs beyond [-1, 1] at most", largest, "%", "they leave [-1, 1] without clipping"),
            Measured("Left of the variance where sampling starts", left, "%", "nothing", left < 0.1),
            Measured(
                "log10 of the first KL in nats, q with beta", exploded, "", "un milliard de milliards", exploded > 4
            ),
            Measured("Magnitudes of the notes below -0.9", 100 * silent, "%"),
            Measured("Spread of the samples' magnitude, beside the notes'", spread, "", "falls silent", spread < 0.5),
            Measured("Mean magnitude of the samples", magnitude.values["mean, samples"]),
            Measured("Mean magnitude of the notes", magnitude.values["mean, notes"]),
        ]


def make_notes(folder: Path = LAB / "notes") -> Iterator[str]:
    """Write the notes that the networks learn from."""
    folder.mkdir(parents=True, exist_ok=True)
    import soundfile

    waves = render()
    with written(folder / NOTES) as partial:
        soundfile.write(partial, waves.reshape(-1), RATE_HZ, format="FLAC", subtype="PCM_16")
    card = (
        f"# notes\n\n{len(waves)} notes of {SAMPLES / RATE_HZ:.2f} s at {RATE_HZ} Hz, one after another: "
        f"{', '.join(PLAYERS)}, four pitches each, played with {FONT.name} (public domain)."
    )
    write_text(folder / CARD, card + "\n")
    yield card
