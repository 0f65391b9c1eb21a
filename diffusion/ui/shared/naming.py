"""What a clip is called: in the two languages of the page, and on a visitor's disk. Nobody else puts labels into words.

Settings are those of a clip or of a request. What was drawn counts as if it had been chosen, except in a file's name,
which says what was asked for.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from email.utils import encode_rfc2231
from typing import Any, TypedDict

import numpy as np

from diffusion.edits import Blend, Continue, Edit, Fork, Inpaint, Loop, Timeline, read_mask
from diffusion.request import Request
from diffusion.settings import ANY, LABELS, titled
from diffusion.ui.shared.words import FRENCH, said

Settings = Mapping[str, Any]


class Names(TypedDict):
    """What is played, value by value, each as at the beginning of a line: Chorale, Organ, In D minor, Fast."""

    en: list[str]
    fr: list[str]


class Title(TypedDict):
    """What is played, as a heading: Chorale for organ, in D minor, fast."""

    en: str
    fr: str


def names(settings: Settings) -> Names:
    """The names of a clip's labels, in the order of the table; none where all is left open."""
    english, french = ([_begun(each) for each in _named(settings, french).values()] for french in (False, True))
    return {"en": english, "fr": french}


def edited(settings: Settings) -> Names:
    """What the edits of a clip have done, each as at the beginning of a line: Repainted 2.1–4.3 s."""
    english, french = ([_begun(each) for each in _edits(settings, french)] for french in (False, True))
    return {"en": english, "fr": french}


def title(settings: Settings) -> Title:
    """The heading of a clip, and what its edits have done."""
    return {"en": _title(settings, french=False), "fr": _title(settings, french=True)}


def file_name(settings: Settings) -> str:
    """What a clip is called on a visitor's disk: its labels, as far as they were chosen, and its seed."""
    labels = Request.from_dict(settings).labels
    words = [_tame(labels[name].replace("#", "sharp")) for name in _in_order(labels)]
    return "-".join(["out-of-noise", *words, f"{settings['seed']}.wav"])


def disposition(name: str) -> str:
    """The Content-Disposition of a file that is shown or saved under any name: RFC 6266, with an ASCII name for those
    who read no other.

    >>> print(disposition("marché.wav"))
    inline; filename="march_.wav"; filename*=UTF-8''march%C3%A9.wav
    """
    plain = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)
    return f'inline; filename="{plain}"; filename*={encode_rfc2231(name, "UTF-8")}'


def _tame(text: str) -> str:
    """A text of letters and digits of any script, dots and dashes: each run of anything else is one underscore."""
    tame = (each if _is_tame(each) else " " for each in unicodedata.normalize("NFC", text))
    return "_".join("".join(tame).split())


def _is_tame(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN" or character in "._-"


def _title(settings: Settings, french: bool) -> str:
    named = _named(settings, french)
    style, ensemble = named.pop("style", None), named.pop("ensemble", None)
    both = said("{style} for {ensemble}", french, style=style, ensemble=ensemble)
    played = both if style and ensemble else style or ensemble or said("Anything", french)
    return _begun(", ".join([played, *named.values(), *_edits(settings, french)]))


def _named(settings: Settings, french: bool) -> dict[str, str]:
    """The labels in words, each as it stands inside a sentence, in the order of the table; key and mode as one."""
    chosen = {name: value for name, value in Request.from_dict(settings).labels.items() if value != ANY}
    labels = {**settings.get("drawn", {}), **chosen}
    words = {name: _word(name, labels[name], french) for name in _in_order(labels)}
    first = {name: words.pop(name) for name in ("style", "ensemble") if name in words}
    tonality = " ".join(words.pop(name) for name in ("key", "mode") if name in words)
    named = first | {"mode": tonality} | words
    return {name: word for name, word in named.items() if word}


def _edits(settings: Settings, french: bool) -> list[str]:
    """What the edits have done, each as it stands inside a sentence."""
    request = Request.from_dict(settings)
    return [_edit(each, request.duration_s or 0, french) for each in request.edited.values()]


def _edit(edit: Edit, duration_s: float, french: bool) -> str:
    if isinstance(edit, Inpaint):
        painted = np.flatnonzero(read_mask(edit.mask).any(0))
        frame_s = duration_s / read_mask(edit.mask).shape[1]
        begin, end = (f"{each * frame_s:.1f}" for each in (painted[0], painted[-1] + 1))
        return said("repainted {begin}–{end} s", french, begin=begin, end=end)
    if isinstance(edit, Continue):
        return said("going on from {keep_s} s", french, keep_s=f"{edit.keep_s:.1f}")
    if isinstance(edit, Loop):
        return said("a loop", french)
    if isinstance(edit, Fork):
        return said("another future from step {at}", french, at=edit.at)
    if isinstance(edit, Blend):
        return said("blended with seed {seeds}", french, seeds=", ".join(map(str, edit.seeds)))
    if isinstance(edit, Timeline):
        return said("in {count} sections", french, count=len(edit.sections) + 1)
    return said("from a sound, strength {strength}", french, strength=f"{edit.strength:g}")


def _word(name: str, value: str, french: bool) -> str:
    """One value in words; nothing where it need not be said."""
    if name == "key":
        return said(f"in {titled(value)}", french)
    if name == "beat":
        return f"♩ = {value}"
    if name == "ending":
        return said("With its end", french).lower() if value == "ends" else ""
    known = titled(value)
    return said(known, french).lower() if known in FRENCH else value.replace("_", " ")


def _in_order(labels: Mapping[str, str]) -> list[str]:
    return [*(name for name in LABELS if name in labels), *(name for name in labels if name not in LABELS)]


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]
