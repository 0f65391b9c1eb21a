"""The contract of every sampler."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import torch
from torch import Tensor

from diffusion.theory import Cond, Denoiser, Estimate, Level, Noise, Step


@dataclass
class Model:
    """A denoiser with the labels of one run, counting its calls; made anew for every run."""

    denoiser: Denoiser
    cond: Cond
    evaluations: int = field(default=0, init=False)

    def level(self, t: Tensor) -> Level:
        return self.denoiser.schedule(t)

    def __call__(self, x: Tensor, t: Tensor) -> Estimate:
        """The belief about x (B, ...) at the scalar time t. Grad mode is left as it was, whoever runs in between."""
        self.evaluations += 1
        with torch.no_grad():
            return self.denoiser(x, t.to(x.device).expand(len(x)), self.cond)


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

    def __post_init__(self) -> None:
        for each in fields(self):
            value, allowed = getattr(self, each.name), each.metadata
            if allowed["choices"] and value not in allowed["choices"]:
                raise ValueError(f"{each.name}: got {value!r}, allowed {', '.join(allowed['choices'])}")
            if allowed["range"] and not allowed["range"][0] <= value <= allowed["range"][1]:
                raise ValueError(f"{each.name}: got {value!r}, allowed {allowed['range'][0]} to {allowed['range'][1]}")

    @abstractmethod
    def updates(self, model: Model, x: Tensor, times: Tensor, noise: Noise) -> Updates:
        """One pair for each consecutive pair of times."""

    def steps(self, denoiser: Denoiser, x: Tensor, times: Tensor, *, cond: Cond, noise: Noise) -> Iterator[Step]:
        """Yield the initial noise x (B, ...) and then every update along times (steps + 1,), the last of them 0.

        `noise` gives draw i to update i; deterministic samplers never ask for it.
        """
        if times.ndim != 1 or len(times) < 2 or float(times[-1]) != 0 or not bool(((times >= 0) & (times <= 1)).all()):
            raise ValueError(f"times: got {times.tolist()}, need at least two, within [0, 1] and ending at 0")
        times = times.double().cpu()
        model = Model(denoiser, cond)
        total = len(times) - 1

        def step(index: int, x: Tensor, x0: Tensor | None) -> Step:
            s = times[index]
            log_snr = float(model.level(s).log_snr)
            return Step(index, total, float(times[max(index - 1, 0)]), float(s), log_snr, x, x0, model.evaluations)

        yield step(0, x, None)
        for index, (state, x0) in enumerate(self.updates(model, x, times, noise), start=1):
            yield step(index, state, x0)
