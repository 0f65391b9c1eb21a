"""`python -m diffusion lab` from a terminal."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from PIL import Image

from diffusion.cli import main
from diffusion.lab import EXPERIMENTS


def test_the_list_names_every_experiment_its_claim_and_its_knobs(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["lab"], ["lab", "list"]):
        main(words)
        said = capsys.readouterr().out
        for name, experiment in EXPERIMENTS.items():
            assert f"{name}: {experiment.summary}" in said
            assert experiment.claim in said
            assert all(f"{knob.flag}: {knob.help}" in said for knob in experiment.knobs.values())


def test_a_run_writes_its_figures_its_film_and_its_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(
        [
            "lab",
            "run",
            "noising",
            "--schedule",
            "cosine",
            "--steps",
            "20",
            "--seed",
            "Ada",
            "--out",
            str(tmp_path / "a"),
        ]
    )
    said = capsys.readouterr().out
    assert "Left at the end of constant" in said
    assert "does not hold" in said
    written = {path.name for path in (tmp_path / "a").iterdir()}
    assert written >= {"pictures.png", "alpha_bar.png", "film.webp", "numbers.csv", "curves.csv"}
    with (tmp_path / "a" / "numbers.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 7


def test_a_seed_gives_the_same_numbers(tmp_path: Path) -> None:
    numbers = []
    for folder, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        main(["lab", "run", "bits", "--steps", "5", "--seed", seed, "--out", str(tmp_path / folder)])
        numbers.append((tmp_path / folder / "numbers.csv").read_text(encoding="utf-8"))
    assert numbers[0] == numbers[1] != numbers[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--schedule", "steep"], "schedule: got 'steep', allowed constant, linear, quadratic, sigmoid, cosine"),
        (["--steps", "5"], "steps: got 5, allowed a whole number from 10 to 1000"),
        (["--steps", "many"], "steps: got 'many', allowed a number from 10 to 1000"),
        (["--seed", "1.5"], "seed: got 1.5, allowed a whole number"),
    ],
)
def test_what_cannot_be_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["lab", "run", "noising", *words, "--out", str(tmp_path / "out")])
    assert str(ended.value).startswith(f"error: {message}")
    assert not (tmp_path / "out").exists()


def test_a_picture_of_ones_own_takes_the_place_of_the_shipped_one(tmp_path: Path) -> None:
    Image.new("RGB", (24, 16), "red").save(tmp_path / "red.png")
    run = ["lab", "run", "noising", "--steps", "10"]
    main([*run, "--picture", str(tmp_path / "red.png"), "--out", str(tmp_path / "red")])
    main([*run, "--out", str(tmp_path / "shipped")])
    films = [Image.open(tmp_path / folder / "film.webp") for folder in ("red", "shipped")]
    assert films[0].tobytes() != films[1].tobytes()
    for name, message in (("none.png", "which is no file"), ("red.txt", "no PNG or JPEG picture")):
        (tmp_path / "red.txt").write_text("red")
        with pytest.raises(SystemExit) as ended:
            main([*run, "--picture", str(tmp_path / name), "--out", str(tmp_path / "out")])
        assert message in str(ended.value)
        assert not (tmp_path / "out").exists()


def test_other_names_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["run", "alchemy"], ["train", "noising", "--out", str(tmp_path)]):
        with pytest.raises(SystemExit):
            main(["lab", *words])
        assert "invalid choice" in capsys.readouterr().err
