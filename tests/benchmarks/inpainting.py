"""Ways of inpainting, transforming and looping, on data whose conditional law is known exactly.

`python tests/benchmarks/inpainting.py [inpainting | mixture | transformation | loops]` prints one table, or
all. Data are stationary Gaussian processes of 64 places: `smooth` forgets in 12 places, `beat` has a period of 16.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from diffusion.denoisers import Constrained
from diffusion.edits import Inpainted, Rolled, start
from diffusion.samplers import SAMPLERS
from diffusion.theory import (
    GRIDS,
    Cond,
    CorrelatedDenoiser,
    Cosine,
    Denoiser,
    Estimate,
    MixtureDenoiser,
    Schedule,
    broadcast,
    jump,
)

PLACES, GAP = 64, slice(22, 42)
KEEP = torch.ones(PLACES, dtype=torch.bool)
KEEP[GAP] = False
KNOWN, NOISES = 16, 512
SCHEDULE = Cosine()


def covariance(name: str, places: int = PLACES) -> Tensor:
    """The covariance (places, places) of a process."""
    lags = torch.arange(places, dtype=torch.float64)
    lag = (lags[:, None] - lags).abs()
    if name == "smooth":
        return torch.exp(-lag / 12)
    period = {"beat": 16.0, "beat that does not fit": 17.7}[name]
    return 0.7 * torch.cos(2 * math.pi * lag / period) * torch.exp(-lag / 80) + 0.3 * torch.exp(-lag / 3)


def process(name: str, places: int = PLACES) -> CorrelatedDenoiser:
    return CorrelatedDenoiser(SCHEDULE, torch.zeros(places, dtype=torch.float64), covariance(name, places))


@dataclass
class Counted:
    """A denoiser that counts how often it is asked."""

    inner: Denoiser
    count: int = 0

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        self.count += 1
        return self.inner(x_t, t, cond)


@dataclass(frozen=True)
class GradientGuided:
    """The belief moved along the gradient of how well it agrees with what is known, `strength(level)` as far.

    For Gaussian data the gradient is alpha / sigma² times the covariance of x0 given x_t, which is symmetric, so that a
    second look shows it exactly. It is counted as one evaluation, as the backward pass of a network takes about one.
    """

    inner: Denoiser
    known: Tensor
    strength: Callable[[Tensor, Tensor], Tensor]

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        level, belief = self.schedule(t), self.inner(x_t, t, cond)
        alpha, sigma = broadcast(level.alpha, x_t), broadcast(level.sigma, x_t)
        wrong = torch.where(KEEP, self.known - belief.x0, 0.0)
        pushed = sigma**2 / alpha * (self.inner(x_t + wrong, t, cond).x0 - belief.x0)
        x0 = belief.x0 + self.strength(alpha, sigma) * pushed
        return Estimate.from_x0(x_t, level, torch.where(KEEP, self.known, x0))


def replaced(inner: Denoiser, known: Tensor) -> Denoiser:
    return Constrained(inner, lambda x0: torch.where(KEEP, known, x0))


def own_variance(name: str, alpha: Tensor, sigma: Tensor) -> Tensor:
    """1 / the mean variance of x0 given x_t."""
    variances = torch.linalg.eigvalsh(covariance(name))
    ratio = (alpha / sigma)[0, 0] ** 2
    return 1 / (variances / (1 + variances * ratio)).mean()


def rising(times: Tensor, length: int, repeats: int) -> Tensor:
    """Times that rise again, by `length` steps, so often after as many (Lugmayr et al. 2022)."""
    path = [times[0]]
    for first in range(0, len(times) - 1, length):
        block = times[first + 1 : first + 1 + length]
        whole = len(block) == length and float(block[-1]) > 0
        path += [*block, *([times[first], *block] * repeats if whole else [])]
    return torch.stack(path)


def noise(draw: int, like: Tensor) -> Tensor:
    """Each noise beside its negative, so that means are exact."""
    half = torch.randn(KNOWN, NOISES // 2, PLACES, generator=torch.Generator().manual_seed(draw), dtype=torch.float64)
    return torch.cat([half, -half], 1).reshape(-1, PLACES)


def errors(name: str, sampler: str, times: Tensor, wrap: Callable[[Denoiser, Tensor], Denoiser]) -> list[float]:
    """Evaluations, and the errors of mean and covariance, the variance and the seam, each over its true value.

    The mean's error is over the root of the variance that is left. The seam is the squared difference across a border.
    """
    c, k = covariance(name), KEEP
    known = process(name).sample(KNOWN, torch.Generator().manual_seed(0)).repeat_interleave(NOISES, 0)
    gain = torch.linalg.solve(c[k][:, k], c[k][:, ~k])
    law = c[~k][:, ~k] - c[~k][:, k] @ gain
    asked = Counted(process(name))
    x = noise(0, known)
    for step in SAMPLERS[sampler].steps(wrap(asked, known), x, times, cond={}, noise=noise):
        x = step.x
    off = (x[:, ~k] - known[:, k] @ gain).reshape(KNOWN, NOISES, -1)
    mean, spread = off.mean(1), (off - off.mean(1, keepdim=True)).flatten(0, 1)
    found = spread.T @ spread / (KNOWN * (NOISES - 1))
    full = torch.where(k, known, x)
    seam = torch.stack([full[:, GAP.start] - full[:, GAP.start - 1], full[:, GAP.stop] - full[:, GAP.stop - 1]])
    return [
        asked.count,
        float((mean.square().sum(-1).mean() / law.trace()).sqrt()),
        float((found - law).norm() / law.norm()),
        float(found.trace() / law.trace()),
        float(seam.square().mean() / (2 * (1 - c[0, 1]))),
    ]


def inpainting() -> None:
    print("| data | sampler | method | steps | evaluations | mean | covariance | variance | seam |")
    print("|---|---|---|---:|---:|---:|---:|---:|---:|")
    for name in ("smooth", "beat"):
        methods: list[tuple[str, Callable[[Denoiser, Tensor], Denoiser], int, int]] = [
            ("replacement", replaced, 20, 0),
            ("replacement", replaced, 30, 0),
            ("resampling, each step three times", replaced, 10, 2),
            (
                "reconstruction guidance",
                lambda inner, y: GradientGuided(inner, y, lambda alpha, sigma: (alpha / sigma) ** 2),
                15,
                0,
            ),
            (
                "pseudo-inverse guidance, sigma² / (alpha² + sigma²)",
                lambda inner, y: GradientGuided(inner, y, lambda alpha, sigma: 1 / sigma**2),
                15,
                0,
            ),
            (
                "pseudo-inverse guidance, own variance",
                lambda inner, y, name=name: GradientGuided(inner, y, partial(own_variance, name)),
                15,
                0,
            ),
            *(
                (f"conjugate residuals, {looks} looks", partial(inpainted, looks=looks), steps, 0)
                for looks, steps in ((1, 15), (2, 10), (3, 8), (3, 20))
            ),
        ]
        for sampler in ("unipc", "ddpm"):
            for method, wrap, steps, repeats in methods:
                times = GRIDS["early"](SCHEDULE, steps)
                path = rising(times, 1, repeats) if repeats else times
                count, *found = errors(name, sampler, path, wrap)
                cells = " | ".join(f"{each:.2f}" for each in found)
                print(f"| {name} | {sampler} | {method} | {steps} | {count} | {cells} |", flush=True)


def inpainted(inner: Denoiser, known: Tensor, looks: int) -> Denoiser:
    return Inpainted(inner, known, KEEP, looks)


def mixture() -> None:
    """Two clusters, told apart by what is known: how often the rest belongs to the right one."""
    means = torch.tensor([[1.0, 1.0, 1.0, 1.0], [-1.0, -1.0, -1.0, -1.0]], dtype=torch.float64)
    data = MixtureDenoiser(SCHEDULE, torch.tensor([0.5, 0.5]).double(), means, torch.tensor([0.1, 0.1]).double())
    keep = torch.tensor([True, True, False, False])
    known = data.sample(4096, torch.Generator().manual_seed(0))
    right = known[:, :2].sum(1).sign()
    times = GRIDS["early"](SCHEDULE, 20)
    print("| method | in the right cluster | variance there, over the true one |\n|---|---:|---:|")
    for name, times, wrap in (
        (
            "replacement, 30 steps",
            GRIDS["early"](SCHEDULE, 30),
            lambda inner: Constrained(inner, lambda x0: torch.where(keep, known, x0)),
        ),
        (
            "conjugate residuals, 10 steps, 2 looks",
            GRIDS["early"](SCHEDULE, 10),
            lambda inner: Inpainted(inner, known, keep),
        ),
    ):
        x = torch.randn(known.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        for step in SAMPLERS["unipc"].steps(wrap(data), x, times, cond={}, noise=noise):
            x = step.x
        hit = x[:, 2:].sum(1).sign() == right
        spread = (x[:, 2:] * right[:, None])[hit].var(0).mean() / 0.1
        print(f"| {name} | {float(hit.double().mean()):.3f} | {float(spread):.2f} |")


def transformation() -> None:
    """The correlation of what comes out with the source, along a direction of each variance: exact, and as sampled."""
    variances = torch.tensor([0.1, 1.0, 10.0, 100.0, 1000.0], dtype=torch.float64)
    print("| strength | time | " + " | ".join(f"variance {each:g}" for each in variances.tolist()) + " |")
    print("|---:|---:|" + "---:|" * len(variances))
    data = CorrelatedDenoiser(SCHEDULE, torch.zeros(5, dtype=torch.float64), variances.diag())
    source = data.sample(4096, torch.Generator().manual_seed(0))
    eps = torch.randn(source.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for strength in (0.2, 0.4, 0.6, 0.8, 0.9, 1.0):
        first = torch.tensor([start(strength)], dtype=torch.float64)
        grid = GRIDS["early"](SCHEDULE, 20)
        x = jump(source, SCHEDULE(first[0]), eps)
        for step in SAMPLERS["unipc"].steps(data, x, torch.cat([first, grid[grid < first]]), cond={}, noise=noise):
            x = step.x
        kept = (x * source).mean(0) / (x.square().mean(0) * source.square().mean(0)).sqrt()
        print(f"| {strength} | {float(first):.2f} | " + " | ".join(f"{each:.2f}" for each in kept.tolist()) + " |")


@dataclass(frozen=True)
class Wrapped:
    """The inner denoiser, asked about x_t with so many places of its other end before and after it."""

    inner: Denoiser
    more: int

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        more = self.more
        x0 = self.inner(torch.cat([x_t[:, -more:], x_t, x_t[:, :more]], 1), t, cond).x0[:, more:-more]
        return Estimate.from_x0(x_t, self.schedule(t), x0)


@dataclass(frozen=True)
class Halved:
    """The inner denoiser, rolled by half at every other time."""

    inner: Denoiser
    times: Tensor

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        shift = PLACES // 2 * int((self.times - t[0]).abs().argmin() % 2)
        x0 = self.inner(x_t.roll(-shift, -1), t, cond).x0.roll(shift, -1)
        return Estimate.from_x0(x_t, self.schedule(t), x0)


def loops() -> None:
    print("| data | method | evaluations' cost | seam | other places | variance |\n|---|---|---:|---:|---:|---:|")
    times = GRIDS["early"](SCHEDULE, 20)
    for name in ("smooth", "beat", "beat that does not fit"):
        step_variance = 2 * (1 - covariance(name)[0, 1])
        for method, denoiser, cost in (
            ("as it is", process(name), 1.0),
            ("rolled by half, every other step", Halved(process(name), times), 1.0),
            ("rolled by the golden ratio", Rolled(process(name)), 1.0),
            ("a quarter of the other end around it", Wrapped(process(name, PLACES + 32), 16), 1.5),
        ):
            x = noise(0, torch.empty(0))
            for step in SAMPLERS["unipc"].steps(denoiser, x, times, cond={}, noise=noise):
                x = step.x
            jumps = (x - x.roll(1, -1)).square().mean(0) / step_variance
            print(
                f"| {name} | {method} | {cost:g} | {float(jumps[0]):.2f} | {float(jumps[1:].mean()):.2f} ± "
                f"{float(jumps[1:].std()):.2f} | {float(x.square().mean()):.2f} |",
                flush=True,
            )


TABLES = {"inpainting": inpainting, "mixture": mixture, "transformation": transformation, "loops": loops}

if __name__ == "__main__":
    torch.set_num_threads(1)
    for chosen in sys.argv[1:] or TABLES:
        TABLES[chosen]()
        print()
