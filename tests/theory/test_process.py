import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion.theory import (
    Cosine,
    Level,
    LinearBetas,
    LogVariance,
    Mix,
    RectifiedFlow,
    Spread,
    jump,
    learned_log_variance,
    log_variances,
    posterior,
    posterior_variance,
    transition,
)

SCHEDULES = [Cosine(), Cosine(shift=2.0), LinearBetas(), RectifiedFlow()]
times = (
    st.lists(st.floats(0.02, 0.98), min_size=3, max_size=3, unique=True)
    .map(sorted)
    .filter(lambda t: min(t[1] - t[0], t[2] - t[1]) > 1e-4)
)
any_schedule = st.sampled_from(SCHEDULES)


def at(schedule, t: float) -> Level:
    return schedule(torch.tensor(t, dtype=torch.float64))


def test_jump():
    x0, eps = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    level = Cosine()(torch.tensor([0.1, 0.4, 0.9]))
    x = jump(x0, level, eps)
    for i in range(3):
        torch.testing.assert_close(x[i], level.alpha[i] * x0[i] + level.sigma[i] * eps[i])
    torch.testing.assert_close(jump(x0, at(Cosine(), 0), eps), x0)


@given(schedule=any_schedule, rst=times)
def test_transitions_compose(schedule, rst):
    """Noising from r to s and then to t is noising from r to t, and from the data to t is the jump."""
    r, s, t = (at(schedule, each) for each in rst)
    first, second, both = transition(s, r), transition(t, s), transition(t, r)
    torch.testing.assert_close(second.alpha * first.alpha, both.alpha)
    torch.testing.assert_close(second.alpha**2 * first.variance + second.variance, both.variance)
    whole = transition(t, at(schedule, 0))
    torch.testing.assert_close(whole.alpha, t.alpha)
    torch.testing.assert_close(whole.variance, t.sigma**2)


def test_short_transitions_keep_their_digits():
    """A step of 1e-9: the difference of the two variances would be off by percents."""
    t = 0.3
    s_level, t_level = at(Cosine(), t - 1e-9), at(Cosine(), t)
    rate = math.pi * math.tan(math.pi / 2 * t)  # beta(t) = -2 d log(alpha) / dt
    assert float(transition(t_level, s_level).variance) == pytest.approx(rate * 1e-9, rel=1e-6)


@given(schedule=any_schedule, rst=times, x0=st.floats(-3, 3), x_t=st.floats(-3, 3))
def test_posterior_is_bayes_rule(schedule, rst, x0, x_t):
    """log q(x_s | x_t, x0) = log q(x_s | x0) + log q(x_t | x_s) + constant: precisions add, and so do their centres."""
    s, t = at(schedule, rst[0]), at(schedule, rst[2])
    step = transition(t, s)
    precision = 1 / s.sigma**2 + step.alpha**2 / step.variance
    centre = (s.alpha * x0 / s.sigma**2 + step.alpha * x_t / step.variance) / precision
    x = torch.tensor([[x_t], [x0]], dtype=torch.float64)
    q = posterior(x[0], x[1], t, s)
    torch.testing.assert_close(q.variance, 1 / precision)
    torch.testing.assert_close(q.mean, centre.reshape(1), rtol=1e-7, atol=1e-7)


@given(schedule=any_schedule, rst=times)
def test_posterior_undoes_the_step_on_average(schedule, rst):
    """x_t drawn from x0, then x_s from both, is distributed as x_s drawn from x0."""
    s, t = at(schedule, rst[0]), at(schedule, rst[2])
    one, zero = torch.ones(1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    from_x0, from_x_t = posterior(zero, one, t, s).mean, posterior(one, zero, t, s).mean
    torch.testing.assert_close(from_x0 + from_x_t * t.alpha, s.alpha.reshape(1))
    variance = from_x_t**2 * t.sigma**2 + posterior_variance(t, s)
    torch.testing.assert_close(variance, (s.sigma**2).reshape(1))


def test_beta_tilde_of_the_chain():
    """(1 - alpha-bar before) / (1 - alpha-bar) beta, from the tables of a discrete chain (Ho et al. 2020, eq. 7)."""
    chain = LinearBetas(100)
    alpha_bar = (1 - chain.betas).cumprod(0)
    t = torch.arange(2, 101).double() / 100
    expected = (1 - alpha_bar[:-1]) / (1 - alpha_bar[1:]) * chain.betas[1:]
    torch.testing.assert_close(posterior_variance(chain(t), chain(t - 0.01)), expected, rtol=1e-7, atol=0)
    torch.testing.assert_close(transition(chain(t), chain(t - 0.01)).variance, chain.betas[1:], rtol=1e-7, atol=0)


def test_posterior_at_the_end_is_the_point_x0():
    x_t, x0 = torch.randn(2, 3, 4)
    q = posterior(x_t, x0, at(Cosine(), 0.2), at(Cosine(), 0))
    assert q.mean.equal(x0)
    assert q.variance == 0


def test_posterior_per_clip():
    x_t, x0 = torch.randn(2, 3, 4, dtype=torch.float64)
    t, s = torch.tensor([0.5, 0.7, 0.9]).double(), torch.tensor([0.0, 0.2, 0.8]).double()
    q = posterior(x_t, x0, Cosine()(t), Cosine()(s))
    for i in range(3):
        alone = posterior(x_t[i], x0[i], Cosine()(t[i]), Cosine()(s[i]))
        torch.testing.assert_close(q.mean[i], alone.mean)
        torch.testing.assert_close(q.variance[i], alone.variance)


def test_learned_variance_between_its_bounds():
    chain = LinearBetas(100)
    t = torch.tensor([0.02, 0.5, 1.0]).double()
    s = t - 0.01
    low, high = log_variances(chain, t, s)
    assert bool((low < high).all())
    torch.testing.assert_close(high.exp(), transition(chain(t), chain(s)).variance)
    torch.testing.assert_close(low.exp(), posterior_variance(chain(t), chain(s)))
    fraction = torch.tensor([0.0, 0.5, 1.0]).double()[:, None].expand(3, 4)
    mixed = learned_log_variance(Mix(fraction), chain, t, s)
    torch.testing.assert_close(mixed[:, 0], torch.stack([low[0], (low[1] + high[1]) / 2, high[2]]))
    free = torch.randn(3, 4)
    assert learned_log_variance(LogVariance(free), chain, t, s) is free


@given(t=st.floats(0.05, 1.0), gap=st.floats(0.01, 1.0), prior=st.floats(0.1, 9.0))
def test_a_spread_gives_the_exact_variance_of_a_step_of_any_length(t, gap, prior):
    """Var[x_s | x_t] of Gaussian data, from the covariance of x_s and x_t."""
    schedule = Cosine()
    t = torch.tensor(t, dtype=torch.float64)
    s = t * (1 - gap)
    level_t, level_s = schedule(t), schedule(s)
    step = transition(level_t, level_s)
    before = level_s.alpha**2 * prior + level_s.sigma**2
    after = step.alpha**2 * before + step.variance
    unknown = prior * level_t.sigma**2 / (level_t.alpha**2 * prior + level_t.sigma**2)
    learned = learned_log_variance(Spread(unknown.log().reshape(1, 1)), schedule, t[None], s[None])
    torch.testing.assert_close(learned.exp().squeeze(), before * step.variance / after, rtol=1e-6, atol=0)


def test_first_step_takes_the_next_ones_beta_tilde():
    chain = LinearBetas(100)
    t = torch.tensor([0.01, 0.02]).double()
    low, high = log_variances(chain, t, torch.tensor([0, 0.01]).double())
    assert bool(low.isfinite().all())
    torch.testing.assert_close(low[0], low[1])
    torch.testing.assert_close(high[0].exp(), chain.betas[0], rtol=1e-7, atol=0)
