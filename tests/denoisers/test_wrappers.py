import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion.denoisers import (
    PREDICTIONS,
    Clipped,
    Constrained,
    DynamicallyClipped,
    NetworkDenoiser,
    TimeBlind,
)
from diffusion.theory import Cosine, Estimate, GaussianDenoiser, LogVariance, Mix, Spread

T = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)


class Fixed:
    """Believes in the given x0 and in a variance, whatever it sees."""

    schedule = Cosine()

    def __init__(self, x0):
        self.x0 = x0

    def __call__(self, x_t, t, cond):
        belief = Estimate.from_x0(x_t, self.schedule(t), self.x0)
        return Estimate(belief.x0, belief.eps, Mix(torch.full_like(x_t, 0.3)))


@settings(deadline=None)
@given(
    spread=st.floats(0.1, 20),
    fraction=st.floats(0.5, 1),
    bounds=st.sampled_from([(-1.0, 1.0), (-2.0, 3.0), (1.0, 4.0)]),
    seed=st.integers(0, 10**6),
)
def test_dynamic_clipping(spread, fraction, bounds, seed):
    x0 = spread * torch.randn(3, 2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    x_t = torch.randn_like(x0)
    clipped = DynamicallyClipped(Fixed(x0), bounds, fraction)(x_t, T, {})
    low, high = bounds
    assert bool(((clipped.x0 >= low - 1e-9) & (clipped.x0 <= high + 1e-9)).all())
    level = Cosine()(T)
    rebuilt = level.alpha[:, None, None] * clipped.x0 + level.sigma[:, None, None] * clipped.eps
    torch.testing.assert_close(rebuilt, x_t)
    assert clipped.variance is not None
    centre, reach = (low + high) / 2, (high - low) / 2
    for before, after in zip(x0, clipped.x0, strict=True):
        outside = ((before - centre).abs() > reach).double().mean()
        if outside <= 1 - fraction - 0.01:
            torch.testing.assert_close(after, before.clamp(low, high))
        elif outside > 1 - fraction + 0.01:
            # about that fraction is inside the bounds and in proportion to what it was
            kept = ((after - centre).abs() < reach - 1e-9).flatten()
            assert abs(float(kept.double().mean()) - fraction) < 0.03
            ratio = ((after - centre) / (before - centre)).flatten()[kept]
            torch.testing.assert_close(ratio, ratio[:1].expand_as(ratio))


def test_fraction_1_shrinks_by_the_largest_value():
    x0 = torch.tensor([[0.5, -4.0, 2.0]]).double()
    clipped = DynamicallyClipped(Fixed(x0), (-1.0, 1.0), 1.0)(torch.zeros_like(x0), T[:1], {})
    torch.testing.assert_close(clipped.x0, x0 / 4)


def test_dynamic_clipping_saves_the_contrast_that_static_clipping_flattens():
    x0 = torch.linspace(1.5, 6, 40, dtype=torch.float64)[None]
    x_t = torch.zeros_like(x0)
    static = Clipped(Fixed(x0), (-1.0, 1.0))(x_t, T[:1], {}).x0
    dynamic = DynamicallyClipped(Fixed(x0), (-1.0, 1.0))(x_t, T[:1], {}).x0
    assert static.std() == 0
    assert dynamic.std() > 0.2


@pytest.mark.parametrize("prediction", ["x0", "eps", "v"])
def test_time_blind_is_the_network_without_its_time_input(prediction):
    def network(x_t, log_snr, cond):
        return torch.tanh(x_t) + log_snr[:, None]

    def blind_network(x_t, log_snr, cond):
        return torch.tanh(x_t) + Cosine().log_snr(torch.tensor(0.3, dtype=torch.float64))

    x_t = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    blind = TimeBlind(NetworkDenoiser(network, Cosine(), prediction), prediction, fixed_t=0.3)(x_t, T, {})
    expected = NetworkDenoiser(blind_network, Cosine(), prediction)(x_t, T, {})
    torch.testing.assert_close(blind.x0, expected.x0)
    torch.testing.assert_close(blind.eps, expected.eps)


def test_time_blind_is_right_at_the_fixed_time_alone(mixture):
    x_t = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    blind, exact = TimeBlind(mixture, fixed_t=0.5)(x_t, T, {}), mixture(x_t, T, {})
    error = (blind.eps - exact.eps).square().mean(1)
    assert error[1] < 1e-20
    assert bool((error[[0, 2]] > 1e-2).all())


def test_networks_can_learn_the_variance():
    output = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0)) * 10
    x_t = torch.randn(3, 2, 5)
    plain = NetworkDenoiser(lambda *_: output[:, :2], Cosine(), "eps")(x_t, T, {})
    mixed = NetworkDenoiser(lambda *_: output, Cosine(), "eps-mix")(x_t, T, {})
    free = NetworkDenoiser(lambda *_: output, Cosine(), "eps-log-variance")(x_t, T, {})
    for each in (mixed, free):
        assert torch.equal(each.eps, plain.eps)
        assert torch.equal(each.x0, plain.x0)
    assert isinstance(mixed.variance, Mix)
    torch.testing.assert_close(mixed.variance.fraction, torch.sigmoid(output[:, 2:]))
    assert isinstance(free.variance, LogVariance)
    assert torch.equal(free.variance.log_variance, output[:, 2:])
    assert {"eps-mix", "eps-log-variance"} < PREDICTIONS.keys()


def test_moments_of_gaussian_data_give_its_belief_and_its_spread():
    mean, variance = torch.tensor([0.4, -1.0, 2.0]), torch.tensor([0.3, 1.5, 4.0])
    x_t = torch.randn(3, 1, 3, generator=torch.Generator().manual_seed(0))
    exact = GaussianDenoiser(Cosine(), mean, variance)(x_t, T, {})
    level = Cosine()(T)
    alpha, sigma = level.alpha[:, None], level.sigma[:, None]
    exactly = -((1 / variance + alpha**2 / sigma**2).log())  # Bayes: precisions add
    correction = exactly - (sigma**2 / (alpha**2 + sigma**2)).log()
    moments = torch.stack([mean, variance.log()]).expand(3, 2, 3)
    output = torch.cat([moments, correction[:, None].float()], 1)
    learned = NetworkDenoiser(lambda *_: output, Cosine(), "moments-spread")(x_t, T, {})
    torch.testing.assert_close(learned.x0, exact.x0)
    assert isinstance(learned.variance, Spread)
    torch.testing.assert_close(learned.variance.log_variance[:, 0], exactly.float())
    off = output + torch.tensor([0.0, 0.0, 0.7])[:, None]
    other = NetworkDenoiser(lambda *_: off, Cosine(), "moments-spread")(x_t, T, {})
    assert torch.equal(other.x0, learned.x0)
    torch.testing.assert_close(other.variance.log_variance, learned.variance.log_variance + 0.7)


def test_wrappers_keep_the_variance():
    x0 = torch.zeros(3, 4)
    for wrapper in (Clipped(Fixed(x0), (-1, 1)), DynamicallyClipped(Fixed(x0), (-1, 1)), TimeBlind(Fixed(x0))):
        assert isinstance(wrapper(x0, T, {}).variance, Mix)


def test_a_constraint_on_each_element_is_clipping():
    """And eps agrees, and the learned variance stays."""
    x0 = 3 * torch.randn(3, 2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x_t = torch.randn_like(x0)
    clipped = Clipped(Fixed(x0), (-1, 2))(x_t, T, {})
    constrained = Constrained(Fixed(x0), lambda x0: x0.clamp(-1, 2))(x_t, T, {})
    torch.testing.assert_close(constrained.x0, clipped.x0)
    torch.testing.assert_close(constrained.eps, clipped.eps)
    assert constrained.variance.fraction.equal(clipped.variance.fraction)


def test_refusals():
    with pytest.raises(ValueError, match="fraction"):
        DynamicallyClipped(Fixed(torch.zeros(1)), (-1, 1), 0.0)
    with pytest.raises(ValueError, match="prediction"):
        TimeBlind(Fixed(torch.zeros(1)), "moments")
    with pytest.raises(ValueError, match="fixed_t"):
        TimeBlind(Fixed(torch.zeros(1)), fixed_t=0.0)
