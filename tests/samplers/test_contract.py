"""What every sampler promises, whatever its method."""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields, replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusion.samplers import DDIM, DDPM, SAMPLERS, AnnealedLangevin, DPMSolver2MSDE, Heun, Sampler
from diffusion.theory import (
    GRIDS,
    ConstantBetas,
    Cosine,
    Estimate,
    GaussianDenoiser,
    LinearBetas,
    MixtureDenoiser,
    RectifiedFlow,
    SeededNoise,
    Shifted,
    uniform_grid,
)

ALL = {
    **SAMPLERS,
    "ddim eta 0.7": DDIM(0.7),
    "ddpm beta": DDPM("beta"),
    "dpmpp-2m-sde eta 0.3": DPMSolver2MSDE(0.3),
    "heun churn 3": Heun(3.0),
}
DETERMINISTIC = {"dpmpp-2m", "ddim", "unipc", "dpmpp-3m", "heun", "euler"}
every_sampler = pytest.mark.parametrize("sampler", ALL.values(), ids=ALL.keys())
SHAPE = (1, 2, 3)
MEAN = torch.tensor([0.7, -1.3, 2.0])
VARIANCE = torch.tensor([0.04, 0.5, 2.3])


def gaussian(schedule=None, dtype=torch.float32) -> GaussianDenoiser:
    return GaussianDenoiser(schedule or Cosine(), MEAN.to(dtype), VARIANCE.to(dtype))


def start(sampler: Sampler, seeds, *, denoiser=None, times=None, cond=None, dtype=torch.float32):
    """A run on the clips of these seeds."""
    noise = SeededNoise(seeds)
    x = noise(0, torch.empty(len(seeds), *SHAPE, dtype=dtype))
    denoiser = denoiser or gaussian(dtype=dtype)
    times = uniform_grid(denoiser.schedule, 6) if times is None else times
    return sampler.steps(denoiser, x, times, cond=cond or {}, noise=noise)


def states(run) -> list[torch.Tensor]:
    return [step.x for step in run]


@dataclass(frozen=True)
class Watched:
    """A denoiser that notes the grad mode of each call and keeps what it answered."""

    inner: GaussianDenoiser
    answers: list[Estimate]
    grad_modes: list[bool]

    @property
    def schedule(self):
        return self.inner.schedule

    def __call__(self, x_t, t, cond):
        assert t.shape == (len(x_t),)
        assert t.dtype == torch.float64
        assert bool((t > 0).all())
        self.grad_modes.append(torch.is_grad_enabled())
        self.answers.append(self.inner(x_t, t, cond))
        return self.answers[-1]


class NoNoise:
    def __call__(self, draw, like):
        raise AssertionError(f"draw {draw} asked for")


@every_sampler
def test_steps_tell_the_run(sampler):
    denoiser = Watched(gaussian(), [], [])
    times = uniform_grid(Cosine(), 6)
    run = list(start(sampler, [3, 4], denoiser=denoiser))
    assert [step.index for step in run] == list(range(7))
    assert [step.s for step in run] == pytest.approx(times.tolist())
    assert [step.t for step in run[1:]] == pytest.approx(times[:-1].tolist())
    assert {step.total for step in run} == {6}
    assert run[0].x0 is None
    assert run[0].evaluations == 0
    assert run[-1].evaluations == len(denoiser.answers)
    assert all(a.evaluations < b.evaluations for a, b in pairwise(run))
    assert run[-1].log_snr == float("inf")
    assert run[2].log_snr == pytest.approx(float(Cosine().log_snr(times[2])))
    assert all(step.x0.shape == step.x.shape == (2, *SHAPE) for step in run[1:])


@every_sampler
def test_the_last_step_returns_x0(sampler):
    """Bitwise what the denoiser last said, whatever the noise then would have been."""
    denoiser = Watched(gaussian(), [], [])
    *_, last = start(sampler, [3, 4], denoiser=denoiser)
    assert last.x.equal(denoiser.answers[-1].x0)
    assert last.x0.equal(last.x)


@every_sampler
def test_one_step_draws_no_noise(sampler):
    x = torch.randn(2, *SHAPE)
    times = torch.tensor([1.0, 0.0])
    first, last = sampler.steps(gaussian(), x, times, cond={}, noise=NoNoise())
    assert first.x is x
    assert last.x.isfinite().all()


@pytest.mark.parametrize("name", sorted(DETERMINISTIC))
def test_deterministic_samplers_draw_no_noise(name):
    x = torch.randn(2, *SHAPE)
    *_, last = SAMPLERS[name].steps(gaussian(), x, uniform_grid(Cosine(), 6), cond={}, noise=NoNoise())
    assert last.x.isfinite().all()


@pytest.mark.parametrize("name", sorted(SAMPLERS.keys() - DETERMINISTIC))
def test_stochastic_samplers_draw_each_noise_once(name):
    """From 1 without a gap, and none in the last update."""
    draws = []

    @dataclass(frozen=True)
    class Noted:
        def __call__(self, draw, like):
            draws.append(draw)
            return torch.zeros_like(like)

    counts = []
    for _ in SAMPLERS[name].steps(
        gaussian(), torch.randn(2, *SHAPE), uniform_grid(Cosine(), 6), cond={}, noise=Noted()
    ):
        counts.append(len(draws))
    assert draws == list(range(1, len(draws) + 1))
    assert counts[-1] == counts[-2] > counts[1] > 0


@every_sampler
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("schedule", [Cosine(), Cosine(-4.0), LinearBetas(100), ConstantBetas(50), RectifiedFlow()])
def test_finite_and_of_one_type_on_every_grid(sampler, grid, schedule):
    if grid == "full" and schedule.chain_steps is None:
        schedule = Shifted(LinearBetas(60), -2.0)
    run = list(start(sampler, [5], denoiser=gaussian(schedule), times=GRIDS[grid](schedule, 9)))
    assert all(step.x.dtype == torch.float32 for step in run)
    assert run[-1].x.isfinite().all()


@every_sampler
def test_a_log_snr_clipped_flat_stops_nobody(sampler):
    """Two times at one noise level: nothing to do between them, and nothing to divide by."""
    times = torch.cat([torch.tensor([1.0, 0.9999, 0.9998]), torch.linspace(0.9, 0, 10)]).double()
    assert Cosine().log_snr(times[0]) == Cosine().log_snr(times[2])
    *_, last = start(sampler, [5], times=times)
    assert last.x.isfinite().all()


@every_sampler
def test_a_seed_alone_is_the_seed_in_a_batch(sampler):
    together = states(start(sampler, [11, 12, 13]))
    for i, seed in enumerate([11, 12, 13]):
        for alone, batch in zip(states(start(sampler, [seed])), together, strict=True):
            assert alone[0].equal(batch[i])


@every_sampler
@given(data=st.data())
def test_a_clip_does_not_depend_on_its_batch(sampler, data):
    """Whatever the others are, huge ones and broken ones included."""
    other = data.draw(st.sampled_from([0.0, -3.0, 1e6, float("nan")]))
    noise, times = SeededNoise([1, 2]), uniform_grid(Cosine(), 4)
    x = noise(0, torch.empty(2, *SHAPE))
    changed = torch.stack([x[0], torch.full(SHAPE, other)])
    *_, one = sampler.steps(gaussian(), x, times, cond={}, noise=noise)
    *_, two = sampler.steps(gaussian(), changed, times, cond={}, noise=noise)
    assert one.x[0].equal(two.x[0])


@given(first=st.sampled_from([*ALL]), second=st.sampled_from([*ALL]), order=st.lists(st.booleans(), max_size=14))
def test_interleaved_runs_are_the_separate_ones(first, second, order):
    runs = [start(ALL[first], [1, 2]), start(ALL[second], [3])]
    seen: list[list[torch.Tensor]] = [[], []]
    for which in [*order, *[False] * 7, *[True] * 7]:
        step = next(runs[which], None)
        if step is not None:
            seen[which].append(step.x)
    for got, expected in zip(seen, [states(start(ALL[first], [1, 2])), states(start(ALL[second], [3]))], strict=True):
        assert len(got) == len(expected)
        assert all(a.equal(b) for a, b in zip(got, expected, strict=True))


@every_sampler
def test_two_runs_of_one_sampler_interleave(sampler):
    runs = [start(sampler, [1, 2]), start(sampler, [3])]
    one, two = zip(*zip(*runs, strict=True), strict=True)
    assert all(a.x.equal(b) for a, b in zip(one, states(start(sampler, [1, 2])), strict=True))
    assert all(a.x.equal(b) for a, b in zip(two, states(start(sampler, [3])), strict=True))


@every_sampler
@pytest.mark.parametrize("grad", [True, False])
def test_an_abandoned_run_leaves_no_trace(sampler, grad):
    """Grad mode is off in evaluations and elsewhere as it was; random state and the sampler stay what they were."""
    denoiser, random_state, before = Watched(gaussian(), [], []), torch.get_rng_state(), copy.deepcopy(sampler)
    with torch.set_grad_enabled(grad):
        run = start(sampler, [1, 2], denoiser=denoiser)
        for _ in range(4):
            next(run)
            assert torch.is_grad_enabled() == grad
        run.close()
        assert torch.is_grad_enabled() == grad
    assert not any(denoiser.grad_modes)
    assert torch.get_rng_state().equal(random_state)
    assert sampler == before
    assert vars(sampler) == vars(before)


@every_sampler
def test_the_noise_at_the_start_is_left_alone(sampler):
    x = torch.randn(2, *SHAPE)
    copied = x.clone()
    list(sampler.steps(gaussian(), x, uniform_grid(Cosine(), 5), cond={}, noise=SeededNoise([1, 2])))
    assert x.equal(copied)


@every_sampler
def test_labels_reach_every_evaluation(sampler):
    """Two components far apart, one seed, and a label for each clip: each arrives on its own side."""
    means = torch.tensor([[6.0, 6.0], [-6.0, -6.0]])
    mixture = MixtureDenoiser(Cosine(), torch.tensor([0.5, 0.5]), means, torch.tensor([0.1, 0.2]))
    noise, cond = SeededNoise([1, 1]), {"component": torch.tensor([1, 2])}
    x = noise(0, torch.empty(2, 2))
    *_, last = sampler.steps(mixture, x, uniform_grid(Cosine(), 50), cond=cond, noise=noise)
    assert bool((last.x[0] - last.x[1] > 1).all())


@every_sampler
def test_times_may_rise_again(sampler):
    """Going back up is noising: no evaluation, fresh noise, and no memory of the steps before."""
    times = torch.tensor([1, 0.8, 0.6, 0.9, 0.7, 0.4, 0.8, 0.3, 0]).double()
    run = list(start(sampler, [1], times=times))
    assert [step.s for step in run] == pytest.approx(times.tolist())
    for up in (3, 6):
        assert run[up].evaluations == run[up - 1].evaluations
        assert run[up].x0 is run[up - 1].x0
    assert all(step.x.isfinite().all() for step in run)


@pytest.mark.parametrize("name", ["dpmpp-2m", "unipc", "ddpm"])
def test_going_back_up_keeps_the_law(name, gaussians):
    """From 0.4 up to 0.8 a Gaussian gets the variance of 0.8: alpha² V + transition variance."""
    exact = gaussians(Cosine())
    times = torch.tensor([0.4, 0.8, 0.0]).double()
    mean, variance = exact.law(times[0])
    x, ones = torch.stack([mean * 0, mean]), lambda _, like: torch.ones_like(like)
    _, up, _ = SAMPLERS[name].steps(exact.denoiser, x, times, cond={}, noise=ones)
    noise, reached = up.x[0], up.x[1] - up.x[0]
    torch.testing.assert_close(reached, exact.law(times[1])[0])
    torch.testing.assert_close((reached / mean) ** 2 * variance + noise**2, exact.law(times[1])[1])


def test_at_most_six_knobs_each_explained():
    for sampler in SAMPLERS.values():
        assert len(fields(sampler)) <= 6
        assert sampler.title
        assert sampler.summary.endswith(".")
        for each in fields(sampler):
            assert each.metadata["help"].endswith(".")
            assert bool(each.metadata["range"]) != bool(each.metadata["choices"])


@every_sampler
@pytest.mark.parametrize(
    "times",
    [[1.0], [1.0, 0.5], [1.1, 0.0], [1.0, float("nan"), 0.0], [1.0, 0.0, 0.5, 0.0], [1.0, 0.5, 0.5, 0.0], [[1.0, 0.0]]],
)
def test_wrong_times_are_refused_at_the_call(sampler, times):
    with pytest.raises(ValueError, match=r"times: got .*, need"):
        sampler.steps(gaussian(), torch.randn(1, *SHAPE), torch.tensor(times), cond={}, noise=NoNoise())


@pytest.mark.parametrize(
    ("name", "knobs", "message"),
    [
        ("ddim", {"eta": 1.5}, "eta: got 1.5, allowed 0 to 1"),
        ("ddim", {"eta": "0.5"}, "eta: got '0.5', allowed 0 to 1"),
        ("ddim", {"eta": float("nan")}, "eta: got nan"),
        ("ddim", {"eta": True}, "eta: got True"),
        ("ddpm", {"variance": "gamma"}, "variance: got 'gamma', allowed beta, beta-tilde, learned"),
        ("annealed-langevin", {"corrections": 2.5}, "corrections: got 2.5, allowed a whole number from 1 to 20"),
        ("predictor-corrector", {"step": 5}, "step: got 5, allowed 0.01 to 2"),
    ],
)
def test_knob_errors_name_value_and_allowed(name, knobs, message):
    with pytest.raises(ValueError, match=message):
        replace(SAMPLERS[name], **knobs)


def test_whole_numbers_will_do_for_real_knobs():
    assert replace(SAMPLERS["ddim"], eta=1).eta == 1
    assert AnnealedLangevin(corrections=2, step=1).step == 1
