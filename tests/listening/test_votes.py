"""Votes are kept: each once, each on the disk before the next pair, also by a process that is killed."""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from simulated import PAIR, REAL, made, trial

from diffusion.listening.hall import BY_OWNER, CLEAR, Hall, Keys
from diffusion.listening.order import CATCH, REPEAT
from diffusion.listening.trial import Trial, rungs
from diffusion.listening.votes import Votes, to_csv, to_json
from diffusion.request import Request

HEARD = [5.0, 6.0]


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Hall]:
    with closing(Hall(tmp_path / "trials")) as hall:
        yield hall


def vote_all(hall: Hall, link: str, answer: str = "first") -> str:
    """Somebody who hears all and gives one answer; their id."""
    listener = hall.join(link, "headphones")
    while (turn := hall.next(link, listener)) is not None:
        hall.vote(link, listener, turn.number, answer, HEARD)
    return listener


def test_a_listener_hears_all_once_and_checks_come_as_planned(hall: Hall) -> None:
    keys = hall.start(trial(pairs=6, checks=2))
    listener = vote_all(hall, keys.link)
    votes = hall.owned(keys.link, keys.owner).cast_votes()
    assert [each.number for each in votes] == list(range(10))
    assert sum(each.role == REPEAT for each in votes) == sum(each.role == CATCH for each in votes) == 2
    assert {each.listener for each in votes} == {listener}
    by_number = {each.number: each for each in votes}
    for again in (each for each in votes if each.role == REPEAT):
        before = next(each for each in by_number.values() if each.item == again.item and each.role != REPEAT)
        assert again.shown == before.shown[::-1]


def test_what_was_dealt_stays_until_it_is_answered_also_after_a_new_start(hall: Hall) -> None:
    keys = hall.start(
        trial(kind="ladder", sides=rungs(Request.from_dict(PAIR[0].settings | {"seed": 0}), "steps", (2, 4), 50))
    )
    listener = hall.join(keys.link, "loudspeakers")
    turn = hall.next(keys.link, listener)
    vote_all(hall, keys.link)  # by which the ladder would ask something else now
    hall.close()
    assert hall.next(keys.link, listener) == turn


def test_a_vote_may_be_sent_twice_but_not_changed(hall: Hall) -> None:
    keys = hall.start(trial())
    listener = hall.join(keys.link, "headphones")
    turn = hall.next(keys.link, listener)
    for _ in range(2):
        hall.vote(keys.link, listener, turn.number, "tie", HEARD)
    with pytest.raises(ValueError, match="answer: got 'first', but this pair was answered with 'tie'"):
        hall.vote(keys.link, listener, turn.number, "first", HEARD)
    assert hall.state(keys.link, keys.owner).tally == {"short": 0, "long": 0, "tie": 1, "both-bad": 0}


def test_what_does_not_count_is_named(hall: Hall) -> None:
    keys = hall.start(trial())
    listener = hall.join(keys.link, "headphones")
    turn = hall.next(keys.link, listener)
    for number, answer, heard_s, message in (
        (turn.number, "maybe", HEARD, "answer: got 'maybe', allowed first, second, tie, both-bad"),
        (turn.number, "tie", [5.0, 4.9], "heard_s: got 4.9, allowed 5.0 to inf"),
        (turn.number, "tie", [5.0], r"heard_s: got \[5.0\], need 2 numbers"),
        (turn.number, "tie", None, "heard_s: got None, need 2 numbers"),
        (turn.number + 1, "tie", HEARD, "number: got 1, need that of a pair which this listener was played"),
    ):
        with pytest.raises(ValueError, match=message):
            hall.vote(keys.link, listener, number, answer, heard_s)
    for link, who, message in (
        (keys.link, "nobody", "listener: got 'nobody', need the id of one who has joined"),
        ("x" * 22, listener, "link: got 'x+', which leads to no trial"),
        (f"../{keys.link}", listener, "which leads to no trial"),
    ):
        with pytest.raises(ValueError, match=message):
            hall.next(link, who)
    with pytest.raises(ValueError, match="output: got 'ears', allowed headphones, loudspeakers"):
        hall.join(keys.link, "ears")
    for key in (keys.link, "", None):
        with pytest.raises(ValueError, match="owner: got a key that is not the owner's"):
            hall.end(keys.link, key)
    assert hall.state(keys.link, keys.owner).votes == 0


def test_keys_are_not_in_the_file_nor_in_what_is_exported(hall: Hall) -> None:
    keys = hall.start(trial())
    vote_all(hall, keys.link)
    votes = hall.votes(keys.link)
    exported = to_json(votes.trial, votes.listeners(), votes.cast_votes()) + to_csv(votes.trial, votes.cast_votes())
    hall.close()
    kept = b"".join(path.read_bytes() for path in hall.folder.iterdir())
    assert keys.owner.encode() not in kept
    assert keys.owner not in exported
    assert keys.link not in exported
    assert len({*keys.__dict__.values(), *hall.start(trial()).__dict__.values()}) == 4


def test_an_end_is_an_end(hall: Hall) -> None:
    keys = hall.start(trial())
    listener = hall.join(keys.link, "headphones")
    turn = hall.next(keys.link, listener)
    assert hall.votes(keys.link).ended is None
    hall.end(keys.link, keys.owner)
    assert hall.state(keys.link, keys.owner).ended == BY_OWNER
    assert hall.next(keys.link, listener) is None
    for late in (
        lambda: hall.vote(keys.link, listener, turn.number, "tie", HEARD),
        lambda: hall.join(keys.link, "headphones"),
    ):
        with pytest.raises(ValueError, match="trial: this one is over"):
            late()


def test_a_trial_ends_by_itself_with_the_vote_that_makes_it_clear(hall: Hall) -> None:
    keys = hall.start(trial(kind="real-or-made", sides=(REAL, PAIR[0]), unit="vote", clear_at=0.95, pairs=20))
    listener = hall.join(keys.link, "headphones")
    heard = 0
    while (turn := hall.next(keys.link, listener)) is not None:
        assert turn.reference is None
        hall.vote(keys.link, listener, turn.number, ("first", "second")["real" in turn.clips[1]], HEARD)
        heard += 1
    assert heard == 8  # 2^8 / 9 is the first such number above 20
    state = hall.state(keys.link, keys.owner)
    assert state.ended == CLEAR
    assert state.first.low > 0.5


def test_a_ladder_ends_by_itself_and_asks_near_the_threshold(hall: Hall) -> None:
    base = Request.from_dict({"style": "reel", "ensemble": "piano", "seed": 1})
    sides = rungs(base, "steps", (1, 2, 4, 8, 16), 50)
    keys = hall.start(trial(kind="ladder", sides=sides, clear_at=0.95, pairs=100))
    asked = []
    while hall.votes(keys.link).ended is None:
        listener = hall.join(keys.link, "headphones")
        while (turn := hall.next(keys.link, listener)) is not None:
            steps = [each["steps"] for each in turn.clips]
            asked.append(min(steps))
            # Whoever hears less than four steps, and guesses in turn above.
            best = steps.index(50) if min(steps) < 4 else len(asked) % 2
            hall.vote(keys.link, listener, turn.number, ("first", "second")[best], HEARD)
    state = hall.state(keys.link, keys.owner)
    assert state.ended == CLEAR
    assert max(state.answers, key=state.answers.get) == "steps 4"
    assert sum(2 <= each <= 4 for each in asked) > len(asked) / 2


def test_a_page_of_mushra_has_a_reference_that_hides_among_the_clips(hall: Hall) -> None:
    keys = hall.start(trial(kind="mushra", sides=(made("100"), *PAIR), pairs=3))
    listener = hall.join(keys.link, "headphones")
    turn = hall.next(keys.link, listener)
    assert turn.reference in turn.clips
    assert len(turn.clips) == 4
    with pytest.raises(ValueError, match="answer: got 'first', need 4 ratings"):
        hall.vote(keys.link, listener, turn.number, "first", [5] * 4)
    with pytest.raises(ValueError, match=r"answer: got 101, allowed 0\.0 to 100\.0"):
        hall.vote(keys.link, listener, turn.number, [1, 2, 3, 101], [5] * 4)
    ratings = [100 if each == turn.reference else each["steps"] for each in turn.clips]
    hall.vote(keys.link, listener, turn.number, ratings, [5] * 4)
    assert hall.own(keys.link, listener).tally == {"100": 100, "short": 8, "long": 50, "anchor": 1}


def test_what_one_prefers_is_not_what_others_do(hall: Hall) -> None:
    keys = hall.start(trial(pairs=4))
    first = vote_all(hall, keys.link, "tie")
    vote_all(hall, keys.link, "both-bad")
    assert hall.own(keys.link, first).tally == {"short": 0, "long": 0, "tie": 4, "both-bad": 0}
    assert hall.state(keys.link, keys.owner).tally["both-bad"] == 4


def test_a_commit_waits_for_the_disk(hall: Hall) -> None:
    votes = hall.votes(hall.start(trial()).link)
    pragmas = {name: votes._file.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}


def _vote_for_ever(folder: Path, link: str, told: Connection) -> None:
    """A listener after another, each vote told as soon as it is kept."""
    hall = Hall(folder)
    while True:
        listener = hall.join(link, "headphones")
        while (turn := hall.next(link, listener)) is not None:
            hall.vote(link, listener, turn.number, "tie", HEARD)
            told.send((listener, turn.number))


@pytest.mark.parametrize("count", [1, 17, 60])
def test_a_process_that_is_killed_loses_no_vote(count: int, hall: Hall) -> None:
    keys = hall.start(trial(pairs=20))
    hall.close()  # SQLite's files do not go through a fork
    context = multiprocessing.get_context("fork")
    hear, tell = context.Pipe(duplex=False)
    voter = context.Process(target=_vote_for_ever, args=(hall.folder, keys.link, tell), daemon=True)
    voter.start()
    tell.close()
    told = {hear.recv() for _ in range(count)}
    assert voter.pid is not None
    os.kill(voter.pid, signal.SIGKILL)
    voter.join()
    assert voter.exitcode == -signal.SIGKILL
    while hear.poll():  # votes that were told before the signal came
        try:
            told.add(hear.recv())
        except EOFError:
            break
    kept = [(each.listener, each.number) for each in hall.votes(keys.link).cast_votes()]
    assert told <= set(kept)
    assert len(kept) <= len(told) + 1  # one may have been kept and not yet told
    assert len(kept) == len(set(kept))
    vote_all(hall, keys.link)  # and it goes on
    assert hall.state(keys.link, keys.owner).votes == len(kept) + 20


def test_two_hundred_voters_at_once_are_counted_each_once(hall: Hall) -> None:
    keys = hall.start(trial(pairs=1))
    together = threading.Barrier(20)

    def vote(number: int) -> str:
        if number < 20:
            together.wait()
        return vote_all(hall, keys.link, "first" if number % 2 else "tie")

    with ThreadPoolExecutor(20) as pool:
        listeners = list(pool.map(vote, range(200)))
    state = hall.state(keys.link, keys.owner)
    assert state.listeners == len(set(listeners)) == state.votes == 200
    assert state.tally["tie"] == 100


def test_one_listener_in_many_tabs_has_one_vote(hall: Hall) -> None:
    keys = hall.start(trial(pairs=1))
    listener = hall.join(keys.link, "headphones")
    together = threading.Barrier(8)

    def vote(_: int) -> bool:
        together.wait()
        turn = hall.next(keys.link, listener)
        if turn is not None:
            hall.vote(keys.link, listener, turn.number, "tie", HEARD)
        return turn is not None

    with ThreadPoolExecutor(8) as pool:
        assert any(pool.map(vote, range(8)))
    assert hall.state(keys.link, keys.owner).votes == 1


def test_two_processes_may_write_at_once(hall: Hall) -> None:
    keys = hall.start(trial(pairs=10))
    with closing(Hall(hall.folder)) as other, ThreadPoolExecutor(4) as pool:
        halls = [hall, other] * 4
        assert len(set(pool.map(lambda each: vote_all(each, keys.link), halls))) == 8
    assert hall.state(keys.link, keys.owner).votes == 80


@pytest.mark.parametrize("kind", ["pairs", "mushra"])
def test_what_is_exported_makes_every_clip_again(kind: str, hall: Hall) -> None:
    asked = trial(pairs=4, checks=2) if kind == "pairs" else trial(kind="mushra", sides=(REAL, *PAIR), pairs=2)
    keys = hall.start(asked)
    listener = hall.join(keys.link, "headphones")
    while (turn := hall.next(keys.link, listener)) is not None:
        answer = "second" if kind == "pairs" else list(range(4))
        hall.vote(keys.link, listener, turn.number, answer, [5.5] * len(turn.clips))
    votes = hall.votes(keys.link)
    cast = votes.cast_votes()
    rows = list(csv.DictReader(io.StringIO(to_csv(asked, cast))))
    said = json.loads(to_json(asked, votes.listeners(), cast))
    assert Trial.from_dict(said["trial"]) == asked
    assert said["listeners"] == [{"id": listener, "output": "headphones", "joined": votes.listeners()[0].joined}]
    assert len(rows) == len(said["votes"]) == len(cast) == asked.turns
    for row, one, vote in zip(rows, said["votes"], cast, strict=True):
        for place, side in enumerate(vote.shown):
            clip = asked.clip(side, vote.item)
            assert json.loads(row[f"settings_{place + 1}"]) == one["clips"][place] == clip
            assert row[f"side_{place + 1}"] == asked.side(side).name
            assert float(row[f"heard_s_{place + 1}"]) == 5.5
            assert kind == "pairs" or float(row[f"rating_{place + 1}"]) == place
            assert "real" in clip or Request.from_dict(clip)
        assert row["chosen"] == (asked.side(vote.shown[1]).name if kind == "pairs" else "")


def test_what_is_no_trial_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.sqlite").write_text("words " * 1000)
    sqlite3.connect(tmp_path / "other.sqlite").execute("CREATE TABLE cake (slice TEXT)").connection.close()
    for name, message in (
        ("none.sqlite", "which is no file"),
        ("text.sqlite", "which cannot be read as a trial: file is not a database"),
        ("other.sqlite", "of version 0, need a trial of version 1"),
    ):
        with pytest.raises(ValueError, match=f"trial: got .*{name}.*{message}"):
            Votes(tmp_path / name)


def test_keys_name_the_file(hall: Hall) -> None:
    keys = hall.start(trial())
    assert isinstance(keys, Keys)
    assert hall.votes(keys.link).path.stem == keys.link
    with pytest.raises(FileExistsError):
        Votes.create(hall.votes(keys.link).path, trial(), "")
