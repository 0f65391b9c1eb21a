"""The hall in which trials are held: what their owners and listeners may do, from any thread."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusion.files import check_folder
from diffusion.listening.ladder import Ladder
from diffusion.listening.order import ASK, REPEAT, Slot, plan
from diffusion.listening.tally import Standing, is_clear, ladder_counts, standing
from diffusion.listening.trial import Trial
from diffusion.listening.votes import SUFFIX, Vote, Votes

CLEAR, BY_OWNER = "clear", "owner"
"""Why a trial is over."""
_KEY = re.compile(r"[\w-]{22}")


@dataclass(frozen=True)
class Keys:
    """What opens a trial: `link` for everybody who shall listen, `owner` for whoever may see its state and end it.

    Neither can be guessed. The file of the trial has the link as its name, and of the owner's key only a digest.
    """

    link: str
    owner: str


@dataclass(frozen=True)
class Turn:
    """What a listener hears now. `clips` are the settings of each, in the order of showing, and `reference` those of
    the open reference of MUSHRA: they say which is which, so a browser gets sounds, and never these."""

    number: int
    of: int
    clips: tuple[dict[str, Any], ...]
    reference: dict[str, Any] | None


class Hall:
    """Trials in a folder, a file each. Whatever is not as it should be is a ValueError that says so."""

    def __init__(self, folder: Path) -> None:
        """The folder is made where it is missing; trials that were held there before go on."""
        check_folder("trials", folder)
        self.folder = folder
        self._open: dict[str, Votes] = {}
        self._lock = threading.Lock()

    def start(self, trial: Trial) -> Keys:
        """Open a trial."""
        keys = Keys(secrets.token_urlsafe(16), secrets.token_urlsafe(16))
        votes = Votes.create(self._path(keys.link), trial, _digest(keys.owner))
        with self._lock:
            self._open[keys.link] = votes
        return keys

    def trial(self, link: str) -> Trial:
        """What a link leads to: question, kind, and how many pairs there are to hear."""
        return self.votes(link).trial

    def join(self, link: str, output: str) -> str:
        """The id of a new listener, who listens with headphones or loudspeakers."""
        return self.votes(link).join(output)

    def next(self, link: str, listener: str) -> Turn | None:
        """What the listener is to hear now, the same until they have voted; None when they have heard all, or
        the trial is over.

        A ladder chooses the level that says most, by the votes of all.
        """
        votes = self.votes(link)
        trial = votes.trial
        vote = votes.deal(listener, lambda own: _deal(votes, listener, own))
        if vote is None:
            return None
        clips = tuple(trial.clip(side, vote.item) for side in vote.shown)
        return Turn(vote.number, trial.turns, clips, trial.clip(0, vote.item) if trial.kind == "mushra" else None)

    def vote(self, link: str, listener: str, number: int, answer: Any, heard_s: Any) -> None:
        """Keep a vote on the disk: a word of `Trial.answers`, or ratings in the order of showing, and the seconds that
        each clip was heard. It may be sent again. A trial that is clear at its level ends with this vote."""
        votes = self.votes(link)
        votes.cast(listener, number, answer, heard_s)
        if votes.trial.clear_at is not None and is_clear(votes.trial, votes.cast_votes()):
            votes.end(CLEAR)

    def state(self, link: str, owner: str) -> Standing:
        """How a trial stands, for its owner. The interval holds however often one looks."""
        votes = self.owned(link, owner)
        return standing(votes.trial, votes.listeners(), votes.cast_votes(), votes.ended)

    def end(self, link: str, owner: str) -> None:
        """Let nobody vote any more."""
        self.owned(link, owner).end(BY_OWNER)

    def own(self, link: str, listener: str) -> Standing:
        """What a listener has preferred: the standing of their votes alone."""
        votes = self.votes(link)
        one = [each for each in votes.listeners() if each.id == listener]
        mine = [each for each in votes.cast_votes() if each.listener == listener]
        return standing(votes.trial, one, mine, votes.ended)

    def owned(self, link: str, owner: str) -> Votes:
        """The votes of a trial for its owner, who may report and export them at any time."""
        votes = self.votes(link)
        if not isinstance(owner, str) or not hmac.compare_digest(votes.owner, _digest(owner)):
            raise ValueError("owner: got a key that is not the owner's")
        return votes

    def votes(self, link: str) -> Votes:
        """The votes of a trial; what others preferred is for listeners once `ended` says that it is over."""
        if not isinstance(link, str) or not _KEY.fullmatch(link):
            raise ValueError(f"link: got {link!r}, which leads to no trial")
        with self._lock:
            if link not in self._open:
                if not self._path(link).is_file():
                    raise ValueError(f"link: got {link!r}, which leads to no trial")
                self._open[link] = Votes(self._path(link))
            return self._open[link]

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            for votes in self._open.values():
                votes.close()
            self._open.clear()

    def _path(self, link: str) -> Path:
        return self.folder / f"{link}{SUFFIX}"


def _deal(votes: Votes, listener: str, own: Any) -> Vote | None:
    """The next turn of a listener who has cast these votes."""
    trial, number = votes.trial, len(own)
    if number >= trial.turns:
        return None
    slot = plan(trial, listener)[number]
    return Vote(listener, number, slot.item, slot.role, _shown(votes, slot, own))


def _shown(votes: Votes, slot: Slot, own: Any) -> tuple[int, ...]:
    trial = votes.trial
    if slot.role == REPEAT:  # what was shown then, which only the votes know where a ladder has chosen it
        before: tuple[int, ...] = next(each.shown for each in own if each.item == slot.item and each.role == ASK)
        return before[::-1]
    sides = trial.shown(slot.item)
    if trial.kind == "ladder" and slot.role == ASK:
        ladder = Ladder(len(trial.sides) - 1)
        sides = 0, 1 + int(ladder.best(ladder.weights(*ladder_counts(trial, votes.cast_votes()))))
    return tuple(sides[place] for place in slot.order)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
