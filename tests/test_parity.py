"""The samplers against those of diffusers and k-diffusion: one random network, one noise, one table of alphas, the same
times.

Conventions that differ, and what is done about each:

- diffusers counts steps i = 0 ... T - 1, here t = (i + 1) / T; what lies before its step 0 is t = 0.
- It keeps alpha² in float32 and rounds its sigmas to float32: after `set_timesteps` both tables are replaced by this
  project's, in float64. DPMSolverMultistepScheduler also rounds every state to float32, which costs some 1e-7.
- Heun's state is x / alpha, and the network's input is scaled back.
- DDIM knows only even steps of T // S, so all use those.
- DDPM adds noise to the last state too, of variance 1e-20, beta or between: its last x0 is compared instead. Its
  learned fraction runs from -1 to 1.
- DPM-Solver++ 2M goes by solver_type midpoint, UniPC by bh2; both end with a step of first order, as here.
- k-diffusion's state is x / alpha and its time sigma / alpha; its ancestral Euler is DDPM with beta-tilde, its Euler
  DDIM. How its states came here stands in fixtures/make_k_diffusion.py.
- Of 3M the released weights differ (see DPMSolver3M): it is held to its order instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from diffusion.samplers import DDIM, DDPM, SAMPLERS, Sampler
from diffusion.theory import Estimate, LinearBetas, Mix

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
schedulers = pytest.importorskip("diffusers.schedulers")

T, STEPS = 100, 10
SCHEDULE = LinearBetas(T, 1e-3, 0.1)
INDICES = list(range(T - 1, -1, -T // STEPS))
TIMES = torch.tensor([*((i + 1) / T for i in INDICES), 0.0], dtype=torch.float64)
TABLE = {"num_train_timesteps": T, "trained_betas": SCHEDULE.betas.tolist()}
SHAPE = (2, 2, 3, 4)


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass(frozen=True)
class Network:
    """A random network that mixes channels, rows and columns: eps, and a fraction in [0, 1]."""

    inner: Tensor
    outer: Tensor

    def __call__(self, x: Tensor, log_snr: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.tanh(x.flatten(1) @ self.inner + log_snr.reshape(-1, 1) / 10)
        eps, fraction = (hidden @ self.outer).chunk(2, dim=1)
        return eps.reshape(x.shape), fraction.sigmoid().reshape(x.shape)


NETWORK = Network(normal(24, 32, seed=1) / 5, normal(32, 48, seed=2) / 5)


@dataclass(frozen=True)
class Belief:
    schedule: LinearBetas = SCHEDULE

    def __call__(self, x_t: Tensor, t: Tensor, cond) -> Estimate:
        eps, fraction = NETWORK(x_t, self.schedule.log_snr(t))
        return replace(Estimate.from_eps(x_t, self.schedule(t), eps), variance=Mix(fraction))


class Stream:
    """Draws in order from one generator, as diffusers draws them; draw 0 is the start."""

    def __call__(self, draw: int, like: Tensor) -> Tensor:
        return normal(*like.shape, seed=100 + draw)


def ours(sampler: Sampler) -> list[Tensor]:
    start = Stream()(0, torch.empty(SHAPE))
    return [step.x for step in sampler.steps(Belief(), start, TIMES, cond={}, noise=Stream())][1:]


def eps_at(x: Tensor, index: int) -> Tensor:
    return NETWORK(x, SCHEDULE.log_snr(TIMES[INDICES.index(index)].expand(len(x))))[0]


def exact(scheduler) -> None:
    """The scheduler's tables, in float64."""
    level = SCHEDULE(torch.arange(1, T + 1).double() / T)
    scheduler.alphas_cumprod = level.alpha**2
    if hasattr(scheduler, "sigmas"):
        at_steps = (level.sigma / level.alpha)[INDICES]
        twice = isinstance(scheduler, schedulers.HeunDiscreteScheduler)
        middle = at_steps[1:].repeat_interleave(2) if twice else at_steps[1:]
        scheduler.sigmas = torch.cat([at_steps[:1], middle, torch.zeros(1, dtype=torch.float64)])


def walk(scheduler, step: Callable[[Tensor, int, int], Tensor]) -> list[Tensor]:
    """The states of a diffusers run whose `step` takes (x, index, number of the update from 1)."""
    exact(scheduler)
    x, states = Stream()(0, torch.empty(SHAPE)), []
    for number, index in enumerate(INDICES, start=1):
        x = step(x, index, number)
        states.append(x)
    return states


def assert_same(got: list[Tensor], expected: list[Tensor]) -> None:
    """Every state, to a relative norm of 1e-6."""
    assert len(got) == len(expected) == STEPS
    for number, (a, b) in enumerate(zip(got, expected, strict=True), start=1):
        assert float((a - b).norm() / b.norm()) < 1e-6, f"update {number}"


@pytest.mark.parametrize(
    ("variance", "theirs"), [("beta-tilde", "fixed_small"), ("beta", "fixed_large"), ("learned", "learned_range")]
)
def test_ddpm(variance, theirs):
    scheduler = schedulers.DDPMScheduler(**TABLE, variance_type=theirs, clip_sample=False)
    scheduler.set_timesteps(timesteps=INDICES)

    def step(x: Tensor, index: int, number: int) -> Tensor:
        eps, fraction = NETWORK(x, SCHEDULE.log_snr(TIMES[number - 1].expand(len(x))))
        output = torch.cat([eps, 2 * fraction - 1], dim=1) if variance == "learned" else eps
        generator = torch.Generator().manual_seed(100 + number)
        update = scheduler.step(output, index, x, generator=generator)
        return update.prev_sample if number < STEPS else update.pred_original_sample

    assert_same(ours(DDPM(variance)), walk(scheduler, step))


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_ddim(eta):
    scheduler = schedulers.DDIMScheduler(**TABLE, clip_sample=False, set_alpha_to_one=True)
    scheduler.set_timesteps(STEPS)

    def step(x: Tensor, index: int, number: int) -> Tensor:
        noise = Stream()(number, x) if eta else None
        return scheduler.step(eps_at(x, index), index, x, eta=eta, variance_noise=noise).prev_sample

    assert_same(ours(DDIM(eta)), walk(scheduler, step))


def test_heun():
    scheduler = schedulers.HeunDiscreteScheduler(**TABLE)
    scheduler.set_timesteps(timesteps=INDICES)

    def step(x: Tensor, index: int, number: int) -> Tensor:
        y = x / SCHEDULE(TIMES[number - 1]).alpha
        looks = [(index, number - 1), (INDICES[number], number)] if number < STEPS else [(index, number - 1)]
        for look, at in looks:
            input_ = scheduler.scale_model_input(y, look)
            torch.testing.assert_close(input_, y * SCHEDULE(TIMES[at]).alpha)
            y = scheduler.step(eps_at(input_, look), look, y).prev_sample
        return y * SCHEDULE(TIMES[number]).alpha

    assert_same(ours(SAMPLERS["heun"]), walk(scheduler, step))


@pytest.mark.parametrize(("name", "algorithm"), [("dpmpp-2m", "dpmsolver++"), ("dpmpp-2m-sde", "sde-dpmsolver++")])
def test_dpm_solver(name, algorithm):
    scheduler = schedulers.DPMSolverMultistepScheduler(
        **TABLE, solver_order=2, algorithm_type=algorithm, solver_type="midpoint", final_sigmas_type="zero"
    )
    scheduler.set_timesteps(timesteps=INDICES)

    def step(x: Tensor, index: int, number: int) -> Tensor:
        noise = Stream()(number, x) if algorithm.startswith("sde") else None
        return scheduler.step(eps_at(x, index), index, x, variance_noise=noise).prev_sample

    assert_same(ours(SAMPLERS[name]), walk(scheduler, step))


def test_unipc():
    scheduler = schedulers.UniPCMultistepScheduler(**TABLE, solver_order=2, solver_type="bh2", final_sigmas_type="zero")
    scheduler.set_timesteps(STEPS)
    scheduler.timesteps = torch.tensor(INDICES)

    def step(x: Tensor, index: int, number: int) -> Tensor:
        return scheduler.step(eps_at(x, index), index, x).prev_sample

    assert_same(ours(SAMPLERS["unipc"]), walk(scheduler, step))


K_DIFFUSION = {
    "ddim": ("sample_euler", {}),
    "ddpm": ("sample_euler_ancestral", {}),
    "heun": ("sample_heun", {}),
    "dpmpp-2m": ("sample_dpmpp_2m", {}),
    "dpmpp-2m-sde": ("sample_dpmpp_2m_sde", {"solver_type": "midpoint"}),
}
"""Our name, theirs, and its arguments."""


@pytest.mark.parametrize("name", K_DIFFUSION)
def test_k_diffusion(name):
    states = load_file(Path(__file__).parent / "fixtures" / "k_diffusion.safetensors")[name]
    assert_same(ours(SAMPLERS[name]), list(states))


def test_the_comparison_can_fail():
    """Two samplers that are close but not the same are told apart."""
    assert math.isclose(float(TIMES[0]), 1)
    with pytest.raises(AssertionError, match="update 2"):
        assert_same(ours(SAMPLERS["dpmpp-2m"]), ours(DDIM()))
