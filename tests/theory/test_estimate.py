import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion.theory import Cosine, Estimate, GaussianDenoiser, LinearBetas, RectifiedFlow, jump

SCHEDULES = [Cosine(), Cosine(shift=-2.0), LinearBetas(), RectifiedFlow()]


@given(schedule=st.sampled_from(SCHEDULES), t=st.floats(0.05, 0.95), seed=st.integers(0, 2**31))
def test_conversions_go_round(schedule, t, seed):
    """eps to x0 to v to eps, on any schedule; x_t is alpha x0 + sigma eps all along."""
    x_t, eps = torch.randn(2, 3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    level = schedule(torch.tensor([t, t / 2, (1 + t) / 2], dtype=torch.float64))
    first = Estimate.from_eps(x_t, level, eps)
    second = Estimate.from_x0(x_t, level, first.x0)
    third = Estimate.from_v(x_t, level, second.v(level))
    for each in (first, second, third):
        torch.testing.assert_close(jump(each.x0, level, each.eps), x_t)
    torch.testing.assert_close(third.eps, eps, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(third.x0, first.x0, rtol=1e-6, atol=1e-6)


def test_v_is_the_velocity_of_the_cosine_schedule():
    """With alpha = cos(pi t / 2), d x_t / dt = (pi / 2) v (Salimans & Ho 2022, section 4)."""
    x0, eps = torch.randn(2, 5, 3, dtype=torch.float64)
    t = torch.full((5,), 0.37, dtype=torch.float64)
    velocity = (jump(x0, Cosine()(t + 1e-6), eps) - jump(x0, Cosine()(t - 1e-6), eps)) / 2e-6
    torch.testing.assert_close(Estimate(x0, eps).v(Cosine()(t)), velocity * 2 / torch.pi, rtol=1e-6, atol=1e-6)


def test_score_is_the_gradient_of_the_log_density():
    mean, variance = torch.tensor([0.7, -1.3]).double(), torch.tensor([0.04, 2.3]).double()
    denoiser = GaussianDenoiser(Cosine(), mean, variance)
    t = torch.tensor([0.2, 0.8], dtype=torch.float64)
    level = Cosine()(t)
    x = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    marginal = torch.distributions.Normal(
        level.alpha[:, None] * mean, (level.alpha[:, None] ** 2 * variance + level.sigma[:, None] ** 2).sqrt()
    )
    (gradient,) = torch.autograd.grad(marginal.log_prob(x).sum(), x)
    torch.testing.assert_close(denoiser(x, t, {}).score(level).detach(), gradient)


def test_x_keeps_its_type():
    x = torch.randn(2, 3)
    level = Cosine()(torch.tensor([0.2, 0.8]))
    estimate = Estimate.from_eps(x, level, x)
    assert {estimate.x0.dtype, estimate.eps.dtype, estimate.v(level).dtype, estimate.score(level).dtype} == {x.dtype}
    assert estimate.variance is None
