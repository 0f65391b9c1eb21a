"""Classifier-free guidance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from diffusion.theory import Cond, Denoiser, Estimate, LogVariance, Mix, Schedule, Spread, broadcast


class Rule(Protocol):
    """How far guidance moves the belief along what the labels changed in it.

    x0 (B, ...) is the labelled belief, changes (L, B, ...) what each of L labels (or all together) changed in it, and
    strengths (L, B, 1, ...) the guidance scales less 1. Returns the guided x0 (B, ...).
    """

    def __call__(self, x0: Tensor, changes: Tensor, strengths: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Plain:
    """Each change once more for each unit of strength (Ho & Salimans 2022, eq. 6)."""

    title: ClassVar[str] = "Plain"
    summary: ClassVar[str] = "Go on in the direction in which the labels changed the belief, however far that leads."

    def __call__(self, x0: Tensor, changes: Tensor, strengths: Tensor) -> Tensor:
        return x0 + (strengths * changes).sum(0)


@dataclass(frozen=True)
class Rescaled:
    """Another rule, rescaled towards the standard deviation of the labelled belief (Lin et al. 2023, eqs. 15-16).

    The paper rescales the network's output; here it is x0, whatever the network predicts. Factor 0 changes nothing,
    1 gives every clip exactly the standard deviation that it has without guidance.
    """

    factor: float = 0.7
    rule: Rule = Plain()
    title: ClassVar[str] = "Rescaled"
    summary: ClassVar[str] = "Guide, then shrink the contrast back to what it would be without guidance."

    def __post_init__(self) -> None:
        if not 0 <= self.factor <= 1:
            raise ValueError(f"factor: got {self.factor}, allowed 0 to 1")

    def __call__(self, x0: Tensor, changes: Tensor, strengths: Tensor) -> Tensor:
        guided = self.rule(x0, changes, strengths)
        ratio = x0.flatten(1).std(1) / guided.flatten(1).std(1).clamp(min=torch.finfo(x0.dtype).tiny)
        return guided * broadcast(self.factor * ratio + (1 - self.factor), guided)


@dataclass(frozen=True)
class Projected:
    """Of each change the part orthogonal to the belief, and `eta` of the parallel part (Sadat et al. 2024, eqs. 5-7).

    The parallel part only makes the belief larger. A change whose root mean square per element exceeds `limit` is first
    shrunk to it; the paper's r is `limit` times the root of the number of elements. The paper's momentum is left out,
    since it needs a memory. The inner products run in float32 at least: half precision is too coarse to remove them.
    """

    eta: float = 0.0
    limit: float | None = None
    title: ClassVar[str] = "Projected"
    summary: ClassVar[str] = "Guide sideways only: drop the part of the push that merely makes everything stronger."

    def __post_init__(self) -> None:
        if self.limit is not None and not self.limit > 0:
            raise ValueError(f"limit: got {self.limit}, need a positive number or none")

    def __call__(self, x0: Tensor, changes: Tensor, strengths: Tensor) -> Tensor:
        wide = torch.promote_types(x0.dtype, torch.float32)
        belief, push = x0.to(wide).flatten(1), changes.to(wide).flatten(2)
        if self.limit is not None:
            size = push.square().mean(-1, keepdim=True).sqrt()
            push = push * (self.limit / size.clamp(min=self.limit))
        norm = belief.square().sum(-1, keepdim=True).clamp(min=torch.finfo(wide).tiny)
        parallel = (push * belief).sum(-1, keepdim=True) / norm * belief
        push = push - (1 - self.eta) * parallel
        return Plain()(x0, push.reshape(changes.shape).to(x0), strengths)


@dataclass(frozen=True)
class Moving:
    """Another rule, applied to what moves: the deviations from the mean over the last axis, which is time.

    The mean itself stays that of the labelled belief. The mean of every band is the sound of the instruments and how
    loud they are. A style hardly changes it, and exaggerating it makes all clips of a style sound alike. Among what
    moves, a plain rule would also make every attack stronger, and the peaks would force the clip to be turned down.
    `Projected` leaves that part out.
    """

    rule: Rule = Projected()
    title: ClassVar[str] = "Moving"
    summary: ClassVar[str] = "Guide only what moves in time, and only sideways: neither another sound nor a louder one."

    def __call__(self, x0: Tensor, changes: Tensor, strengths: Tensor) -> Tensor:
        still = x0.mean(-1, keepdim=True)
        return still + self.rule(x0 - still, changes - changes.mean(-1, keepdim=True), strengths)


PLAIN = Plain()


@dataclass(frozen=True)
class Guided:
    """Classifier-free guidance: what the labels change in the belief, `scale` times over; 1 is off.

    One scale, (B,) or (), holds for all labels together: x0 + (scale - 1) (x0 - any), where every label of `any` is
    the null index 0 (Ho & Salimans 2022, eq. 6, written with w = 1 for off). One scale per label, {name: (B,) or ()},
    adds (scale - 1) (x0 - without) for each, where `without` knows all labels but that one. It sharpens
    log p(label | x_t, others). The two agree for equal scales if the labels bear on x_t independently. A scale of 1 for
    the whole batch costs nothing, any other one more pass; all passes go as one batch. Labels in `also` are withheld
    together with any other, if they are given at all, and so are exaggerated with it. A learned variance stays the
    labelled one.

    `negatives` {name: (values + 1,) int64} are compared with in place of "any": for each index of a label that of
    another value, the one most easily confused with it. In theory the belief without the label is close to that of the
    negative wherever the two are confused. But a network has seldom been trained without the label. Its belief is then
    close to the average over all values, and leading away from that average overshoots.
    """

    inner: Denoiser
    scale: Tensor | Mapping[str, Tensor]
    rule: Rule = PLAIN
    also: tuple[str, ...] = ()
    negatives: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def schedule(self) -> Schedule:
        return self.inner.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        scales, conds = self._passes(cond)
        if not scales:
            return self.inner(x_t, t, cond)
        count = 1 + len(scales)
        labels = {name: torch.cat([label, *(each[name] for each in conds)]) for name, label in cond.items()}
        belief = self.inner(torch.cat([x_t] * count), t.repeat(count), labels)
        strengths = torch.stack([broadcast((s - 1).expand(len(x_t)), x_t) for s in scales])
        variance = _labelled(belief.variance, len(x_t))
        x0, x0_without = _split(belief.x0, count)
        if self.rule != PLAIN:
            guided = Estimate.from_x0(x_t, self.schedule(t), self.rule(x0, x0 - x0_without, strengths))
            return replace(guided, variance=variance)
        eps, eps_without = _split(belief.eps, count)
        return Estimate(PLAIN(x0, x0 - x0_without, strengths), PLAIN(eps, eps - eps_without, strengths), variance)

    def _passes(self, cond: Cond) -> tuple[list[Tensor], list[Cond]]:
        """The scales that are on, and for each the labels of the pass that the belief is compared with."""
        if isinstance(self.scale, Tensor):
            scales = [(self.scale, {name: torch.zeros_like(label) for name, label in cond.items()})]
        else:
            unknown = self.scale.keys() - cond.keys()
            if unknown:
                raise ValueError(f"scale: got {', '.join(sorted(unknown))}, allowed {', '.join(cond) or 'no label'}")
            scales = [(scale, self._without(name, cond)) for name, scale in self.scale.items()]
        on = [(scale, without) for scale, without in scales if not bool((scale == 1).all())]
        return [scale for scale, _ in on], [without for _, without in on]

    def _without(self, label: str, cond: Cond) -> dict[str, Tensor]:
        withheld = [name for name in (label, *self.also) if name in cond]
        without = {**cond, **{name: torch.zeros_like(cond[name]) for name in withheld}}
        if label in self.negatives:
            without[label] = self.negatives[label].to(cond[label].device)[cond[label]]
        return without


@dataclass(frozen=True)
class Interval:
    """One denoiser inside a range of log-SNR, bounds included, and another outside (Kynkäänniemi et al. 2024).

    With a guided denoiser inside, the noisiest levels keep their variety and the cleanest their detail, and guidance
    costs no pass there. The paper's sigma is exp(-log_snr / 2).
    """

    inside: Denoiser
    outside: Denoiser
    log_snr_range: tuple[float, float]

    def __post_init__(self) -> None:
        low, high = self.log_snr_range
        if not low < high:
            raise ValueError(f"log_snr_range: got {self.log_snr_range}, need the lower bound first")

    @property
    def schedule(self) -> Schedule:
        return self.inside.schedule

    def __call__(self, x_t: Tensor, t: Tensor, cond: Cond) -> Estimate:
        log_snr = self.schedule.log_snr(t)
        within = (log_snr >= self.log_snr_range[0]) & (log_snr <= self.log_snr_range[1])
        if bool(within.all()):
            return self.inside(x_t, t, cond)
        outside = self.outside(x_t, t, cond)
        if not bool(within.any()):
            return outside
        inside = self.inside(x_t, t, cond)
        mask = within.to(x_t.device).reshape(-1, *[1] * (x_t.ndim - 1))
        return replace(
            outside, x0=torch.where(mask, inside.x0, outside.x0), eps=torch.where(mask, inside.eps, outside.eps)
        )


def _labelled(variance: Mix | LogVariance | Spread | None, batch: int) -> Mix | LogVariance | Spread | None:
    """The learned variance of the first pass."""
    if isinstance(variance, Mix):
        return Mix(variance.fraction[:batch])
    return replace(variance, log_variance=variance.log_variance[:batch]) if variance else None


def _split(beliefs: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Passes (count * B, ...) as the first (B, ...) and the others (count - 1, B, ...)."""
    passes = beliefs.reshape(count, -1, *beliefs.shape[1:])
    return passes[0], passes[1:]


GUIDANCE_RULES: dict[str, Plain | Rescaled | Projected | Moving] = {
    "moving": Moving(),
    "plain": PLAIN,
    "rescaled": Rescaled(),
    "projected": Projected(),
}
