"""What is known is kept, and what is composed follows the conditional law."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from exact import COUNT, COVARIANCE, PLACES, PROCESS, sampled
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diffusion.denoisers import Constrained
from diffusion.edits import LOOKS, STEPS_SHARE, Inpainted, bins_of, mask_of, read_mask
from diffusion.theory import Denoiser

KEEP = torch.ones(PLACES, dtype=torch.bool)
KEEP[10:20] = False
KNOWN = PROCESS.sample(1, torch.Generator().manual_seed(3)).expand(COUNT, -1)


def law() -> tuple[Tensor, Tensor]:
    """Mean and covariance of the gap, given KNOWN."""
    k, c = KEEP, COVARIANCE
    gain = torch.linalg.solve(c[k][:, k], c[k][:, ~k])
    return PROCESS.mean[~k] + (KNOWN[0, k] - PROCESS.mean[k]) @ gain, c[~k][:, ~k] - c[~k][:, k] @ gain


def errors(denoiser: Denoiser, steps: int) -> tuple[float, float]:
    """How far the mean is off, in deviations, and the covariance, of its size."""
    x = sampled(denoiser, steps)
    assert x[:, KEEP].equal(KNOWN[:, KEEP])
    mean, covariance = law()
    off = x[:, ~KEEP].mean(0) - mean
    found = torch.cov(x[:, ~KEEP].T)
    return float((off.square().sum() / covariance.trace()).sqrt()), float(
        (found - covariance).norm() / covariance.norm()
    )


def test_the_gap_follows_the_conditional_law_far_better_than_by_replacement_at_the_same_cost() -> None:
    steps = 20
    mean, covariance = errors(Inpainted(PROCESS, KNOWN, KEEP), round(STEPS_SHARE * steps))
    replaced = errors(Constrained(PROCESS, lambda x0: torch.where(KEEP, KNOWN, x0)), round(1.5 * steps))
    assert (1 + LOOKS) * STEPS_SHARE <= 1.5
    assert mean < replaced[0] / 2
    assert covariance < replaced[1] / 2


def test_with_as_many_looks_as_places_the_belief_is_the_conditional_mean() -> None:
    """The linear system is then solved, and x_t may be anything."""
    x_t, t = (
        torch.randn(COUNT, PLACES, generator=torch.Generator().manual_seed(1)).double(),
        torch.tensor([0.6]).double(),
    )
    x0 = Inpainted(PROCESS, KNOWN, KEEP, looks=int(KEEP.sum()))(x_t, t, {}).x0
    level, k = PROCESS.schedule(t), KEEP
    both = level.alpha**2 * COVARIANCE + level.sigma**2 * torch.eye(PLACES)
    seen = torch.cat(
        [
            torch.cat([both, level.alpha * COVARIANCE[:, k]], 1),
            torch.cat([level.alpha * COVARIANCE[k], COVARIANCE[k][:, k]], 1),
        ]
    )
    gain = torch.linalg.solve(seen, torch.cat([level.alpha * COVARIANCE, COVARIANCE[k]])[:, ~k])
    centred = torch.cat([x_t - level.alpha * PROCESS.mean, (KNOWN - PROCESS.mean)[:, k]], 1)
    torch.testing.assert_close(x0[:, ~k], PROCESS.mean[~k] + centred @ gain, atol=1e-5, rtol=1e-5)


def test_where_the_denoiser_is_right_already_nothing_changes() -> None:
    """The belief there is what is known: no move, and no division by its length."""
    x_t, t = torch.zeros(2, PLACES, dtype=torch.float64), torch.tensor([0.5]).double()
    belief = PROCESS(x_t, t, {}).x0
    assert Inpainted(PROCESS, belief, KEEP)(x_t, t, {}).x0.equal(belief)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(2, 40))
def test_masks_are_text_and_back(seed: int, bands: int, frames: int) -> None:
    bins = np.random.default_rng(seed).random((bands, frames)) < 0.5
    bins[0, :2] = [True, False]
    assert (read_mask(mask_of(bins)) == bins).all()


@pytest.mark.parametrize("text", ["", "x", "8x8", "8x8.AAAA", "99999x99999.eNo", 5, None, "0x8.eJxjAAAAAQAB", "8x8.é"])
def test_other_texts_are_no_masks(text: object) -> None:
    with pytest.raises(ValueError, match=r"mask: got .*need the text of a mask"):
        read_mask(text)


def test_a_small_text_never_becomes_a_large_mask() -> None:
    bomb = mask_of(np.pad(np.ones((1, 1), bool), ((0, 1023), (0, 1000))))
    with pytest.raises(ValueError, match="mask: got"):
        read_mask("8x8." + bomb.partition(".")[2])


def test_masks_of_nothing_of_everything_and_of_too_much_detail_are_refused() -> None:
    for bins, what in ((np.zeros((4, 4), bool), "nothing"), (np.ones((4, 4), bool), "everything")):
        with pytest.raises(ValueError, match=f"mask: got {what}, need a part"):
            read_mask(mask_of(bins))
    with pytest.raises(ValueError, match="draw it less finely"):
        mask_of(np.random.default_rng(0).random((128, 640)) < 0.5)


def test_parts_in_seconds_and_hertz_are_bins() -> None:
    bins = bins_of([{"from_s": 1, "to_s": 2, "low_hz": 150}, {"from_s": 3.5}], np.array([100.0, 200.0]), 2.0, 8)
    assert bins.astype(int).tolist() == [[0, 0, 0, 0, 0, 0, 0, 1], [0, 0, 1, 1, 0, 0, 0, 1]]
    for parts in ({}, [3], [{"from": 1}], [{"from_s": "1"}], [{"low_hz": -1}]):
        with pytest.raises(ValueError, match=r"mask: got|_s: got|_hz: got"):
            bins_of(parts, np.array([100.0]), 2.0, 8)
