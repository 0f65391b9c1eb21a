from dataclasses import dataclass, field

import pytest
import torch

from diffusion.theory import Cond, Cosine, Denoiser, Estimate, LogVariance, MixtureDenoiser


@dataclass(frozen=True)
class Counted:
    """A denoiser that writes down the batch size of each call; its variance is its first label."""

    inner: Denoiser
    batches: list[int] = field(default_factory=list)

    @property
    def schedule(self):
        return self.inner.schedule

    def __call__(self, x_t, t, cond: Cond) -> Estimate:
        self.batches.append(len(x_t))
        belief = self.inner(x_t, t, cond)
        label = next(iter(cond.values())).to(x_t)
        return Estimate(belief.x0, belief.eps, LogVariance(label[:, None].expand_as(x_t)))


@dataclass(frozen=True)
class TwoLabels:
    """Exact beliefs about two numbers. `row` picks the mean of the first, `column` that of the second.

    With `coupling` the column's mean also depends on the row: the labels no longer bear on x_t independently.
    """

    coupling: float = 0.0
    schedule: Cosine = field(default_factory=Cosine)

    def __call__(self, x_t, t, cond: Cond) -> Estimate:
        row, column = cond["row"].to(x_t), cond["column"].to(x_t)
        mean = torch.stack([row - 0.5, 0.3 * column + self.coupling * row * column], dim=1)
        level = self.schedule(t)
        alpha, sigma = level.alpha[:, None], level.sigma[:, None]
        x0 = mean + 0.4 * alpha / (0.4 * alpha**2 + sigma**2) * (x_t - alpha * mean)
        return Estimate.from_x0(x_t, level, x0)


@pytest.fixture
def mixture() -> MixtureDenoiser:
    return MixtureDenoiser(
        Cosine(),
        torch.tensor([0.4, 0.6], dtype=torch.float64),
        torch.tensor([[-1.0, 0.2, 0.1], [0.8, 0.5, -0.3]], dtype=torch.float64),
        torch.tensor([0.1, 0.3], dtype=torch.float64),
    )


@pytest.fixture
def counted(mixture) -> Counted:
    return Counted(mixture)


@pytest.fixture
def two_labels():
    return TwoLabels


@pytest.fixture
def count():
    return Counted
