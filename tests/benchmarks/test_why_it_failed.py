"""The page's numbers are measured anew, and its plots are small."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")


@pytest.fixture(scope="module")
def measured() -> tuple[str, dict[str, float]]:
    spec = importlib.util.spec_from_file_location("why_it_failed", FOLDER / "why_it_failed.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script  # dataclasses look their module up
    spec.loader.exec_module(script)
    numbers, _ = script.measure()
    return script.page(numbers), numbers


def test_the_page_is_reproduced(measured):
    again, page = measured[0], (FOLDER / "why_it_failed.md").read_text(encoding="utf-8")
    assert NUMBER.sub("#", again) == NUMBER.sub("#", page)
    for new, old in zip(NUMBER.findall(again), NUMBER.findall(page), strict=True):
        last_place = 10.0 ** -len(old.partition(".")[2]) if "e" not in old else 0
        assert float(new) == pytest.approx(float(old), rel=0.03, abs=1.01 * last_place)


def test_each_cause_does_what_the_page_says(measured):
    n = measured[1]
    assert n["alpha-bar trained"] == pytest.approx(0.364, abs=5e-4)
    assert n["from noise: distance"] > 4 * n["from x_T: distance"]
    assert n["from noise: distance"] > 3 * n["cosine: distance"]
    assert n["without roots: distance"] > 4 * n["with roots: distance"]
    assert n["log beta-tilde at the first step"] == -float("inf")
    assert n["KL of the first step, guarded by 1e-20"] > 1e6 * n["KL of all other steps"]
    assert n["KL of the first step, next logarithm"] < n["KL of all other steps"]
    assert n["belief at batch 8"] < n["true belief"] - 0.2
    assert n["belief at batch 64"] == pytest.approx(n["true belief"], abs=1e-3)
    assert n["batch 2: loud"] < n["batch 8: loud"] < 0.8 * n["unbiased: loud"]
    assert n["unclipped: first belief outside"] > 0.9
    assert n["clipped: first belief outside"] == 0


def test_plots_are_small():
    for name in ("clouds", "losses"):
        assert 5_000 < (FOLDER / f"why_it_failed_{name}.png").stat().st_size <= 150_000
