"""The votes of one trial, in a file of SQLite that a killed process leaves whole."""

from __future__ import annotations

import csv
import io
import json
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from diffusion.listening.order import ASK
from diffusion.listening.trial import FIRST, SECOND, Trial

OUTPUTS = ("headphones", "loudspeakers")
SUFFIX = ".sqlite"
VERSION = 1
PATIENCE_S = 30.0  # for another process that is writing
_TABLES = (
    """CREATE TABLE trial (
        description TEXT NOT NULL, owner TEXT NOT NULL, started REAL NOT NULL, ended REAL, reason TEXT
    )""",
    "CREATE TABLE listener (id TEXT PRIMARY KEY, output TEXT NOT NULL, joined REAL NOT NULL)",
    """CREATE TABLE vote (
        listener TEXT NOT NULL REFERENCES listener, number INTEGER NOT NULL, item INTEGER NOT NULL, role TEXT NOT NULL,
        shown TEXT NOT NULL, dealt REAL NOT NULL, answer TEXT, heard_s TEXT, voted REAL, PRIMARY KEY (listener, number)
    )""",
)


@dataclass(frozen=True)
class Listener:
    """Somebody who listens, by a random id; nothing else is known but what they listen with, and since when."""

    id: str
    output: str
    joined: float


@dataclass(frozen=True)
class Vote:
    """What a listener was played as their turn `number`, and what they answered.

    `shown` are the sides in the order of showing; with `role` it says what the turn is for. The answer is None as long
    as there is none, and otherwise a word or, in the order of showing, ratings. Times are in seconds since 1970.
    """

    listener: str
    number: int
    item: int
    role: str
    shown: tuple[int, ...]
    dealt: float = 0.0
    answer: str | tuple[float, ...] | None = None
    heard_s: tuple[float, ...] = ()
    voted: float | None = None

    @property
    def chosen(self) -> int | None:
        """The side that was chosen; None for a tie, for both bad, and for ratings."""
        return self.shown[(FIRST, SECOND).index(self.answer)] if self.answer in (FIRST, SECOND) else None


class Votes:
    """The file of a trial. Every thread may use it; a vote that was cast is on the disk when `cast` returns.

    SQLite's write-ahead log with synchronous = FULL: a commit waits until the disk has the log. Other processes may
    read at the same time.
    """

    def __init__(self, path: Path) -> None:
        """Open a file that `create` has made; ValueError if there is none."""
        if not path.is_file():
            raise ValueError(f"trial: got {path}, which is no file")
        self.path = path
        self._lock = threading.RLock()
        self._file = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None, check_same_thread=False)
        try:
            self._file.execute("PRAGMA synchronous = FULL")
            (version,) = self._file.execute("PRAGMA user_version").fetchone()
            if version != VERSION:
                raise ValueError(f"trial: got {path} of version {version}, need a trial of version {VERSION}")
            description, self.owner = self._file.execute("SELECT description, owner FROM trial").fetchone()
        except sqlite3.DatabaseError as error:
            self.close()
            raise ValueError(f"trial: got {path}, which cannot be read as a trial: {error}") from error
        except ValueError:
            self.close()
            raise
        self.trial = Trial.from_dict(json.loads(description))

    @classmethod
    def create(cls, path: Path, trial: Trial, owner: str) -> Votes:
        """A new file for a trial; `owner` is what its owner's key is recognised by."""
        path.touch(exist_ok=False)
        file = sqlite3.connect(path, isolation_level=None)
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("BEGIN")
        for statement in (*_TABLES, f"PRAGMA user_version = {VERSION}"):
            file.execute(statement)
        description = json.dumps(trial.to_dict(), ensure_ascii=False)
        file.execute("INSERT INTO trial (description, owner, started) VALUES (?, ?, ?)", (description, owner, _now()))
        file.execute("COMMIT")
        file.close()
        return cls(path)

    def close(self) -> None:
        self._file.close()

    @property
    def ended(self) -> str | None:
        """Why the trial is over; None while it is not."""
        (reason,) = self._read("SELECT reason FROM trial")[0]
        return None if reason is None else str(reason)

    def end(self, reason: str) -> None:
        """The trial is over; the first reason stays."""
        with self._writing():
            self._file.execute("UPDATE trial SET ended = ?, reason = ? WHERE reason IS NULL", (_now(), reason))

    def join(self, output: str) -> str:
        """A new listener's id. ValueError for another output than those in OUTPUTS, or once the trial is over."""
        if output not in OUTPUTS:
            raise ValueError(f"output: got {output!r}, allowed {', '.join(OUTPUTS)}")
        listener = secrets.token_urlsafe(16)
        with self._writing():
            self._check_open()
            self._file.execute("INSERT INTO listener VALUES (?, ?, ?)", (listener, output, _now()))
        return listener

    def listeners(self) -> list[Listener]:
        """Everybody who has joined, in that order."""
        return [Listener(*row) for row in self._read("SELECT id, output, joined FROM listener ORDER BY joined, rowid")]

    def deal(self, listener: str, choose: Callable[[Sequence[Vote]], Vote | None]) -> Vote | None:
        """What a listener is to hear now: what was dealt and has no answer yet, or what `choose` makes of their votes.

        None where it chooses nothing, and once the trial is over. ValueError for a listener who has not joined.
        """
        with self._writing():
            own = self._own(listener)
            if self.ended is not None:
                return None
            if own and own[-1].answer is None:
                return own[-1]
            vote = choose(own)
            if vote is not None:
                row = (listener, vote.number, vote.item, vote.role, json.dumps(vote.shown), _now())
                self._file.execute(
                    "INSERT INTO vote (listener, number, item, role, shown, dealt) VALUES (?, ?, ?, ?, ?, ?)", row
                )
            return vote

    def cast(self, listener: str, number: int, answer: Any, heard_s: Any) -> None:
        """Keep an answer. The same one again changes nothing, so it may be sent twice.

        ValueError for what was not dealt, for an answer that is not allowed, for a clip heard too shortly, for another
        answer than before, and once the trial is over.
        """
        with self._writing():
            dealt = next((each for each in self._own(listener) if each.number == number), None)
            if dealt is None:
                raise ValueError(f"number: got {number!r}, need that of a pair which this listener was played")
            self.trial.check_answer(answer, len(dealt.shown))
            self.trial.check_heard(heard_s, len(dealt.shown))
            if dealt.answer is not None:
                if dealt.answer != _answer(json.dumps(answer)):
                    raise ValueError(f"answer: got {answer!r}, but this pair was answered with {dealt.answer!r}")
                return
            self._check_open()
            self._file.execute(
                "UPDATE vote SET answer = ?, heard_s = ?, voted = ? WHERE listener = ? AND number = ?",
                (json.dumps(answer), json.dumps(heard_s), _now(), listener, number),
            )

    def cast_votes(self) -> list[Vote]:
        """Every vote with an answer, in the order in which they were cast."""
        return self._votes("WHERE answer IS NOT NULL ORDER BY voted, rowid")

    def _own(self, listener: str) -> list[Vote]:
        if not isinstance(listener, str) or not self._read("SELECT 1 FROM listener WHERE id = ?", listener):
            raise ValueError(f"listener: got {listener!r}, need the id of one who has joined")
        return self._votes("WHERE listener = ? ORDER BY number", listener)

    def _votes(self, which: str, *values: Any) -> list[Vote]:
        names = "listener, number, item, role, dealt, voted, shown, answer, heard_s"
        rows = self._read(f"SELECT {names} FROM vote {which}", *values)
        return [
            Vote(
                listener,
                number,
                item,
                role,
                tuple(json.loads(shown)),
                dealt,
                _answer(answer),
                tuple(json.loads(heard_s or "[]")),
                voted,
            )
            for listener, number, item, role, dealt, voted, shown, answer, heard_s in rows
        ]

    def _check_open(self) -> None:
        if self.ended is not None:
            raise ValueError("trial: this one is over")

    def _read(self, query: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._file.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction, all or nothing; what it reads nobody changes."""
        with self._lock:
            self._file.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._file.execute("ROLLBACK")
                raise
            self._file.execute("COMMIT")


def to_csv(trial: Trial, votes: Iterable[Vote]) -> str:
    """A table with a row a vote; for each clip its side, how long it was heard, its rating, and the settings that make
    it again."""
    text = io.StringIO()
    clips = len(trial.shown(0)) if trial.kind == "mushra" else 2
    each_clip = ["side", "heard_s", *([] if trial.answers else ["rating"]), "settings"]
    names = [f"{name}_{place}" for place in range(1, clips + 1) for name in each_clip]
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["listener", "number", "item", "role", "answer", "chosen", "voted", *names])
    for vote in votes:
        row: list[Any] = [vote.listener, vote.number, vote.item, vote.role]
        row.append(vote.answer if trial.answers else "")
        row.append("" if vote.chosen is None else trial.side(vote.chosen).name)
        row.append(datetime.fromtimestamp(vote.voted or 0, UTC).isoformat(timespec="milliseconds"))
        for place, side in enumerate(vote.shown):
            rating = [] if trial.answers else [(vote.answer or ())[place]]
            row += [trial.side(side).name, vote.heard_s[place], *rating, json.dumps(trial.clip(side, vote.item))]
        table.writerow(row)
    return text.getvalue()


def to_json(trial: Trial, listeners: Iterable[Listener], votes: Iterable[Vote]) -> str:
    """Everything that is known of a trial, without its keys; each vote with the settings that make its clips again."""
    return json.dumps(
        {
            "trial": trial.to_dict(),
            "listeners": [asdict(each) for each in listeners],
            "votes": [
                {**asdict(each), "clips": [trial.clip(side, each.item) for side in each.shown]} for each in votes
            ],
        },
        ensure_ascii=False,
        indent=1,
    )


def asked(votes: Iterable[Vote]) -> list[Vote]:
    """Those that answer the question, without checks."""
    return [each for each in votes if each.role == ASK]


def _answer(text: str | None) -> str | tuple[float, ...] | None:
    answer = None if text is None else json.loads(text)
    return tuple(answer) if isinstance(answer, list) else answer


def _now() -> float:
    return time.time()
