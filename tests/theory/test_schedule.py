import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion.theory import (
    SCHEDULES,
    ConstantBetas,
    Cosine,
    LinearBetas,
    QuadraticBetas,
    RectifiedFlow,
    Shifted,
    SigmoidBetas,
    TabulatedBetas,
    VarianceExploding,
)

ALL = {
    "cosine": Cosine(),
    "cosine shifted": Cosine(shift=-2.0),
    "rectified flow": RectifiedFlow(),
    "constant": ConstantBetas(),
    "linear": LinearBetas(),
    "linear, short": LinearBetas(100, 1e-3, 0.2),
    "quadratic": QuadraticBetas(),
    "sigmoid": SigmoidBetas(),
    "rectified flow shifted": Shifted(RectifiedFlow(), 1.5),
    "linear shifted": Shifted(LinearBetas(), -3.0),
    "exploding": VarianceExploding(),
}
every_schedule = pytest.mark.parametrize("schedule", ALL.values(), ids=ALL.keys())


def scalar(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


@every_schedule
@given(t=st.floats(1e-6, 1), gap=st.floats(1e-6, 1))
def test_snr_falls_with_time(schedule, t, gap):
    """Strictly inside the declared range, and never rises outside it."""
    early, late = schedule.log_snr(scalar(t)), schedule.log_snr(scalar(min(1.0, t + gap)))
    low, high = schedule.log_snr_range
    assert low <= late <= early <= high
    if low < late and early < high and t + gap < 1:
        assert late < early


@every_schedule
@given(t=st.floats(0, 1))
def test_inverse_round_trip(schedule, t):
    log_snr = schedule.log_snr(scalar(max(t, schedule.t_min)))
    torch.testing.assert_close(schedule.log_snr(schedule.inverse(log_snr)), log_snr, rtol=0, atol=1e-8)


@every_schedule
@given(t=st.floats(1e-6, 1))
def test_level_has_the_schedules_log_snr(schedule, t):
    torch.testing.assert_close(schedule(scalar(t)).log_snr, schedule.log_snr(scalar(t)), rtol=0, atol=1e-8)


@every_schedule
def test_ends(schedule):
    level = schedule(torch.tensor([0.0, 1.0]))
    assert level.alpha.dtype == level.sigma.dtype == torch.float64
    assert (level.alpha[0], level.sigma[0]) == (1, 0)
    assert math.isinf(schedule(scalar(0)).log_snr)
    assert schedule.terminal_snr == pytest.approx(float((level.alpha[1] / level.sigma[1]) ** 2))
    assert 0 < schedule.t_min < 0.1
    assert schedule(scalar(schedule.t_min)).sigma > 0


@every_schedule
@given(t=st.floats(0.02, 0.98))
def test_rates_are_derivatives(schedule, t):
    """Against a central difference; on tabulated betas away from the knots, where log-SNR has a corner."""
    if schedule.chain_steps:
        t = (math.floor(t * schedule.chain_steps) + 0.5) / schedule.chain_steps
    before, after = schedule(scalar(t - 1e-6)), schedule(scalar(t + 1e-6))
    alpha_rate, sigma_rate = schedule.rates(scalar(t))
    torch.testing.assert_close(alpha_rate, (after.alpha - before.alpha) / 2e-6, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(sigma_rate, (after.sigma - before.sigma) / 2e-6, rtol=1e-6, atol=1e-7)


def test_rates_are_finite_where_log_snr_is_clipped():
    alpha_rate, sigma_rate = Cosine().rates(torch.tensor([0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(alpha_rate, scalar(math.pi / 2) * torch.tensor([0, -1]).double(), rtol=0, atol=1e-3)
    torch.testing.assert_close(sigma_rate, scalar(math.pi / 2) * torch.tensor([1, 0]).double(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("schedule", [s for s in ALL.values() if isinstance(s, TabulatedBetas)])
def test_tabulated_knots_are_the_chain(schedule):
    """At t = i/T, alpha² is the product of (1 - beta), computed here one factor at a time."""
    product = 1.0
    for i, beta in enumerate(schedule.betas.tolist(), start=1):
        product *= 1 - beta
        level = schedule(scalar(i / schedule.steps))
        assert float(level.alpha**2) == pytest.approx(product, rel=1e-9)
        assert float(level.sigma**2) == pytest.approx(1 - product, rel=1e-9)


@pytest.mark.parametrize(
    ("schedule", "alpha_bar"),
    [
        (LinearBetas(100, 1e-3, 2e-1), 2e-5),
        (LinearBetas(100, 1e-4, 2e-2), 0.364),
        (ConstantBetas(100, 0.035), 0.028),
        (SigmoidBetas(100), 0.605),
        (LinearBetas(), 4.0e-5),
    ],
)
def test_terminal_alpha_bar_of_known_chains(schedule, alpha_bar):
    snr = schedule.terminal_snr
    assert snr / (1 + snr) == pytest.approx(alpha_bar, rel=0.03)


@pytest.mark.parametrize(
    ("schedule", "left"),
    [
        (Cosine(), None),
        (RectifiedFlow(), None),
        (LinearBetas(), None),
        (Shifted(Cosine(), -3.0), None),
        (LinearBetas(100), "36 %"),
        (ConstantBetas(), "2.8 %"),
        (SigmoidBetas(), "60 %"),
        (Shifted(LinearBetas(), 4.0), "0.22 %"),
    ],
)
def test_a_schedule_that_does_not_end_in_noise_says_so(schedule, left):
    if left is None:
        assert schedule.warning == ""
    else:
        assert schedule.warning.startswith(f"At t = 1, {left} of the signal's variance is left, but sampling begins")


def test_betas_of_the_curved_chains():
    quadratic, sigmoid = QuadraticBetas(100), SigmoidBetas(100)
    for schedule in (quadratic, sigmoid):
        assert float(schedule.betas[0]) == pytest.approx(1e-5, abs=3e-5)
        assert float(schedule.betas[-1]) == pytest.approx(1e-2, rel=3e-3)
    torch.testing.assert_close(quadratic.betas.sqrt().diff().diff(), torch.zeros(98).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(sigmoid.betas + sigmoid.betas.flip(0), torch.full((100,), 1e-5 + 1e-2).double())


@given(t=st.floats(0.001, 0.999))
def test_rectified_flow_is_a_straight_line(t):
    level = RectifiedFlow()(scalar(t))
    assert float(level.alpha) == pytest.approx(1 - t, rel=1e-12)
    assert float(level.sigma) == pytest.approx(t, rel=1e-12)


@pytest.mark.parametrize("schedule", [s for n, s in ALL.items() if "flow" not in n and n != "exploding"])
def test_variance_preserving(schedule):
    level = schedule(torch.linspace(0, 1, 101))
    torch.testing.assert_close(level.alpha**2 + level.sigma**2, torch.ones(101, dtype=torch.float64))


@given(t=st.floats(0, 1))
def test_exploding_only_adds_noise(t):
    """x + sigma z, with sigma rising by even factors (Song & Ermon 2019); the data are still there at the end."""
    schedule = VarianceExploding(0.01, 10.0)
    level = schedule(scalar(t))
    assert float(level.alpha) == 1
    assert float(level.sigma) == pytest.approx(0 if t == 0 else 0.01 * 1000**t, rel=1e-9)
    assert "100 % of the signal's variance is left" in schedule.warning
    with pytest.raises(ValueError, match="least, most: got 1 and 1"):
        VarianceExploding(1, 1)


@given(t=st.floats(0.01, 0.99), shift=st.floats(-5, 5))
def test_shift_adds_to_the_log_snr(t, shift):
    wrapped, own = Shifted(Cosine(), shift), Cosine(shift=shift)
    torch.testing.assert_close(wrapped.log_snr(scalar(t)), own.log_snr(scalar(t)))
    torch.testing.assert_close(wrapped(scalar(t)).sigma, own(scalar(t)).sigma)
    assert wrapped.t_min == pytest.approx(own.t_min)
    flow = Shifted(RectifiedFlow(), shift)(scalar(t))
    assert float(flow.alpha + flow.sigma) == pytest.approx(1)


def test_catalogue_builds_from_json():
    for name, schedule in SCHEDULES.items():
        assert schedule.summary.endswith(".")
        arguments = {"inner": {"name": "linear", "steps": 50}, "shift": -1.0} if name == "shifted" else {}
        assert schedule(**arguments).terminal_snr > 0
    assert SCHEDULES["shifted"](inner={"name": "linear", "steps": 50}, shift=-1.0) == Shifted(LinearBetas(50), -1.0)
    assert Shifted(LinearBetas(50), 1.0).chain_steps == 50


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearBetas(steps=1), "steps: got 1, need at least 2"),
        (lambda: ConstantBetas(beta=0), "beta: got 0, allowed strictly between 0 and 1"),
        (lambda: QuadraticBetas(last=1.5), "last: got 1.5"),
        (lambda: SigmoidBetas(first=-1), "first: got -1"),
        (lambda: Shifted({"name": "sine"}), "inner: got {'name': 'sine'}, need .* cosine, linear"),
        (lambda: Shifted("cosine"), "inner: got 'cosine'"),
    ],
)
def test_errors_name_argument_value_and_allowed(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_settings_are_plain_fields():
    assert replace(LinearBetas(), steps=10).betas.shape == (10,)
    assert LinearBetas(10).knots[0][1] == 0.1
