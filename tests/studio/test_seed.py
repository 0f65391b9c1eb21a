"""A seed is a number or any word, and a word is the same seed for ever."""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusion import settings
from diffusion.cli import main
from diffusion.request import Request
from diffusion.settings import SEEDS, seed_of
from diffusion.studio import Studio


def test_the_examples_in_the_docstring() -> None:
    found = doctest.testmod(settings)
    assert found.attempted
    assert not found.failed


@pytest.mark.parametrize(
    ("text", "seed"),
    [
        # the first four bytes, in order, of `printf %s ada | sha256sum`, and so on: never change them
        ("ada", 0xFDEE430D),
        ("Ada", 0xFDEE430D),
        ("  ADA\n", 0xFDEE430D),
        ("zoë", 659732614),
        ("Zoe\u0308", 659732614),  # the accent as a character of its own
        ("1e3", 185715201),
        ("0", 0),
        ("007", 7),
        ("77.0", 77),
        (str(SEEDS - 1), SEEDS - 1),
        ("-1", -1),
        (" ", -1),
        ("", -1),
    ],
)
def test_a_word_is_the_same_seed_for_ever(text: str, seed: int) -> None:
    assert seed_of(text) == seed


@given(st.text().filter(lambda text: text.strip() and not any(each.isdigit() for each in text)))
def test_any_text_is_a_seed_whatever_its_case(text: str) -> None:
    assert 0 <= seed_of(text) < SEEDS
    assert seed_of(f" {text}\t") == seed_of(text)
    assert seed_of(text.casefold()) == seed_of(text)


@given(st.integers(0, SEEDS - 1))
def test_a_number_is_itself(seed: int) -> None:
    assert seed_of(str(seed)) == seed


@pytest.mark.parametrize("text", ["2.5", "9" * 5000, "-1.5", str(SEEDS), "-2"])
def test_a_number_that_cannot_be_a_seed_is_refused_in_words(studio: Studio, text: str) -> None:
    with pytest.raises(ValueError, match=f"seed: got {text[:20]}.*whole number from 0 to 4294967295"):
        studio.request(seed=text)


def test_requests_and_links_take_words(studio: Studio) -> None:
    assert studio.request(seed="Ada").seed == seed_of("ada")
    assert studio.request(seed="42").seed == 42
    assert studio.request(seed="").seed != studio.request(seed="").seed
    assert Request.from_query("style=any&ensemble=any&seed=Ada").seed == seed_of("ada")


def test_the_command_line_takes_a_word(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--seed", "Ada", "--steps", "1", "--duration-s", "2.56", "--device", "cpu"]
    paths = ["--checkpoint", str(small_checkpoint), "--out", str(tmp_path / "clip.wav")]
    main(["generate", *arguments, *paths])
    assert json.loads(capsys.readouterr().out)["seed"] == seed_of("ada")
