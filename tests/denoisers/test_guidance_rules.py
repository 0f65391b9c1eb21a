import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion.denoisers import GUIDANCE_RULES, Guided, Interval, Moving, Plain, Projected, Rescaled
from diffusion.theory import LogVariance

B = 5


@pytest.fixture
def x_t():
    return torch.randn(B, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def t():
    return torch.tensor([0.2, 0.4, 0.5, 0.8, 1.0], dtype=torch.float64)


COND = {"component": torch.tensor([1, 2, 1, 2, 0])}
PAIR = {"row": torch.tensor([1, 2, 3, 0, 1]), "column": torch.tensor([2, 1, 0, 3, 3])}


def agree(estimate, x_t, level):
    torch.testing.assert_close(level.alpha[:, None] * estimate.x0 + level.sigma[:, None] * estimate.eps, x_t)


@pytest.mark.parametrize("rule", [Plain(), Rescaled(1.0), Projected(), Moving()])
@pytest.mark.parametrize("scale", [torch.tensor(1.0), torch.ones(B), {"component": torch.ones(B)}, {}])
def test_scale_1_is_off_and_makes_one_pass(counted, x_t, t, rule, scale):
    guided = Guided(counted, scale, rule)(x_t, t, COND)
    assert counted.batches == [B]
    assert torch.equal(guided.x0, counted.inner(x_t, t, COND).x0)


@pytest.mark.parametrize("rule", [Plain(), Rescaled(0.0), Rescaled(0.7), Projected(), Projected(limit=0.2), Moving()])
def test_x0_and_eps_agree_and_the_variance_is_the_labelled_one(counted, x_t, t, rule):
    guided = Guided(counted, torch.tensor(3.0), rule)(x_t, t, COND)
    agree(guided, x_t, counted.schedule(t))
    assert isinstance(guided.variance, LogVariance)
    torch.testing.assert_close(guided.variance.log_variance, COND["component"].double()[:, None].expand_as(x_t))
    assert counted.batches == [2 * B]


def test_each_label_whose_scale_is_on_costs_one_more_pass(two_labels, count, t):
    x_t = torch.randn(B, 2, dtype=torch.float64)
    for scale, passes in (
        ({"row": torch.tensor(2.0)}, 2),
        ({"row": torch.tensor(2.0), "column": torch.tensor(1.0)}, 2),
        ({"row": torch.tensor(2.0), "column": torch.tensor(0.5)}, 3),
    ):
        counted = count(two_labels())
        Guided(counted, scale)(x_t, t, PAIR)
        assert counted.batches == [passes * B]


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 2.5, 8.0])
def test_equal_scales_are_one_scale_where_labels_are_independent(two_labels, t, scale):
    x_t = torch.randn(B, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    one = torch.tensor(scale, dtype=torch.float64)

    def both(denoiser):
        return Guided(denoiser, one)(x_t, t, PAIR), Guided(denoiser, {"row": one, "column": one})(x_t, t, PAIR)

    together, apart = both(two_labels())
    torch.testing.assert_close(together.x0, apart.x0)
    torch.testing.assert_close(together.eps, apart.eps)
    together, apart = both(two_labels(coupling=0.5))
    assert torch.allclose(together.x0, apart.x0) == (scale == 1)


def test_one_label_alone_is_the_one_scale(mixture, x_t, t):
    scale = torch.linspace(0, 4, B, dtype=torch.float64)
    torch.testing.assert_close(
        Guided(mixture, {"component": scale})(x_t, t, COND).x0, Guided(mixture, scale)(x_t, t, COND).x0
    )


@pytest.mark.parametrize("coupling", [0.0, 0.5])
def test_what_is_withheld_along_with_a_label_is_exaggerated_too(two_labels, t, coupling):
    x_t = torch.randn(B, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    scale, denoiser = torch.tensor(2.5, dtype=torch.float64), two_labels(coupling=coupling)
    along = Guided(denoiser, {"row": scale}, also=("column", "never told"))(x_t, t, PAIR)
    torch.testing.assert_close(along.x0, Guided(denoiser, scale)(x_t, t, PAIR).x0)
    torch.testing.assert_close(along.eps, Guided(denoiser, scale)(x_t, t, PAIR).eps)
    assert not torch.allclose(along.x0, Guided(denoiser, {"row": scale})(x_t, t, PAIR).x0)


def test_unknown_label_is_refused(mixture, x_t, t):
    with pytest.raises(ValueError, match=r"style.*component"):
        Guided(mixture, {"style": torch.tensor(2.0)})(x_t, t, COND)


def tensors(seed, labels=1):
    generator = torch.Generator().manual_seed(seed)
    x0 = torch.randn(B, 4, 6, dtype=torch.float64, generator=generator)
    changes = torch.randn(labels, B, 4, 6, dtype=torch.float64, generator=generator)
    strengths = 5 * torch.rand(labels, B, 1, 1, dtype=torch.float64, generator=generator)
    return x0, changes, strengths


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), labels=st.integers(1, 3))
def test_neutral_rules_are_plain(seed, labels):
    inputs = tensors(seed, labels)
    plain = Plain()(*inputs)
    torch.testing.assert_close(Projected(eta=1.0)(*inputs), plain)
    torch.testing.assert_close(Projected(eta=1.0, limit=1e6)(*inputs), plain)
    torch.testing.assert_close(Rescaled(factor=0.0)(*inputs), plain)
    torch.testing.assert_close(Rescaled(0.0, Projected())(*inputs), Projected()(*inputs))


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.floats(0, 1))
def test_rescaling_interpolates_the_spread(seed, factor):
    x0, changes, strengths = tensors(seed)
    std = Rescaled(factor)(x0, changes, strengths).flatten(1).std(1)
    guided = Plain()(x0, changes, strengths).flatten(1).std(1)
    torch.testing.assert_close(std, factor * x0.flatten(1).std(1) + (1 - factor) * guided)


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), eta=st.floats(0, 1))
def test_projection_keeps_eta_of_the_parallel_part(seed, eta):
    x0, changes, strengths = tensors(seed)
    push, plain = Projected(eta)(x0, changes, strengths) - x0, Plain()(x0, changes, strengths) - x0

    def along(x):
        return (x * x0).flatten(1).sum(1)

    torch.testing.assert_close(along(push), eta * along(plain))
    rest = plain - push
    torch.testing.assert_close(rest, (along(rest) / along(x0))[:, None, None] * x0)


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), labels=st.integers(1, 3), within=st.sampled_from([Plain(), Rescaled(), Projected()]))
def test_what_stands_still_is_not_guided(seed, labels, within):
    x0, changes, strengths = tensors(seed, labels)
    guided = Moving(within)(x0, changes, strengths)
    torch.testing.assert_close(guided.mean(-1), x0.mean(-1))
    still = torch.ones_like(x0) * x0.mean(-1, keepdim=True)
    torch.testing.assert_close(Moving(within)(x0, changes + still, strengths), guided)
    moving, moves = x0 - still, changes - changes.mean(-1, keepdim=True)
    torch.testing.assert_close(guided - still, within(moving, moves, strengths))


def test_limit_shrinks_only_the_large_changes():
    x0, changes, strengths = tensors(7)
    changes = changes * torch.linspace(0.1, 3, B).reshape(1, B, 1, 1)
    push = Projected(eta=1.0, limit=1.0)(x0, changes, torch.ones_like(strengths)) - x0
    size = changes[0].flatten(1).square().mean(1).sqrt()
    torch.testing.assert_close(push.flatten(1).square().mean(1).sqrt(), size.clamp(max=1.0))


def test_projection_works_in_float32_for_half_precision_beliefs():
    """A push along the belief vanishes; what bfloat16 would leave of it, a few per mille, counts a hundredfold."""
    x0 = torch.ones(1, 1001, dtype=torch.bfloat16)
    pushed = Projected()(x0, 0.3 * x0[None], torch.full((1, 1, 1), 100.0, dtype=torch.bfloat16))
    assert pushed.dtype == torch.bfloat16
    torch.testing.assert_close(pushed, x0, atol=1e-2, rtol=0)


def test_interval_guides_inside_and_saves_passes_outside(counted, x_t, t):
    guided = Guided(counted, torch.tensor(4.0))
    between = Interval(guided, counted, (-1.0, 1.5))
    log_snr = counted.schedule.log_snr(t)
    inside = (log_snr >= -1) & (log_snr <= 1.5)
    assert inside.tolist() == [False, True, True, False, False]
    mixed = between(x_t, t, COND)
    assert counted.batches == [B, 2 * B]
    plain = counted.inner(x_t, t, COND)
    strong = guided(x_t, t, COND)
    torch.testing.assert_close(mixed.x0, torch.where(inside[:, None], strong.x0, plain.x0))
    agree(mixed, x_t, counted.schedule(t))
    counted.batches.clear()
    between(x_t, torch.full_like(t, 0.9), COND)
    between(x_t, torch.full_like(t, 0.5), COND)
    assert counted.batches == [B, 2 * B]


def test_refusals():
    with pytest.raises(ValueError, match="factor"):
        Rescaled(1.5)
    with pytest.raises(ValueError, match="limit"):
        Projected(limit=0.0)
    with pytest.raises(ValueError, match="log_snr_range"):
        Interval(None, None, (1.0, -1.0))


def test_rules_explain_themselves():
    for rule in GUIDANCE_RULES.values():
        assert rule.title
        assert rule.summary.endswith(".")
