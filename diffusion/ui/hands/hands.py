"""What a hand on the music asks for, and the sources that this takes.

A tool in the browser asks with one event, `edit`, whose payload is `messages.Edit`: the settings of the clip on show,
the `edits` that it adds, by name, and `changes` to other settings. `asked` makes the request of it, and refuses in
words what cannot be asked. So a tool says only what it is about, and these are filled in here:

- An edit in SOURCED that names no source begins from the clip on show. Of that clip's own edits those in LASTING stay;
  the others are in its features already. What its seed drew of the labels is now chosen, since a source has its own.
- A mask comes as {bands, frames, bits}, packed bits in base64, row by row, the lowest band first.
- A fork says `at` alone. Its `parent` is in what the clip on show and the changed one differ.
- With None an edit of the clip on show is left out.

`Shelf` keeps what sources each visitor has: the features of their latest clips, and whatever else is put there for
them, such as a recording. It gives them to nobody else, and keeps nothing on disk. If it has lost the clip on show,
`Visits.edit` makes that again from its settings, since the same settings make the same clip. A recording that is lost,
or a clip that was stopped, is named by digest and length in the error.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffusion.edits import SOURCED, Inpaint, Source, Sources, mask_of, needed, read_mask
from diffusion.edits.fork import FIXED
from diffusion.edits.inpaint import MASK_BINS
from diffusion.request import Request
from diffusion.settings import ANY
from diffusion.studio import Studio
from diffusion.ui.messages import Doubt, Edit, HandsFacts, SourceName, encoded
from diffusion.ui.shared.latest import Latest

LASTING = ("loop", "timeline")
"""The edits that say how a clip goes on wherever a part of it is composed."""
SOURCES, SOURCE_BYTES = 256, 128 * 2**20
"""What the shelf holds, of all visitors together: ten seconds of music take 0.3 MiB, with their doubt 0.5."""
AUDIBLE_DB = 50.0
"""How far below its loudest place a clip is heard."""
UNNAMED: SourceName = {"source": "0" * 16, "source_s": 0.0}
"""Stands for a clip whose features are not at hand, so that what is asked of it can be checked first."""
FORKED_DB = [(0, 10.1), (0.1, 7.2), (0.2, 4.0), (0.3, 2.3), (0.4, 1.5), (0.6, 1.0), (0.8, 0.8)]
"""How far a fork to other noise is from its parent, after a share of the steps: `tests/benchmarks/edits.py fork`."""


def hands_facts(studio: Studio) -> HandsFacts:
    """What the hands know of the model."""
    return {
        "frequencies_hz": [round(float(each), 3) for each in studio.mel.frequencies_hz],
        "frames_per_s": studio.mel.frames_per_s,
        "doubts": studio.engine.model.configuration.prediction == "moments-spread",
        "forked_db": FORKED_DB,
    }


def asked(studio: Studio, wish: Edit, rail: Request | None = None, named: SourceName = UNNAMED) -> Request:
    """The request of a wish. `rail` is that of the rail, and `named` how the clip on show is named as a source.

    ValueError names what is wrong with the wish, its value and what is allowed.
    """
    shown, edits, changes = (_object(name, getattr(wish, name)) for name in ("settings", "edits", "changes"))
    base = Request.from_dict(shown)
    studio.check(base)
    changes = (_of_rail(studio, rail) if wish.rail and rail is not None else {}) | changes
    allowed = [name for name in studio.settings if name not in ("edits", "model")]
    for name in changes:
        if name not in allowed:
            raise ValueError(f"changes: got {name[:40]!r}, allowed {', '.join(allowed)}")
    sourced = any(edits.get(name) is not None for name in SOURCED)
    changes = {name: value for name, value in changes.items() if value != base[name]}
    if sourced or any(name in studio.labels for name in changes):
        drawn = _object("drawn", shown.get("drawn"))
        changes = {name: drawn[name] for name in studio.labels if name in drawn} | changes
    request = base.changed(**changes)
    whole = {name: each for name, each in base.edits.items() if name in LASTING or not sourced}
    whole |= {name: _filled(name, each, named) for name, each in edits.items()}
    if edits.get("fork") is not None:
        whole["fork"] = _forked(base, request, edits["fork"])
    kept = {name: each for name, each in whole.items() if each is not None}
    request = request.changed(edits=kept, model=studio.digest)
    studio.check(request)
    request = studio.complete(request)
    _check_mask(studio, request)
    return request


def source_of(request: Request) -> SourceName | None:
    """How the source that a request needs is named; None where it needs none."""
    edit: Any = next((each for name, each in request.edited.items() if name in SOURCED), None)
    return {"source": edit.source, "source_s": edit.source_s} if edit else None


@dataclass(frozen=True)
class Kept:
    """A source, and the standard deviation of each of its bins (1, bands, frames) float16 if a model gave one."""

    source: Source
    deviation: np.ndarray | None = None

    @property
    def size_bytes(self) -> int:
        return self.source.features.nbytes + (0 if self.deviation is None else self.deviation.nbytes)


class Shelf:
    """The sources of each visitor, by session and digest. In memory, and what was not used for longest makes room."""

    def __init__(self) -> None:
        self._kept: Latest[Kept] = Latest(SOURCES, SOURCE_BYTES, lambda each: each.size_bytes)

    def keep(self, session: str, source: Source, deviation: np.ndarray | None = None) -> None:
        """Put a source on the shelf of a visitor."""
        self._kept[_key(session, source.digest)] = Kept(
            source, None if deviation is None else deviation.astype(np.float16)
        )

    def get(self, session: str, digest: object) -> Source | None:
        """The source of that digest, if this visitor has it."""
        kept = self._kept.get(_key(session, digest))
        return kept.source if kept else None

    def sources(self, session: str, request: Request) -> Sources:
        """What a request needs of the visitor's; ValueError, which names it, for what is not on the shelf."""
        name = source_of(request)
        if name is None:
            return ()
        source = self.get(session, name["source"])
        return [needed(name["source"], name["source_s"], [source] if source else [])]

    def doubt(self, session: str, digest: object, unit_db: float) -> Doubt | None:
        """The standard deviations of a visitor's clip, None where they are not kept. `unit_db` is one of a feature.

        They are 0 where nothing is heard: a doubt about silence is nobody's.
        """
        kept = self._kept.get(_key(session, digest))
        if kept is None or kept.deviation is None:
            return None
        level_db = kept.source.features[0] * unit_db
        heard = level_db > level_db.max() - AUDIBLE_DB
        deviation_db = kept.deviation[0].astype(np.float32) * unit_db * heard
        most_db = max(float(deviation_db.max()), 1e-3)
        bands, frames = deviation_db.shape
        values = (deviation_db * (255 / most_db)).round().astype(np.uint8)
        return {"bands": bands, "frames": frames, "values": encoded(values.tobytes()), "most_db": round(most_db, 2)}

    def drop(self, session: str) -> None:
        """The visitor has gone."""
        for key in self._kept:
            if key.startswith(_key(session, "")):
                self._kept.pop(key, None)


def _key(session: str, digest: object) -> str:
    return f"{session} {digest}"


def _object(name: str, value: Any) -> dict[str, Any]:
    """A mapping that a browser has sent, empty where it has sent none."""
    if value is None and name != "settings":
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}: got {str(value)[:40]!r}, need an object")
    return dict(value)


def _of_rail(studio: Studio, rail: Request) -> dict[str, Any]:
    """The settings of the rail as changes; what it leaves open stays as the clip has it."""
    chosen = {name: rail.label(name) for name in studio.labels if rail.label(name) != ANY}
    rest = {name: rail[name] for name in rail.to_dict() if name not in (*FIXED, *studio.labels, "seed")}
    return chosen | rest


def _filled(name: str, edit: Any, named: SourceName) -> Any:
    """An edit with the source and the mask that it stands for."""
    if name not in SOURCED or not isinstance(edit, Mapping):
        return edit
    if "mask" in edit and isinstance(edit["mask"], Mapping):
        edit = {**edit, "mask": _packed(edit["mask"])}
    return edit if "source" in edit else {**named, **edit}


def _packed(mask: Mapping[str, Any]) -> str:
    """The text of a mask {bands, frames, bits}; ValueError for anything else."""
    bands, frames, bits = (mask.get(name) for name in ("bands", "frames", "bits"))
    if type(bands) is not int or type(frames) is not int or min(bands, frames) < 1 or bands * frames > MASK_BINS:
        raise ValueError(f"mask: got {bands!r} bands and {frames!r} frames, allowed up to {MASK_BINS} bins in all")
    wanted = -(-bands * frames // 8)
    try:
        packed = base64.b64decode(bits if isinstance(bits, str) and len(bits) <= 2 * wanted + 4 else "", validate=True)
    except (ValueError, binascii.Error):
        packed = b""
    if len(packed) != wanted:
        raise ValueError(f"mask: got {str(bits)[:40]!r}, need {wanted} bytes in base64, a bit for each bin")
    bins = np.unpackbits(np.frombuffer(packed, np.uint8), count=bands * frames).astype(bool).reshape(bands, frames)
    return mask_of(bins)


def _check_mask(studio: Studio, request: Request) -> None:
    """ValueError for a mask that is not as large as the clip."""
    inpaint, duration_s = request.edited.get("inpaint"), request.duration_s
    if isinstance(inpaint, Inpaint) and duration_s is not None:
        found, wanted = read_mask(inpaint.mask).shape, studio.mel.shape(studio.mel.frames_of(duration_s))[-2:]
        if found != wanted:
            raise ValueError(f"mask: got one of {found} bands and frames, need {wanted}, as the clip has")


def _forked(base: Request, request: Request, fork: Any) -> dict[str, Any]:
    """A fork from a step of `base`, which goes on as `request`, and its parent: in what `base` differs."""
    if not isinstance(fork, Mapping) or fork.keys() != {"at"}:
        raise ValueError(f"edits: got fork = {fork!r}, need an object with at")
    at, before, first = fork["at"], base.parent, base.edits.get("fork")
    if first is not None and before is not None:  # a fork of a fork is one of what both come from, until they part
        if not isinstance(at, int) or at > first["at"]:
            raise ValueError(
                f"edits: fork: at: got {at!r}, allowed 0 to {first['at']}, since the clip on show is a fork from there"
            )
        base = before
    names = [name for name in {**request.to_dict(), **base.to_dict()} if name not in FIXED]
    return {"at": at, "parent": {name: base[name] for name in names if base[name] != request[name]}}
