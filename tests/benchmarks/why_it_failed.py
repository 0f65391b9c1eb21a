"""Measures, on data whose best denoiser is known, what went wrong in the documents' diffusion at T = 100.

Run as a script it writes why_it_failed.md and its two plots beside itself. No network takes part: every belief is the
exact one, so that what remains is the fault of the setting alone. One number is measured on music: how the linear
magnitude of a clip is distributed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill

import soundfile
import torch
from torch import Tensor

from diffusion.checkpoint import CHECKPOINTS
from diffusion.denoisers import Clipped, NetworkDenoiser
from diffusion.objectives import NormalisedKL, PosteriorKL, loss_curve
from diffusion.samplers import DDPM
from diffusion.theory import (
    Cond,
    Cosine,
    Denoiser,
    Estimate,
    Level,
    LinearBetas,
    Mix,
    MixtureDenoiser,
    Schedule,
    SigmoidBetas,
    Step,
    jump,
    posterior,
    posterior_variance,
    uniform_grid,
)

T = 100
TRAINED = LinearBetas(steps=T, first=1e-4, last=2e-2)
SHOWN = LinearBetas(steps=T, first=1e-3, last=2e-1)
SAMPLES = 20_000

# One loudness per clip, as in [-1, 1]: four of five are nearly silent.
QUIET, LOUD = -0.8, 0.4
WEIGHTS = torch.tensor([0.8, 0.2], dtype=torch.float64)
MEANS = torch.tensor([[QUIET], [LOUD]], dtype=torch.float64)
VARIANCES = torch.tensor([0.05, 0.15], dtype=torch.float64) ** 2
ERROR = -0.1  # of a network's eps, relative
CLAMP = 1e-20  # what the notebook puts in place of a smaller beta-tilde
FRACTIONS = (0.5, 0.1, 0.0)  # of the way from log beta-tilde to log beta
VALUES = 2 * 512 * 512  # of a spectrogram of magnitude and phase
CLIP = CHECKPOINTS / "daybreak" / "welcome.wav"


def exact(schedule: Schedule) -> MixtureDenoiser:
    return MixtureDenoiser(schedule, WEIGHTS, MEANS, VARIANCES)


def normal(seed: int, count: int = SAMPLES) -> Tensor:
    return torch.randn(count, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


DATA = exact(Cosine()).sample(SAMPLES, torch.Generator().manual_seed(1))


@dataclass(frozen=True)
class NoRoots(Schedule):
    """x_t = a x0 + (1 - a) eps with a the alpha-bar of `inner`: the square roots forgotten."""

    inner: Schedule

    def level(self, log_snr: Tensor) -> Level:
        return Level(torch.sigmoid(log_snr), torch.sigmoid(-log_snr))

    def raw_log_snr(self, t: Tensor) -> Tensor:
        return self.inner.raw_log_snr(t)

    def raw_inverse(self, log_snr: Tensor) -> Tensor:
        return self.inner.raw_inverse(log_snr)


@dataclass(frozen=True)
class TaughtOn:
    """The best noise prediction for data noised by `taught`, sampled as if by `schedule`, with a relative error."""

    schedule: Schedule
    taught: Schedule
    error: float = 0.0

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        eps = exact(self.taught)(x_t, t, cond).eps
        return Estimate.from_eps(x_t, self.schedule(t), (1 + self.error) * eps)


@dataclass(frozen=True)
class Leaning(MixtureDenoiser):
    """The exact denoiser, but its chance of a loud clip is bent by `bend` (R, 2): chances in, chances out."""

    bend: Tensor = None  # type: ignore[assignment]

    def responsibilities(self, x_t: Tensor, level: Level, cond: Cond) -> Tensor:
        loud = super().responsibilities(x_t, level, cond)[:, 1].contiguous()
        chances, bent = self.bend.T.contiguous()
        i = torch.searchsorted(chances, loud).clamp(1, len(chances) - 1)
        part = (loud - chances[i - 1]) / (chances[i] - chances[i - 1])
        loud = bent[i - 1] + part * (bent[i] - bent[i - 1])
        return torch.stack([1 - loud, loud], dim=-1)


def chain(denoiser: Denoiser, x: Tensor) -> list[Step]:
    """The ancestral chain of T steps from x."""
    times = uniform_grid(denoiser.schedule, T)
    return list(DDPM().steps(denoiser, x, times, cond={}, noise=lambda draw, like: normal(draw)))


def sample(denoiser: Denoiser, x: Tensor) -> Tensor:
    return chain(denoiser, x)[-1].x


def distance(x: Tensor) -> float:
    """First Wasserstein distance to the data."""
    return float((x.sort(0).values - DATA.sort(0).values).abs().mean())


def loud_share(x: Tensor) -> float:
    return float((x > (QUIET + LOUD) / 2).double().mean())


def outside_share(x: Tensor) -> float:
    return float((x.abs() > 1).double().mean())


def alpha_bar(schedule: Schedule) -> float:
    return float(schedule(torch.ones((), dtype=torch.float64)).alpha ** 2)


def terminal_snr(numbers: dict[str, float]) -> dict[str, Tensor]:
    """Sampling from N(0, 1) where training never came."""
    for name, schedule in (("trained", TRAINED), ("shown", SHOWN), ("sigmoid", SigmoidBetas(steps=T))):
        numbers[f"alpha-bar {name}"] = alpha_bar(schedule)
    numbers["amplitude left"] = alpha_bar(TRAINED) ** 0.5
    start = normal(0)
    held = jump(DATA, TRAINED(torch.ones((), dtype=torch.float64)), start)
    numbers["mean of x_T"], numbers["std of x_T"] = float(held.mean()), float(held.std())
    clouds = {
        "from noise": sample(exact(TRAINED), start),
        "from x_T": sample(exact(TRAINED), held),
        "cosine": sample(exact(Cosine()), start),
    }
    for name, x in clouds.items():
        numbers[f"{name}: mean"], numbers[f"{name}: loud"] = float(x.mean()), loud_share(x)
        numbers[f"{name}: distance"] = distance(x)
    return clouds


def square_roots(numbers: dict[str, float]) -> dict[str, Tensor]:
    """Noise added without its square roots, on the schedule that does end in noise."""
    keep, betas = 1 - SHOWN.betas, SHOWN.betas
    later = keep.flip(0).cumprod(0).flip(0) / keep
    numbers["one jump: std"] = 1 - float(keep.prod())
    numbers["step by step: std"] = float((betas * later).square().sum().sqrt())
    clouds = {
        "with roots": sample(TaughtOn(SHOWN, SHOWN), normal(0)),
        "without roots": sample(TaughtOn(SHOWN, NoRoots(SHOWN)), normal(0)),
    }
    for name, x in clouds.items():
        numbers[f"{name}: std"], numbers[f"{name}: distance"] = float(x.std()), distance(x)
        numbers[f"{name}: loud"] = loud_share(x)
    return clouds


def infinite_logarithm(numbers: dict[str, float]) -> dict[str, Tensor]:
    """The KL where the variance is half-way between log beta-tilde and log beta, and beta-tilde is 0."""
    times = torch.arange(1, T + 1, dtype=torch.float64) / T
    t = times[:1]
    tilde = posterior_variance(TRAINED(t), TRAINED(t - t))
    numbers["log beta-tilde at the first step"] = float(tilde.log())

    @dataclass(frozen=True)
    class HalfWay:
        inner: MixtureDenoiser
        schedule: Schedule = TRAINED

        def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
            return replace(self.inner(x_t, t, cond), variance=Mix(torch.full_like(x_t, 0.5)))

    curve = loss_curve(PosteriorKL(steps=T), HalfWay(exact(TRAINED)), DATA, normal(2), times, {})
    # The usual guard: the logarithm of beta-tilde, but of 1e-20 where it is less.
    x_t = jump(DATA, TRAINED(t), normal(2))
    error = exact(TRAINED)(x_t, t, {}).x0 - DATA
    gap = posterior(torch.zeros_like(DATA), error, TRAINED(t), TRAINED(t - t)).mean
    low, high = torch.tensor(1e-20, dtype=torch.float64).log(), TRAINED.betas[0].log()
    half = (low + high) / 2
    guarded = (
        ((low - half).exp() - 1 - (low - half) + gap.square() * (-half).exp()).mean() / 2 / torch.log(torch.tensor(2.0))
    )
    numbers["KL of the first step, guarded by 1e-20"] = float(guarded)
    numbers["KL of the first step, next logarithm"] = float(curve[0])
    numbers["KL of all other steps"] = float(curve[1:].sum())
    return {"next": curve, "guarded": torch.cat([guarded[None], curve[1:]])}


def settled(chance: float, batch: int) -> float:
    """The belief at which descent on the batch-normalised KL comes to rest, where x_t leaves `chance` of a loud clip.

    A clip is two bins around its loudness. All batches are summed over, by how many of their clips are loud.
    """
    spread = VARIANCES.sqrt()
    clips = torch.stack([MEANS[:, 0] - spread, MEANS[:, 0] + spread], dim=1)
    loud = torch.arange(batch + 1)
    p = torch.distributions.Binomial(batch, torch.tensor(chance, dtype=torch.float64)).log_prob(loud.double()).exp()
    objective, t = NormalisedKL(steps=T, variance="beta-tilde"), torch.ones(batch, dtype=torch.float64)

    def slope(belief: float) -> float:
        m = torch.tensor(belief, dtype=torch.float64, requires_grad=True)
        denoiser = NetworkDenoiser(lambda x_t, log_snr, cond: m.expand_as(x_t), SHOWN, "x0")
        total = torch.zeros((), dtype=torch.float64)
        for count in loud.tolist():
            x0 = clips[(torch.arange(batch) < count).long()]
            total = total + p[count] * objective(denoiser, x0, t, torch.zeros_like(x0), {}).mean()
        return float(torch.autograd.grad(total, m)[0])

    # From the true belief down the slope to the first place where it turns.
    true = float(QUIET + chance * (LOUD - QUIET))
    toward = QUIET if slope(true) > 0 else LOUD
    uphill, rest = true, toward
    for step in range(1, 41):
        m = true + (toward - true) * step / 40
        if (slope(m) > 0) != (toward == QUIET):
            rest = m
            break
        uphill = m
    for _ in range(10):
        middle = (uphill + rest) / 2
        uphill, rest = (middle, rest) if (slope(middle) > 0) == (toward == QUIET) else (uphill, middle)
    return (uphill + rest) / 2


BATCHES = (1, 2, 4, 8, 16, 32, 64)


def biased_loss(numbers: dict[str, float]) -> dict[str, Tensor]:
    """Where the batch-normalised KL comes to rest, against the mean that the KL itself finds."""
    rests = torch.tensor([settled(0.2, batch) for batch in BATCHES], dtype=torch.float64)
    numbers["true belief"] = float(WEIGHTS @ MEANS[:, 0])
    for batch, rest in zip(BATCHES, rests.tolist(), strict=True):
        numbers[f"belief at batch {batch}"] = rest
    chances = torch.linspace(0, 1, 11, dtype=torch.float64)
    clouds = {}
    for batch in (2, 8):
        inner = [(settled(chance, batch) - QUIET) / (LOUD - QUIET) for chance in chances[1:-1].tolist()]
        bend = torch.stack([chances, torch.tensor([0.0, *inner, 1.0], dtype=torch.float64)], dim=1)
        clouds[f"batch {batch}"] = sample(Leaning(SHOWN, WEIGHTS, MEANS, VARIANCES, bend), normal(0))
        numbers[f"batch {batch}: loud"] = loud_share(clouds[f"batch {batch}"])
    numbers["unbiased: loud"] = loud_share(sample(exact(SHOWN), normal(0)))
    return {"rests": rests, **clouds}


def leaving_the_range(numbers: dict[str, float]) -> None:
    """What a small error of eps becomes in x0, and what clipping makes of it."""
    for name, schedule in (("trained", TRAINED), ("shown", SHOWN)):
        level = schedule(torch.ones((), dtype=torch.float64))
        numbers[f"x0 error per eps error, {name}"] = float(level.sigma / level.alpha)
    wrong = TaughtOn(SHOWN, SHOWN, ERROR)
    for name, denoiser in (("unclipped", wrong), ("clipped", Clipped(wrong, (-1.0, 1.0)))):
        steps = chain(denoiser, normal(0))
        for moment, x in (
            ("first belief", steps[1].x0),
            ("half-way belief", steps[T // 2].x0),
            ("sample", steps[-1].x),
        ):
            assert x is not None
            numbers[f"{name}: {moment} outside"] = outside_share(x)
            numbers[f"{name}: {moment} largest"] = float(x.abs().max())


def wrong_variance(numbers: dict[str, float]) -> None:
    """The KL of the first step, in nats a value, where q has the variance beta, beta-tilde is clamped, means agree."""
    beta = float(TRAINED.betas[0])
    for fraction in FRACTIONS:
        ratio = beta / (beta**fraction * CLAMP ** (1 - fraction))
        numbers[f"KL in nats, v = {fraction:g}"] = (ratio - 1 - math.log(ratio)) / 2


def linear_magnitude(numbers: dict[str, float]) -> None:
    """How the magnitude of a clip is distributed, weighted by frequency and scaled to [-1, 1] as in the notebook."""
    wave, rate_hz = soundfile.read(CLIP, dtype="float64")
    spectrum = torch.stft(torch.from_numpy(wave), 1024, 256, window=torch.hann_window(1024), return_complex=True)
    weight = torch.asinh(torch.arange(512) * rate_hz / 1024 / 600)
    magnitude = spectrum.abs()[:512] * (weight / weight.amax())[:, None]
    low, high = magnitude.aminmax()
    scaled = 2 * (magnitude - low) / (high - low) - 1
    numbers["magnitude: below -0.9"] = float((scaled < -0.9).double().mean())
    numbers["magnitude: mean"], numbers["magnitude: std"] = float(scaled.mean()), float(scaled.std())
    numbers["magnitude: error of silence"] = float((scaled + 1).square().mean())


def measure() -> tuple[dict[str, float], dict[str, dict[str, Tensor]]]:
    """All numbers of the page, and what its plots show."""
    numbers: dict[str, float] = {"data: mean": float(DATA.mean()), "data: loud": loud_share(DATA)}
    numbers["data: std"], numbers["data: outside"] = float(DATA.std()), outside_share(DATA)
    # what two draws of this size differ by
    numbers["data: distance"] = distance(exact(Cosine()).sample(SAMPLES, torch.Generator().manual_seed(2)))
    shown = {
        "ends": terminal_snr(numbers),
        "roots": square_roots(numbers),
        "logarithm": infinite_logarithm(numbers),
        "bias": biased_loss(numbers),
    }
    leaving_the_range(numbers)
    wrong_variance(numbers)
    linear_magnitude(numbers)
    return numbers, shown


def page(n: dict[str, float]) -> str:
    """The page in Markdown."""
    beliefs = " | ".join(f"{n[f'belief at batch {batch}']:.3f}" for batch in BATCHES)
    rows = "\n".join(f"| {fraction:g} | {n[f'KL in nats, v = {fraction:g}']:.1e} |" for fraction in FRACTIONS)
    text = f"""# Why it failed

*DDPM improvements*, a French notebook, trains a DDPM on spectrograms of music, magnitude and phase, at T = {T}. It
reports samples that leave [-1, 1], a KL that explodes and a magnitude that falls silent. This page takes its
settings, and those of two other notebooks, *Démo DDPM* and Esling's *Diffusion probabilistic models*, to data whose
best denoiser is known in closed form. No network is trained, so what goes wrong is due to the settings alone.
`why_it_failed.py` measures every number and writes this page.

The data are one number per clip, its loudness, in [-1, 1]. Four clips in five are nearly silent ({QUIET:g} ±
{VARIANCES[0] ** 0.5:g}), one in five is loud ({LOUD:g} ± {VARIANCES[1] ** 0.5:g}). The mean is {n["data: mean"]:.2f},
the standard deviation {n["data: std"]:.2f}. Every chain makes {SAMPLES} samples in T ancestral steps (DDPM with the
variance beta-tilde). *Distance* is the first Wasserstein distance to the data. Two draws of the data are
{n["data: distance"]:.3f} apart.

| complaint | cause | measured |
|---|---|---|
| poor samples | sampling starts at N(0, 1), training ended elsewhere | alpha-bar is \
{n["alpha-bar trained"]:.3f} at the end: {100 * n["amplitude left"]:.0f} % of the amplitude is left |
| poor samples | noise added without its square roots | distance {n["without roots: distance"]:.3f} instead of \
{n["with roots: distance"]:.3f} |
| the KL explodes | beta-tilde of the first step is 0 | its logarithm is minus infinity |
| the KL explodes | q has the variance beta, the model's is clamped | \
{n["KL in nats, v = 0.5"]:.0e} nats a value, and more |
| the magnitude falls silent | the KL over its batch maximum is a biased loss | belief \
{n["belief at batch 8"]:.2f} where {n["true belief"]:.2f} is true |
| the magnitude falls silent, perhaps | the magnitude is linear | {100 * n["magnitude: below -0.9"]:.0f} % of its \
values are below -0.9 |
| values leave [-1, 1] | an error in eps counts sigma / alpha times in x0 | \
{n["x0 error per eps error, shown"]:.0f} times at the first step |

## 1. The chain does not end in noise

alpha-bar at T is the share of the data's variance that is left in x_T:

| schedule | alpha-bar at T |
|---|---|
| betas 1e-4 to 2e-2, with which *DDPM improvements* and *Démo DDPM* train | {n["alpha-bar trained"]:.3f} |
| betas 1e-3 to 2e-1, with which *Démo DDPM* shows the noising | {n["alpha-bar shown"]:.1e} |
| sigmoid, 1e-5 to 1e-2, in Esling's notebook | {n["alpha-bar sigmoid"]:.3f} |

The betas of the first row were made for a thousand steps and are used for a hundred. In training, x_T has the mean
{n["mean of x_T"]:.2f} and the standard deviation {n["std of x_T"]:.2f}. Sampling starts with the mean 0 and the
standard deviation 1. From both starts the exact denoiser leads to:

| start | mean | loud clips | distance |
|---|---|---|---|
| N(0, 1), as they sample | {n["from noise: mean"]:.2f} | {100 * n["from noise: loud"]:.0f} % | \
{n["from noise: distance"]:.3f} |
| x_T, as they train | {n["from x_T: mean"]:.2f} | {100 * n["from x_T: loud"]:.0f} % | {n["from x_T: distance"]:.3f} |
| N(0, 1), cosine schedule, as many steps | {n["cosine: mean"]:.2f} | {100 * n["cosine: loud"]:.0f} % | \
{n["cosine: distance"]:.3f} |
| the data | {n["data: mean"]:.2f} | {100 * n["data: loud"]:.0f} % | |

The denoiser is exact in every row. The start of the first row has a higher mean than noised data have. It looks like
a louder clip, so the chain makes too many loud clips.

## 2. Noise without its square roots

*Démo DDPM* adds noise by x_t = a x0 + (1 - a) eps with a = alpha-bar. Right is x_t = sqrt(a) x0 + sqrt(1 - a) eps.
Its noising by one step lacks the roots as well. The schedule here is the one that ends in noise.

Without the roots, noising in one jump and noising step by step disagree: at T the noise has the standard deviation
{n["one jump: std"]:.2f} after one jump and {n["step by step: std"]:.2f} after all steps. The sampler does have its
roots, so it asks the denoiser about inputs unlike those of the training:

| best noise prediction for | standard deviation | loud clips | distance |
|---|---|---|---|
| noise with roots | {n["with roots: std"]:.2f} | {100 * n["with roots: loud"]:.0f} % | \
{n["with roots: distance"]:.3f} |
| noise without roots | {n["without roots: std"]:.2f} | {100 * n["without roots: loud"]:.0f} % | \
{n["without roots: distance"]:.3f} |

![Clouds](why_it_failed_clouds.png)

## 3. A logarithm of minus infinity

The logarithm of the learned variance lies between log beta-tilde and log beta, and beta-tilde of the first step is 0.
With the logarithm half-way between the two, the first step alone costs, in bits per dimension:

| logarithm of beta-tilde at the first step | KL of that step | KL of the other {T - 1} together |
|---|---|---|
| as it is | infinite | {n["KL of all other steps"]:.1f} |
| guarded: log max(beta-tilde, 1e-20) | {n["KL of the first step, guarded by 1e-20"]:.1e} | \
{n["KL of all other steps"]:.1f} |
| that of the next step, as this project has it | {n["KL of the first step, next logarithm"]:.2f} | \
{n["KL of all other steps"]:.1f} |

The guard replaces an infinite KL by a huge one. *DDPM improvements* divides the KL by its batch maximum, which hides
the explosion and leaves its cause.

## 4. A loss with another minimiser

*DDPM improvements* divides the KL of each clip by the largest KL in the batch. Silent clips have a small KL, so in a
batch without a loud clip the divisor is small and the silent clips get a huge weight. Suppose that x_t says nothing
about x0: then {n["true belief"]:.2f} is the right belief. Gradient descent from there comes to rest at:

| batch | {" | ".join(map(str, BATCHES))} |
|---|{"---|" * len(BATCHES)}
| belief | {beliefs} |

The KL itself comes to rest at {n["true belief"]:.3f} with any batch. The rarer loud clips are, the larger the batch
must be. A chain with this belief at every step makes {100 * n["batch 8: loud"]:.0f} % loud clips at batch 8 and
{100 * n["batch 2: loud"]:.0f} % at batch 2. The exact chain makes {100 * n["unbiased: loud"]:.0f} %.

Here the two kinds of clip are two loudnesses with a fixed spread, and all clips of a batch are at one time. In a
batch of different times the weights differ by time as well.

![Losses](why_it_failed_losses.png)

## 5. Beliefs outside the range

x0 = (x_t - sigma eps) / alpha multiplies an error of eps by sigma / alpha. At the end of the schedule with which they
train that is {n["x0 error per eps error, trained"]:.1f}, at the end of the one that reaches noise
{n["x0 error per eps error, shown"]:.0f}. With the latter, and a noise prediction that is {100 * abs(ERROR):.0f} % too
small:

| | first beliefs outside [-1, 1] | largest first belief | beliefs outside half-way | samples outside |
|---|---|---|---|---|
| as it is | {100 * n["unclipped: first belief outside"]:.0f} % | {n["unclipped: first belief largest"]:.0f} | \
{100 * n["unclipped: half-way belief outside"]:.0f} % | {100 * n["unclipped: sample outside"]:.1f} % |
| clipped | {100 * n["clipped: first belief outside"]:.0f} % | {n["clipped: first belief largest"]:.0f} | \
{100 * n["clipped: half-way belief outside"]:.0f} % | {100 * n["clipped: sample outside"]:.1f} % |

Without clipping, the samples are back in the range at the last step: but for its factor, this denoiser is right about
any input. A network was never trained on such inputs, and its samples need not come back. Clipping x0 and taking the
posterior mean keeps every belief in the range of the data.

## 6. A variance that the model cannot reach

In *DDPM improvements*, q(x_(t-1) | x_t, x0) has the variance beta in place of beta-tilde, while beta-tilde of the
model is clamped at 1e-20. The model's variance at the first step is then beta^v times 1e-20^(1 - v), where v in [0,
1] is what it has learned. With r = beta over this variance, two Gaussians of one mean are (r - 1 - log r) / 2 nats
apart:

| v | KL of the first step, in nats a value |
|---|---|
{rows}

A spectrogram of magnitude and phase has 2 x 512 x 512 values. At v = 0 its first step costs
{VALUES * n["KL in nats, v = 0"]:.1e} nats, even if the belief is exact. The notebook reports a « milliard de
milliards », 1e18.

## 7. A linear magnitude

*DDPM improvements* trains on the amplitude of the STFT, not on its logarithm: it weights the amplitude by asinh(f /
600), f in Hz, and scales it to [-1, 1] in each file. Done to one of this project's clips,
`checkpoints/daybreak/welcome.wav` (FFT 1024, hop 256, 512 bins, Hann window), {100 * n["magnitude: below -0.9"]:.0f}
% of the values are below -0.9. Their mean is {n["magnitude: mean"]:.3f} and their standard deviation
{n["magnitude: std"]:.3f}. A model that answers -1, silence, everywhere has a mean squared error of only
{n["magnitude: error of silence"]:.4f}.

Beside the biased loss, this may be why the magnitude falls silent. The lab's *Two channels* has small
networks of both losses on both magnitudes to listen to.
"""
    parts = text.rstrip().split("\n\n")
    return "\n\n".join(each if each[0] in "#|!" else fill(each, 120, break_on_hyphens=False) for each in parts) + "\n"


def draw(shown: dict[str, dict[str, Tensor]], folder: Path) -> None:
    """The two plots of the page."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axes, name, title in zip(
        figure.subplots(1, 2, sharey=True),
        ("ends", "roots"),
        ("1. The exact denoiser from two starts", "2. Noise with and without its roots"),
        strict=True,
    ):
        settings = {"bins": 60, "range": (-1.2, 1.2), "density": True}
        axes.hist(DATA[:, 0].numpy(), color="0.85", label="data", **settings)
        for label, x in shown[name].items():
            axes.hist(x[:, 0].numpy(), histtype="step", label=label, **settings)
        axes.set(title=title, xlabel="loudness", yscale="log")
        axes.legend(fontsize=8)
    figure.savefig(folder / "why_it_failed_clouds.png", dpi=90)

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for style, (label, curve) in zip(("--", "-"), reversed(shown["logarithm"].items()), strict=True):
        left.plot(range(1, T + 1), curve.numpy(), style, label={"next": "next logarithm", "guarded": "1e-20"}[label])
    left.set(title="3. KL of each step, bits per dimension", xlabel="step", yscale="log", xscale="log")
    left.legend(fontsize=8)
    right.plot(BATCHES, shown["bias"]["rests"].numpy(), "o-", label="over the batch maximum")
    right.axhline(float(WEIGHTS @ MEANS[:, 0]), color="0.5", label="the KL itself: the truth")
    right.axhline(QUIET, color="0.5", linestyle=":", label="silence")
    right.set(title="4. Where the belief comes to rest", xlabel="batch", xscale="log", ylabel="loudness")
    right.set_xticks(BATCHES, map(str, BATCHES))
    right.legend(fontsize=8)
    figure.savefig(folder / "why_it_failed_losses.png", dpi=90)


if __name__ == "__main__":
    here = Path(__file__).parent
    numbers, shown = measure()
    (here / "why_it_failed.md").write_text(page(numbers), encoding="utf-8")
    draw(shown, here)
