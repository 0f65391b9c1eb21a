"""Guidance in whole runs, and against its formula."""

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion.denoisers import Guided
from diffusion.samplers import SAMPLERS
from diffusion.theory import Cosine, Denoiser, MixtureDenoiser, SeededNoise, jump, uniform_grid

MIXTURE = MixtureDenoiser(
    Cosine(),
    torch.tensor([0.4, 0.6]).double(),
    torch.tensor([[-1.0, 0.2, 0.1], [0.8, 0.5, -0.3]]).double(),
    torch.tensor([0.1, 0.3]).double(),
)
LABELS = {"component": torch.tensor([1, 2, 0])}


@dataclass(frozen=True)
class Passes:
    """Notes how many clips each inner pass saw."""

    inner: Denoiser
    sizes: list[int] = field(default_factory=list)

    @property
    def schedule(self):
        return self.inner.schedule

    def __call__(self, x_t, t, cond):
        self.sizes.append(len(x_t))
        return self.inner(x_t, t, cond)


def run(denoiser):
    noise, times = SeededNoise([1, 2, 3]), uniform_grid(Cosine(), 5)
    x = noise(0, torch.empty(3, 3, dtype=torch.float64))
    return list(SAMPLERS["ddpm"].steps(denoiser, x, times, cond=LABELS, noise=noise))


def test_scale_1_is_no_guidance_at_the_price_of_none():
    watched = Passes(MIXTURE)
    guided, plain = run(Guided(watched, torch.ones(3))), run(MIXTURE)
    assert all(a.x.equal(b.x) for a, b in zip(guided, plain, strict=True))
    assert watched.sizes == [3] * 5
    assert guided[-1].evaluations == 5


def test_any_other_scale_costs_one_pass_of_twice_the_clips():
    watched = Passes(MIXTURE)
    guided = run(Guided(watched, torch.tensor([1.0, 2.0, 1.0])))
    assert watched.sizes == [6] * 5
    assert guided[-1].evaluations == 5


@settings(deadline=None, max_examples=30)
@given(scales=st.lists(st.floats(-1, 8), min_size=3, max_size=3), t=st.floats(0.05, 1))
def test_formula(scales, t):
    """any + scale (labelled - any) in x0 and in eps, a scale for each clip; 0 is no label, and x_t still adds up."""
    x_t = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    times = torch.full((3,), t, dtype=torch.float64)
    scale = torch.tensor(scales, dtype=torch.float64)
    labelled, unlabelled = MIXTURE(x_t, times, LABELS), MIXTURE(x_t, times, {})
    guided = Guided(MIXTURE, scale)(x_t, times, LABELS)
    each = scale[:, None]
    torch.testing.assert_close(guided.x0, unlabelled.x0 + each * (labelled.x0 - unlabelled.x0))
    torch.testing.assert_close(guided.eps, unlabelled.eps + each * (labelled.eps - unlabelled.eps))
    torch.testing.assert_close(jump(guided.x0, Cosine()(times), guided.eps), x_t)


@settings(deadline=None, max_examples=30)
@given(scale=st.floats(0, 8), t=st.floats(0.05, 1))
def test_a_negative_takes_the_place_of_no_label(scale, t):
    """negative + scale (labelled - negative): of the first component it is the second, which has none."""
    x_t = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    times = torch.full((3,), t, dtype=torch.float64)
    negatives = {"component": torch.tensor([0, 2, 0])}
    labelled, unlabelled = MIXTURE(x_t, times, LABELS), MIXTURE(x_t, times, {})
    negative = MIXTURE(x_t, times, {"component": torch.tensor([2, 2, 0])})
    scales = {"component": torch.tensor(scale, dtype=torch.float64)}
    guided = Guided(MIXTURE, scales, negatives=negatives)(x_t, times, LABELS)
    torch.testing.assert_close(guided.x0[0], (negative.x0 + scale * (labelled.x0 - negative.x0))[0])
    torch.testing.assert_close(guided.x0[1], (unlabelled.x0 + scale * (labelled.x0 - unlabelled.x0))[1])
    torch.testing.assert_close(guided.x0[2], unlabelled.x0[2])
    torch.testing.assert_close(jump(guided.x0, Cosine()(times), guided.eps), x_t)


def test_clips_without_a_label_are_left_alone():
    x_t = torch.randn(3, 3, dtype=torch.float64)
    times = torch.full((3,), 0.7, dtype=torch.float64)
    guided = Guided(MIXTURE, torch.tensor(4.0))(x_t, times, LABELS)
    torch.testing.assert_close(guided.x0[2], MIXTURE(x_t, times, LABELS).x0[2])


@pytest.mark.parametrize("scale", [3.0, 6.0])
def test_guidance_raises_the_probability_of_the_label(scale):
    """p(component | x0) of the samples, from the exact responsibilities near the data."""
    noise = SeededNoise(range(200))
    x = noise(0, torch.empty(200, 3, dtype=torch.float64))
    cond = {"component": torch.ones(200, dtype=torch.long)}
    level = Cosine()(torch.tensor(0.01))
    sure = []
    for denoiser in (MIXTURE, Guided(MIXTURE, torch.tensor(scale))):
        *_, last = SAMPLERS["ddim"].steps(denoiser, x, uniform_grid(Cosine(), 30), cond=cond, noise=noise)
        sure.append(float(MIXTURE.responsibilities(last.x, level, {})[:, 0].mean()))
    assert sure[1] > sure[0] + 0.02
