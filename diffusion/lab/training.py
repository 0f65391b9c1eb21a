"""A training that fits a visit: seconds on one core, watched while it goes on, stopped at any step.

It has the objectives, networks and optimizer of every other training here. What ships was made by it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import monotonic

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from diffusion import checkpoint
from diffusion.checkpoint import CHECKPOINTS, Checkpoint, Configuration
from diffusion.denoisers import Network
from diffusion.files import write_text
from diffusion.objectives import Objective, TimeSampler, uniform
from diffusion.theory import Cond, Denoiser
from diffusion.training.optimizer import build_optimizers, warming_average

from .experiment import stopped

LAB = CHECKPOINTS / "lab"
"""The folder of what the lab ships."""

Data = Callable[[int, torch.Generator], tuple[Tensor, Cond]]
"""(batch, generator) -> x0 (B, ...) and its labels."""


@dataclass(frozen=True)
class Lesson:
    """What is learned, from what, and how. The learning rate falls to 0 along a line over the last half.

    `denoiser` says what a network's output means. The averaged weights forget with `ema_decay`, 0 keeps the last ones.
    """

    data: Data
    objective: Objective
    denoiser: Callable[[Network], Denoiser]
    steps: int = 2000
    batch: int = 256
    times: TimeSampler = uniform
    ema_decay: float = 0.999
    lr: float = 2e-3
    optimizer: str = "adamw"
    weight_decay: float = 0.0
    gradient_norm: float = 1.0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "lr"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: got {getattr(self, name)}, need a positive number")


@dataclass(frozen=True)
class Learned:
    """How far a training is: `loss` is the mean since the last report, `network` has the weights of this step and
    `average` the averaged ones. Both go on being trained; whoever wants to keep them copies them."""

    step: int
    steps: int
    loss: float
    seconds: float
    network: nn.Module
    average: nn.Module

    @property
    def progress(self) -> float:
        return self.step / self.steps


def learn(
    network: nn.Module, lesson: Lesson, seed: int, *, stop: threading.Event | None = None, every: int = 50
) -> Iterator[Learned]:
    """Train a network in place, and report every so many steps and at the end; setting `stop` makes this one the end.

    A seed gives the same weights on one machine with one thread. FloatingPointError where the loss is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    average = AveragedModel(network, multi_avg_fn=warming_average(lesson.ema_decay))
    optimizers = build_optimizers(network, lesson)
    denoiser = lesson.denoiser(network)
    losses: list[Tensor] = []
    start = monotonic()
    for step in range(1, lesson.steps + 1):
        x0, cond = lesson.data(lesson.batch, generator)
        t = lesson.times(len(x0), generator)
        eps = torch.randn(x0.shape, generator=generator)
        loss = lesson.objective(denoiser, x0, t, eps, cond).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), lesson.gradient_norm)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lesson.lr * min(1.0, 2 * (1 - (step - 1) / lesson.steps))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        average.update_parameters(network)
        losses.append(loss.detach())
        last = step == lesson.steps or stopped(stop)
        if last or step % every == 0:
            mean = torch.stack(losses).mean().item()
            losses.clear()
            if not torch.isfinite(torch.tensor(mean)):
                raise FloatingPointError(f"loss: got {mean} at step {step}")
            yield Learned(step, lesson.steps, mean, monotonic() - start, network, average.module)
        if last:
            return


@cache
def shipped(name: str) -> Checkpoint:
    """What ships under that name, read once; CheckpointError where it is missing."""
    return checkpoint.load(LAB / name)


def ship(folder: Path, configuration: Configuration, network: nn.Module, card: str) -> None:
    """Write weights in half precision, the configuration, and a card of what they were made of."""
    checkpoint.save(folder, configuration, network.state_dict(), torch.float16)
    write_text(folder / checkpoint.CARD, card.strip() + "\n")
