"""The contract of every sampler."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from diffusion.theory import Cond, Denoiser, Estimate, Level, Noise, Schedule, Step, broadcast, transition


@dataclass
class Model:
    """A denoiser with the labels of one run, counting its calls; made anew for every run."""

    denoiser: Denoiser
    cond: Cond
    evaluations: int = field(default=0, init=False)

    @property
    def schedule(self) -> Schedule:
        return self.denoiser.schedule

    def level(self, t: Tensor) -> Level:
        return self.schedule(t)

    def __call__(self, x: Tensor, t: Tensor) -> Estimate:
        """The belief about x (B, ...) at the scalar time t. Grad mode is left as it was, whoever runs in between."""
        self.evaluations += 1
        with torch.no_grad():
            return self.denoiser(x, t.to(x.device).expand(len(x)), self.cond)


@dataclass
class Draws:
    """The noise of one run, draw after draw; made anew for every run. Draw 0 was the initial noise."""

    noise: Noise
    count: int = field(default=0, init=False)

    def __call__(self, like: Tensor) -> Tensor:
        """The next noise (B, ...), as `like`."""
        self.count += 1
        return self.noise(self.count, like)


Updates = Iterator[tuple[Tensor, Tensor]]
"""After each update the new state x and the belief x0 that led there, both (B, ...)."""


def knob(default: Any, help: str, *, range: tuple[float, float] | None = None, choices: tuple[str, ...] = ()) -> Any:
    """A field of a sampler with what the page says and allows of it."""
    return field(default=default, metadata={"help": help, "range": range, "choices": choices})


@dataclass(frozen=True)
class Sampler(ABC):
    """A method with its few knobs. It keeps no state: all of a run lives in the generator that `steps` returns."""

    title: ClassVar[str]
    """Its name in the field."""
    summary: ClassVar[str]
    """One plain sentence for the page."""
    order: ClassVar[int | None] = None
    """The power of the step in log-SNR with which its error falls: in x where it is deterministic, else in the mean
    and variance of x. None where `limit` says what it tends to instead."""
    limit: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for each in fields(self):
            value, choices, bounds = getattr(self, each.name), each.metadata["choices"], each.metadata["range"]
            if choices and value not in choices:
                raise ValueError(f"{each.name}: got {value!r}, allowed {', '.join(choices)}")
            if bounds:
                whole = isinstance(each.default, int)
                number = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
                if not number or not bounds[0] <= value <= bounds[1]:
                    kind = "a whole number from " if whole else ""
                    raise ValueError(f"{each.name}: got {value!r}, allowed {kind}{bounds[0]} to {bounds[1]}")

    @abstractmethod
    def updates(self, model: Model, x: Tensor, times: Tensor, draw: Draws) -> Updates:
        """One pair for each consecutive pair of the falling times."""

    def steps(self, denoiser: Denoiser, x: Tensor, times: Tensor, *, cond: Cond, noise: Noise) -> Iterator[Step]:
        """Yield the initial noise x (B, ...) and then every update along times (steps + 1,), the last of them 0.

        Where times rise again (Lugmayr et al. 2022), x is noised back up and asks nobody. Draw 0 of `noise` is the
        initial noise; the draws of the run count from 1, and deterministic samplers make none. ValueError, at once,
        for other times.
        """
        if times.ndim != 1 or len(times) < 2 or float(times[-1]) != 0 or not bool(((times >= 0) & (times <= 1)).all()):
            raise ValueError(f"times: got {times.tolist()}, need at least two, within [0, 1] and ending at 0")
        if bool((times[1:] == times[:-1]).any()) or bool((times[:-1] == 0).any()):
            raise ValueError(f"times: got {times.tolist()}, need each other than the one before, and 0 only at the end")
        return self._steps(Model(denoiser, cond), x, times.double().cpu(), Draws(noise))

    def _steps(self, model: Model, x: Tensor, times: Tensor, draw: Draws) -> Iterator[Step]:
        total = len(times) - 1

        def step(index: int, x: Tensor, x0: Tensor | None) -> Step:
            s = times[index]
            log_snr = float(model.level(s).log_snr)
            return Step(index, total, float(times[max(index - 1, 0)]), float(s), log_snr, x, x0, model.evaluations)

        yield step(0, x, None)
        index, state, x0 = 0, x, None
        for number, descent in enumerate(_descents(times)):
            if number:
                up = transition(model.level(descent[0]), model.level(times[index]))
                state = broadcast(up.alpha, x) * state + broadcast(up.variance.sqrt(), x) * draw(x)
                index += 1
                yield step(index, state, x0)
            for state, x0 in self.updates(model, state, descent, draw):  # noqa: B020
                index += 1
                yield step(index, state, x0)


def _descents(times: Tensor) -> list[Tensor]:
    """The stretches on which times fall; where they rise again a new one begins."""
    rises = (times[1:] > times[:-1]).nonzero().flatten() + 1
    return list(times.tensor_split(rises))
