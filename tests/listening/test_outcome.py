"""What is said of a trial: margins are found, chance is called chance, and clickers are left out."""

from __future__ import annotations

import csv
import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from simulated import BASE, PAIR, REAL, always_first, at_random, crowd, made, preferring, trial, votes_of

from diffusion.cli import main
from diffusion.listening.hall import Hall
from diffusion.listening.ladder import chosen
from diffusion.listening.report import heard_by_machine, write
from diffusion.listening.tally import clickers, is_clear, outcome, standing
from diffusion.listening.trial import rungs

RNG = np.random.default_rng


def test_a_margin_is_found_in_a_crowd_with_clickers() -> None:
    asked = trial(pairs=20, checks=6)
    votes = crowd(asked, [*[preferring(0.7, ties=0.2)] * 30, *[at_random] * 6, *[always_first] * 4], seed=1)
    found = outcome(asked, votes)
    share = found.sides["long"]
    assert share.low < 0.7 < share.high
    assert share.low > 0.5
    assert found.method == "bootstrap over listeners"
    assert len({f"l{number}" for number in range(30, 40)} & set(found.clickers)) >= 9
    assert len(found.clickers) <= 11
    assert found.listeners == 40 - len(found.clickers)
    assert found.sentence.startswith(f"{found.listeners} listeners chose short over long in {share.value:.0%} of")
    assert "chance" not in found.sentence


def test_clickers_are_found_and_listeners_are_not() -> None:
    asked = trial(pairs=16, checks=6)
    crowds = {
        "careful": [preferring(0.6, ties=0.1)] * 120,
        "random": [at_random] * 40,
        "first": [always_first] * 40,
    }
    votes = crowd(asked, [each for crowd in crowds.values() for each in crowd], seed=2)
    found = [f"l{number}" in clickers(asked, votes) for number in range(200)]
    assert np.mean(found[:120]) <= 0.05
    assert np.mean(found[120:160]) >= 0.9
    assert np.mean(found[160:]) >= 0.9
    assert clickers(trial(), crowd(trial(), [at_random], seed=3)) == ()


def test_intervals_of_the_whole_procedure_cover() -> None:
    """Listeners who differ, ties, and everything that `outcome` does with them."""
    asked, rng, covered = trial(pairs=8), RNG(4), []
    for number in range(300):
        tastes = rng.beta(6, 4, 16)
        found = outcome(asked, crowd(asked, [preferring(taste, ties=0.2) for taste in tastes], seed=number))
        covered.append(found.sides["long"].low <= 0.6 <= found.sides["long"].high)
    assert 0.93 <= np.mean(covered) <= 0.97


def test_few_listeners_are_counted_by_the_exact_test() -> None:
    votes = crowd(trial(pairs=24), [preferring(0.5)], seed=5)
    found = outcome(trial(pairs=24), votes)
    assert found.method == "binomial"
    assert found.p_value > 0.05
    assert found.sentence.startswith("1 listener chose short over long in ")
    assert found.sentence.endswith("; that may be chance.")
    surely = outcome(trial(pairs=24), crowd(trial(pairs=24), [preferring(1.0)], seed=5))
    assert surely.sides["long"].value == 1
    assert surely.p_value == pytest.approx(2**-23)


def test_one_vote_of_each_is_counted_and_unanimity_is_not_certainty() -> None:
    asked = trial(pairs=1)
    found = outcome(asked, crowd(asked, [preferring(1.0)] * 12, seed=6))
    assert found.method == "binomial"
    assert 0.7 < found.sides["long"].low < 0.8
    asked = trial(pairs=10)
    found = outcome(asked, crowd(asked, [preferring(1.0)] * 12, seed=6))
    assert found.sides["long"].low < 0.8  # of twelve people, however often each says it


def test_a_rule_that_stops_keeps_its_promise_in_a_whole_trial() -> None:
    """Nobody prefers anything: at most one trial in twenty ever calls it clear, looking after every listener."""
    asked, clear = trial(pairs=4, clear_at=0.9), []
    for number in range(120):
        rng, votes, found = RNG([7, number]), [], False
        for listener in range(25):
            votes += votes_of(asked, f"l{listener}", preferring(rng.choice([0.1, 0.9])), rng)
            found = found or is_clear(asked, votes)
        clear.append(found)
    assert np.mean(clear) <= 0.1


def test_listeners_who_have_not_heard_all_do_not_stop_a_trial() -> None:
    asked = trial(pairs=10, clear_at=0.95)
    votes = crowd(asked, [preferring(1.0)] * 12, seed=8)
    assert is_clear(asked, votes)
    assert not is_clear(asked, [each for each in votes if each.number < 9])
    found = outcome(asked, votes)
    assert found.method == "confidence sequence"
    assert "95% interval" in found.sentence
    plain = outcome(trial(pairs=10), votes).sides["long"]
    assert found.sides["long"].low < plain.low  # the price of having looked


def test_real_or_made() -> None:
    sides = (REAL, *PAIR)
    asked = trial(kind="real-or-made", sides=sides, pairs=30)

    def answer(rng: np.random.Generator, shown: tuple[int, ...]) -> str:
        """The short one is told by everybody, the long one by nobody."""
        right = 1 in shown or rng.random() < 0.5
        return ("first", "second")[shown.index(0) if right else 1 - shown.index(0)]

    found = outcome(asked, crowd(asked, [answer] * 20, seed=9))
    assert found.sides["short"].value == 1
    assert found.sides["long"].low < 0.5 < found.sides["long"].high
    assert found.sentence.startswith("20 listeners took real for real beside the others in ")


def test_of_several_sides_the_best_is_named_with_its_lead() -> None:
    sides = tuple(made(name, steps=steps) for name, steps in (("a", 5), ("b", 10), ("c", 20), ("d", 40)))
    asked = trial(sides=sides, pairs=24)
    strength = np.array([0.0, 0.3, 2.0, 0.6])

    def answer(rng: np.random.Generator, shown: tuple[int, ...]) -> str:
        if rng.random() < 0.2:
            return "tie"
        first, second = strength[list(shown)]
        return "first" if rng.random() < 1 / (1 + np.exp(second - first)) else "second"

    found = outcome(asked, crowd(asked, [answer] * 24, seed=10))
    for place, side in enumerate("abcd"):
        interval = found.sides[side]
        assert interval.low <= strength[place] - strength.mean() <= interval.high
    assert "preferred c of 4: they would choose it over d, the next" in found.sentence
    alone = outcome(asked, crowd(asked, [answer], seed=10))
    assert alone.method == "bootstrap over votes"
    assert alone.sides["c"].high - alone.sides["c"].low > found.sides["c"].high - found.sides["c"].low


def test_mushra_means_leave_out_whoever_misses_the_reference() -> None:
    asked = trial(kind="mushra", sides=(REAL, *PAIR), pairs=6)
    means = np.array([98, 40, 70, 10])

    def careful(rng: np.random.Generator, shown: tuple[int, ...]) -> tuple[float, ...]:
        return tuple((means[list(shown)] + rng.uniform(-2, 2, 4)).tolist())

    def deaf(rng: np.random.Generator, shown: tuple[int, ...]) -> tuple[float, ...]:
        return tuple(rng.uniform(0, 100, 4).tolist())

    found = outcome(asked, crowd(asked, [*[careful] * 14, *[deaf] * 3], seed=11))
    assert found.clickers == ("l14", "l15", "l16")
    assert [*found.sides] == ["real", "short", "long", "anchor"]
    for each, mean in zip(found.sides.values(), means, strict=True):
        assert each.value - 1 < each.low < each.value < each.high < each.value + 1
        assert each.value == pytest.approx(mean, abs=0.5)
    assert found.sentence.startswith("14 listeners rated long highest, at 70 of 100")
    one = outcome(asked, crowd(asked, [careful], seed=11))
    assert one.method == "bootstrap over pages"
    with pytest.raises(ValueError, match="trial: got ratings only of listeners who do not hear the reference"):
        outcome(asked, crowd(asked, [deaf], seed=11))


def test_a_ladder_says_from_where_on_few_hear_a_difference() -> None:
    asked = trial(kind="ladder", sides=rungs(BASE, "steps", (2, 4, 8, 16), 50), pairs=40)
    votes = []
    for number in range(10):
        rng = RNG([12, number])
        for vote in votes_of(asked, f"l{number}", lambda rng, shown: None, rng):
            level = int(rng.integers(4))
            shown = (0, 1 + level) if rng.random() < 0.5 else (1 + level, 0)
            right = rng.random() < chosen(level, 1.5, 0.3, 0.02)
            answer = ("first", "second")[shown.index(0) if right else 1 - shown.index(0)]
            votes.append(type(vote)(vote.listener, vote.number, vote.item, vote.role, shown, 0, answer, (5, 5), 0))
    found = outcome(asked, votes)
    assert "from steps 8 on, fewer than half hear a difference from steps 50" in found.sentence
    assert found.sides["steps 2"].low > 0.9
    assert standing(asked, [], votes, None).answers["steps 8"] > 0.9


def test_nothing_comes_of_nothing() -> None:
    with pytest.raises(ValueError, match="trial: got no vote on its question"):
        outcome(trial(), [])
    with pytest.raises(ValueError, match="trial: got votes only of listeners who click"):
        outcome(trial(pairs=16, checks=6), crowd(trial(pairs=16, checks=6), [always_first], seed=13))
    found = outcome(trial(pairs=4), crowd(trial(pairs=4), [preferring(0.5, ties=1.0)], seed=13))
    assert found.sentence == "1 listener chose neither side in 4 pairs."
    assert found.sides == {}


def filled(folder: Path, share: float, listeners: int = 12, **changed: object) -> Path:
    """The file of a trial in which somebody chose side 0 with that probability."""
    with closing(Hall(folder)) as hall:
        keys = hall.start(trial(**changed))
        rng = RNG(14)
        for _ in range(listeners):
            listener = hall.join(keys.link, "headphones")
            while (turn := hall.next(keys.link, listener)) is not None:
                ours = [each["steps"] for each in turn.clips].index(8)
                better = ours if rng.random() < share else 1 - ours
                hall.vote(keys.link, listener, turn.number, ("first", "second")[better], [5, 5])
        return hall.votes(keys.link).path


def test_the_command_reports_the_margin_of_a_simulated_listener(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = filled(tmp_path / "trials", 0.8), tmp_path / "out"
    main(["listen", "report", str(path), "--out", str(out)])
    said = capsys.readouterr().out
    written = json.loads((out / "outcome.json").read_text(encoding="utf-8"))
    assert said == f"{written['sentence']}\nwritten to {out}\n"
    share = written["sides"]["long"]
    assert f"12 listeners chose short over long in {share['value']:.0%} of 240 decided votes" in said
    assert share["low"] < 0.8 < share["high"]
    assert share["high"] - share["low"] < 0.2
    assert {each.name for each in out.iterdir()} == {
        "outcome.json", "sides.csv", "votes.csv", "votes.json", "report.md", "sides.png", "growth.png",
    }  # fmt: skip
    with (out / "sides.csv").open(encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert float(row["low"]) == pytest.approx(share["low"], rel=1e-5)
    assert written["sentence"] in (out / "report.md").read_text(encoding="utf-8")
    assert (out / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "sides.png").read_bytes() != (out / "growth.png").read_bytes()


def test_machine_ears_stand_beside_the_votes(tmp_path: Path) -> None:
    sides = (made("eight", steps=8), made("fifty", steps=50), made("odd", steps=37))
    from diffusion.evaluation.clips import Way

    point = {"frechet": {"classifier": {"value": 12.5, "low": 11.0, "high": 14.0}}}
    asked = BASE.changed(steps=8)
    named = {name: asked[name] for name in Way().settings}
    marks = {"curves": {f"evaluations: {Way(**named, evaluations=asked.evaluations)}": point}}
    assert heard_by_machine(trial(sides=sides), marks) == {"eight": {"classifier": 12.5}}
    with closing(Hall(tmp_path)) as hall:
        keys = hall.start(trial(sides=sides, pairs=6))
        listener = hall.join(keys.link, "headphones")
        while (turn := hall.next(keys.link, listener)) is not None:
            hall.vote(keys.link, listener, turn.number, "tie", [5, 5])
        found = write(hall.votes(keys.link), tmp_path, marks)
    assert found.tally["tie"] == 6
    with (tmp_path / "sides.csv").open(encoding="utf-8") as file:
        assert [row["frechet classifier"] for row in csv.DictReader(file)] == ["12.5", "", ""]
    with pytest.raises(ValueError, match=r"ears: got a file without curves, need a marks\.json"):
        heard_by_machine(trial(), {"marks": {}})


@pytest.mark.parametrize(
    ("file", "message"),
    [("none.sqlite", "which is no file"), ("empty.sqlite", "trial: got no vote on its question, need one at least")],
)
def test_what_cannot_be_reported_is_one_line(file: str, message: str, tmp_path: Path) -> None:
    filled(tmp_path, 0.5, listeners=0).rename(tmp_path / "empty.sqlite")
    with pytest.raises(SystemExit) as ended:
        main(["listen", "report", str(tmp_path / file), "--out", str(tmp_path / "out")])
    assert str(ended.value).startswith("error: trial: got ")
    assert message in str(ended.value)
