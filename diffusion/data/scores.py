"""Scores of the music21 corpus as plain note lists.

Only collections whose music is in the public domain and whose encodings carry no reservation are read (SOURCES). Left
out for their licences: the Essen folk songs (non-commercial), Palestrina and every other Humdrum file ("rights to all
derivative electronic formats reserved"), and any MusicXML file that states the rights of a modern edition.
"""

from __future__ import annotations

import json
import logging
import os
import re
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffusion.data.workers import shared

VERSION = 2
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A collection of music21's corpus; files of `folders` whose path matches the pattern `skip` are left out.

    A collection of many kinds of music has the `style` TUNES, and each of its pieces one of TUNE_STYLES.
    """

    name: str
    style: str
    folders: tuple[str, ...]
    suffixes: tuple[str, ...]
    skip: str
    licence: str
    origin: str


TUNES = "tunes"
TUNE_STYLES: tuple[str, ...] = ("reel", "jig", "air")

_PERMISSION = (
    "public-domain music; encoding distributed with music21 by permission of its encoder, no restriction stated"
)

SOURCES: tuple[Source, ...] = (
    Source(
        name="Bach chorales",
        style="chorale",
        folders=("bach",),
        suffixes=(".mxl", ".xml"),
        skip=r"bwv(846|847|988|1080)",
        licence="public-domain music; encoding from Margaret Greentree's chorale edition, used by permission",
        origin="music21 corpus, bach/*.mxl (jsbchorales.net)",
    ),
    Source(
        name="Ryan's Mammoth Collection",
        style=TUNES,
        folders=("ryansMammoth",),
        suffixes=(".abc",),
        skip=r"$^",
        licence="public-domain tunes (1883); ABC transcription by John Chambers and volunteers, no restriction stated",
        origin="music21 corpus, ryansMammoth/*.abc",
    ),
    Source(
        name="O'Neill's Music of Ireland",
        style=TUNES,
        folders=("oneills1850",),
        suffixes=(".abc",),
        skip=r"$^",
        licence="public-domain tunes (1903); ABC transcription by John Chambers and volunteers, no restriction stated",
        origin="music21 corpus, oneills1850/*.abc",
    ),
    Source(
        name="Haydn, Mozart and Beethoven string quartets",
        style="quartet",
        folders=("haydn", "mozart", "beethoven"),
        suffixes=(".mxl",),
        skip=r"k545",
        licence=_PERMISSION,
        origin="music21 corpus, haydn, mozart, beethoven/**/*.mxl",
    ),
    Source(
        name="Monteverdi madrigals, books 3 to 5",
        style="madrigal",
        folders=("monteverdi",),
        suffixes=(".mxl",),
        skip=r"_old",
        licence=_PERMISSION,
        origin="music21 corpus, monteverdi/*.mxl",
    ),
)

# Quarter notes per minute where a score gives none: (style, beats per bar over beat type) or the style alone.
_TEMPO_BPM: dict[str, float] = {
    "chorale": 84.0,
    "madrigal": 110.0,
    "quartet": 110.0,
    "reel": 168.0,
    "reel 2/2": 180.0,
    "reel 2/4": 96.0,
    "jig": 165.0,
    "air": 84.0,
    "air 2/2": 100.0,
    "air 2/4": 60.0,
}
# A tempo is pulled into the range in which the busiest part plays this many notes a second on average.
_NOTES_PER_S: dict[str, tuple[float, float]] = {
    "chorale": (1.0, 2.6),
    "madrigal": (1.3, 3.2),
    "quartet": (1.2, 5.0),
    "reel": (3.5, 6.0),
    "jig": (3.2, 5.6),
    "air": (1.3, 3.0),
}
_LAST_AIR = 714  # O'Neill's book begins with airs and songs and Carolan's pieces, then come jigs, reels, hornpipes


@dataclass(frozen=True)
class Piece:
    """One score. `notes` (n, 4) float32 columns: onset and duration in quarter notes, MIDI pitch, part (0 = top part).

    `bars` (m,) float32 are the onsets of the bars in quarter notes, `quarter_s` the seconds of a quarter note,
    `fifths` the sharps of the first key signature (flats are negative).
    """

    key: str
    title: str
    source: str
    style: str
    quarter_s: float
    fifths: int
    notes: np.ndarray
    bars: np.ndarray

    @property
    def quarters(self) -> float:
        """Length of the piece in quarter notes."""
        return float((self.notes[:, 0] + self.notes[:, 1]).max())


def corpus_root() -> Path:
    """Folder of the corpus inside the installed music21 package."""
    try:
        from music21 import common
    except ImportError as error:
        raise ImportError("music21 is needed to read scores: pip install 'out-of-noise[data]'") from error
    return Path(common.getCorpusFilePath())


def corpus_files(root: Path) -> list[tuple[int, str]]:
    """All (index into SOURCES, path relative to `root`) that may be read, in a fixed order."""
    return [
        (index, path.relative_to(root).as_posix())
        for index, source in enumerate(SOURCES)
        for folder in source.folders
        for path in sorted((root / folder).rglob("*"))
        if path.suffix in source.suffixes and not re.search(source.skip, path.relative_to(root).as_posix())
    ]


def _has_rights_statement(path: Path) -> bool:
    """Whether a MusicXML file claims rights for a modern edition in its <rights> element."""
    if path.suffix == ".mxl":
        with zipfile.ZipFile(path) as archive:
            name = next(n for n in archive.namelist() if n.endswith("xml") and not n.startswith("META-INF"))
            data = archive.read(name)
    else:
        data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    text = data.decode(encoding, errors="replace")
    return any(match.strip() for match in re.findall(r"<rights[^>]*>(.*?)</rights>", text, re.DOTALL))


def _merge_ties(events: list[tuple[float, float, int, str]]) -> list[tuple[float, float, int]]:
    """(onset, duration, pitch, tie) in time order -> notes with every tied continuation joined to its start."""
    merged: list[list[float]] = []
    last: dict[int, int] = {}
    for onset, duration, pitch, tie in events:
        previous = last.get(pitch)
        if tie in ("continue", "stop") and previous is not None:
            start, length, _ = merged[previous]
            if abs(start + length - onset) < 1e-3:
                merged[previous][1] = length + duration
                continue
        last[pitch] = len(merged)
        merged.append([onset, duration, pitch])
    return [(onset, duration, int(pitch)) for onset, duration, pitch in merged]


def _part_notes(part: Any) -> list[tuple[float, float, int]]:
    from music21 import harmony

    events = []
    for element in part.flatten().notes:
        if isinstance(element, harmony.Harmony) or element.duration.isGrace or element.quarterLength <= 0:
            continue
        members = element.notes if element.isChord else (element,)
        for note in members:
            if hasattr(note, "pitch"):
                tie = note.tie or element.tie
                kind = tie.type if tie else ""
                events.append((float(element.offset), float(element.quarterLength), int(note.pitch.midi), kind))
    events.sort(key=lambda event: (event[0], event[2]))
    return _merge_ties(events)


def tune_style(meter: str, rhythm: str, number: int | None) -> str:
    """Which of TUNE_STYLES a tune is, by what one hears: its meter, then whether it is for dancing or for singing.

    Compound meters are jigs, triple ones airs (waltzes too). Duple ones are airs if the tune says so (`rhythm`, the R:
    field) or stands among the first of O'Neill's book (`number` in it), else reels: hornpipes, flings and marches too.
    """
    beats = int(meter.split("/")[0])
    if beats % 3 == 0:
        return "jig" if beats > 3 else "air"
    sung = "air" in rhythm.lower() or "waltz" in rhythm.lower()
    return "air" if sung or (number is not None and number <= _LAST_AIR) else "reel"


def tune_rhythms(text: str) -> dict[str, str]:
    """The R: field of every tune of an ABC file, by its X: number."""
    tunes = re.split(r"^X:", text, flags=re.MULTILINE)[1:]
    rhythms = (re.search(r"^R:(.*)", tune, re.MULTILINE) for tune in tunes)
    return {
        tune.split("\n", 1)[0].strip(): rhythm[1].strip() if rhythm else ""
        for tune, rhythm in zip(tunes, rhythms, strict=True)
    }


def _meter(score: Any) -> str:
    meters = list(score.flatten().getElementsByClass("TimeSignature"))
    return str(meters[0].ratioString) if meters else "4/4"


def _fifths(score: Any) -> int:
    signatures = list(score.flatten().getElementsByClass("KeySignature"))
    return int(signatures[0].sharps) if signatures else 0


def _quarter_s(score: Any, style: str, notes: np.ndarray) -> float:
    """Seconds per quarter: the score's own mark or a usual tempo of the style, pulled into a playable range."""
    marks = [m for m in score.flatten().getElementsByClass("MetronomeMark") if m.number or m.numberSounding]
    bpm = None
    if style == "quartet" and marks:
        bpm = marks[0].getQuarterBPM()
    if not bpm:
        bpm = _TEMPO_BPM.get(f"{style} {_meter(score)}", _TEMPO_BPM[style])
    low, high = _NOTES_PER_S[style]
    span = float((notes[:, 0] + notes[:, 1]).max() - notes[:, 0].min())
    busiest = max(len(np.unique(notes[notes[:, 3] == part, 0])) for part in np.unique(notes[:, 3]))
    per_quarter = busiest / max(span, 1.0)
    return 60.0 / float(np.clip(bpm, 60.0 * low / per_quarter, 60.0 * high / per_quarter))


def _to_piece(score: Any, key: str, title: str, source: str, style: str) -> Piece | None:
    """A parsed score as a Piece, or None if it holds too little to be played."""
    parts = list(score.parts) or [score]
    rows = [(*note, index) for index, part in enumerate(parts) for note in _part_notes(part)]
    if len(rows) < 16:
        return None
    notes = np.array(rows, dtype=np.float32)
    notes = notes[np.lexsort((notes[:, 3], notes[:, 2], notes[:, 0]))]
    first = float(notes[0, 0])  # leading rests are dropped
    bars = np.array([m.getOffsetInHierarchy(score) for m in parts[0].getElementsByClass("Measure")], dtype=np.float32)
    notes[:, 0] -= first
    bars = np.unique(np.maximum(bars - first, 0.0))
    length = float((notes[:, 0] + notes[:, 1]).max())
    if len(bars) < 2:
        bars = np.arange(0.0, length, 4.0, dtype=np.float32)
    return Piece(key, title, source, style, _quarter_s(score, style, notes), _fifths(score), notes, bars)


def read_file(root: Path, index: int, name: str) -> list[Piece]:
    """All pieces of one corpus file (`index` into SOURCES); unreadable ones are reported in the log and left out."""
    from music21 import converter, stream

    source = SOURCES[index]
    path = root / name
    if path.suffix != ".abc" and _has_rights_statement(path):
        _log.warning("%s left out: it carries a rights statement", name)
        return []
    stem = name.rsplit(".", 1)[0]
    try:
        parsed = converter.parse(path, forceSource=True, storePickle=False)
    except Exception as error:  # noqa: BLE001 - music21 raises all kinds for bad files, and one must not end the run
        _log.warning("%s left out: %s", name, error)
        return []
    scores = list(parsed.scores) if isinstance(parsed, stream.Opus) else [parsed]
    rhythms = tune_rhythms(path.read_text(encoding="utf-8", errors="replace")) if path.suffix == ".abc" else {}
    pieces = []
    for number, score in enumerate(scores):
        title = score.metadata.title if score.metadata else None
        key = f"{stem}#{number}" if len(scores) > 1 else stem
        try:
            style = source.style
            if style == TUNES:
                reference = str(score.metadata.number)
                book_number = int(reference) if source.name.startswith("O'Neill") else None
                style = tune_style(_meter(score), rhythms.get(reference, ""), book_number)
            piece = _to_piece(score, key, " ".join((title or stem).split()), source.name, style)
        except Exception as error:  # noqa: BLE001 - likewise
            _log.warning("%s left out: %s", key, error)
            continue
        if piece is not None:
            pieces.append(piece)
    return pieces


def _read_job(job: tuple[Path, int, str]) -> list[Piece]:
    return read_file(*job)


def read_corpus(
    files: Iterable[tuple[int, str]] | None = None,
    workers: int = 2,
    progress: Callable[[Iterable[list[Piece]], int], Iterable[list[Piece]]] | None = None,
) -> list[Piece]:
    """Parse corpus files (all of `corpus_files` by default) over processes, in their fixed order."""
    root = corpus_root()
    jobs = [(root, index, name) for index, name in (corpus_files(root) if files is None else files)]
    # Long files first, so that no worker is left alone with one at the end; the order of the result is restored below.
    order = sorted(range(len(jobs)), key=lambda i: -(root / jobs[i][2]).stat().st_size)
    with shared(_read_job, [jobs[i] for i in order], workers, chunksize=4) as done:
        results = done if progress is None else progress(done, len(jobs))
        by_job = dict(zip(order, results, strict=True))
    return [piece for i in range(len(jobs)) for piece in by_job[i]]


def save_pieces(path: Path, pieces: list[Piece]) -> None:
    """Write pieces to one compressed file, atomically."""
    head = [{k: v for k, v in asdict(p).items() if k not in ("notes", "bars")} for p in pieces]
    temporary = path.with_name(f".{path.name}.part.npz")
    np.savez_compressed(
        temporary,
        notes=np.concatenate([p.notes for p in pieces]),
        bars=np.concatenate([p.bars for p in pieces]),
        note_counts=np.array([len(p.notes) for p in pieces]),
        bar_counts=np.array([len(p.bars) for p in pieces]),
        head=np.array(json.dumps({"version": VERSION, "pieces": head})),
    )
    os.replace(temporary, path)


def load_pieces(path: Path) -> list[Piece]:
    """Read what `save_pieces` wrote; ValueError if another version of this module wrote it."""
    with np.load(path, allow_pickle=False) as stored:
        head = json.loads(str(stored["head"]))
        if head["version"] != VERSION:
            raise ValueError(f"{path}: got version {head['version']} of the score cache, wanted {VERSION}: delete it")
        notes = np.split(stored["notes"], np.cumsum(stored["note_counts"])[:-1])
        bars = np.split(stored["bars"], np.cumsum(stored["bar_counts"])[:-1])
    return [Piece(**item, notes=n, bars=b) for item, n, b in zip(head["pieces"], notes, bars, strict=True)]
