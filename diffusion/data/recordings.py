"""A folder of recordings as features to train on: read, levelled and encoded once, a file at a time.

A file is encoded in parts of some minutes, each a shard of its own in `encoded`, the first one put in place last: where
it is, all are. When every file is encoded, the shards get their labels and move to `train` and `test`.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from diffusion.audio.codec import LogMelCodec
from diffusion.audio.loudness import loudness_db
from diffusion.audio.mel import MelParameters
from diffusion.data.dataset import LABELS, VERSION, save_shard
from diffusion.data.render import LOUDNESS_DB, normalise
from diffusion.files import read_json, write_text

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")
ANY = "any"
REQUIRED = ("style", "ensemble")  # labels that every model has, if only with "any"
PART_S = 300.0  # at most twice this is held in memory
BLOCK_S = 10.0
TEST_SHARE = 0.1
MISSING = 0.01  # share of a file that may be missing: lengths in headers of MP3 are not exact
LOWEST_HZ = 1000  # a header that says less is wrong, and a small file would become a disk full of features
ENDLESS = 0x7FFFF000  # a program that writes to a pipe announces this many bytes or more
MANIFEST = "recordings.json"
ENCODED = "encoded"
SPLITS = ("train", "test")
SHARD = re.compile(r"[0-9]{20}-[0-9]{4}\.safetensors")


class Refused(ValueError):
    """Why a file is left out."""


@dataclass(frozen=True)
class Recording:
    """A file as it was found: its path in the folder, size, time of its last change, labels (one that is missing: any).

    Where all of it is as before, so is its sound: then it is not encoded again.
    """

    file: str
    bytes: int
    changed_ns: int
    labels: Mapping[str, str]

    def key(self, mel: MelParameters) -> str:
        """The number under which its shards are stored."""
        what = (self.file, self.bytes, self.changed_ns, asdict(mel), LOUDNESS_DB, VERSION)
        return f"{int.from_bytes(hashlib.sha256(json.dumps(what).encode()).digest()[:8]):020d}"


def prepare(
    folder: Path,
    out: Path,
    *,
    vocabulary: Mapping[str, list[str]],
    mel: MelParameters,
    frames: int,
    clip_frames: int,
    table: Path | None = None,
    begun: bool = False,
    say: Callable[[str], None] = print,
    progress: Callable[[Iterable[Recording]], Iterable[Recording]] = lambda recordings: recordings,
) -> None:
    """Encode the recordings in `folder` into `out`/train and `out`/test, as `Features` reads them.

    Labels come from a CSV `table`, or from the names of folders: the first is the style, the second the ensemble. The
    values are those of `vocabulary`, which keep their numbers, and those found. A file shorter than a crop (the smaller
    of `frames` and `clip_frames`) is left out, and so is one that cannot be read: `say` gets a line for each. A file is
    in one split only; a tenth of those as long as a clip is held out, but never all of a label.

    What is encoded is used again, so an interrupted call goes on where it stopped. New, changed and removed files are
    taken up, unless training on this data has `begun`: then it stays as it is. ValueError if nothing can be trained on,
    if the table is wrong or if `out` cannot be written.
    """
    foreign = [path for each in SPLITS for path in (out / each).glob("*") if not SHARD.search(path.name)]
    if foreign:
        raise ValueError(f"out: {foreign[0]} is other data; choose another folder")
    found = find_recordings(folder, table, say)
    source: dict[str, Any] = {
        "vocabulary": dict(vocabulary),
        "codec": asdict(mel),
        "crops": [frames, clip_frames],
        "files": {each.file: [each.bytes, each.changed_ns, dict(each.labels)] for each in found},
    }
    manifest = _read_manifest(out)
    if manifest is not None:
        changes = _changes(manifest["source"], source)
        if not changes:
            say(f"audio: {folder} is encoded already ({manifest['summary']})")
            return
        if begun:
            say(f"audio: {folder} has changed since this run began ({changes}); it goes on with the data that it has")
            say("audio: a run in another folder takes the changes up; --init begins it with the weights of this one")
            return
        say(f"audio: {folder} has changed ({changes})")
    elif begun:
        raise ValueError(f"out: a run on other data is in {out.parent}; choose another folder")
    (out / MANIFEST).unlink(missing_ok=True)

    shortest = min(frames, clip_frames)
    lengths: dict[str, int] = {}
    for recording in progress(found):
        try:
            lengths[recording.file] = _encode(recording, folder, out, mel, shortest, say)
        except Refused as why:
            say(f"{recording.file}: left out: {why}")
    kept = [each for each in found if each.file in lengths]
    if not kept:
        raise ValueError(f"audio: none of the {len(found)} files in {folder} can be trained on")
    if max(lengths.values()) < clip_frames:
        raise ValueError(
            f"clip_frames: got {clip_frames} ({clip_frames / mel.frames_per_s:.2f} s), but the longest recording in "
            f"{folder} has {max(lengths.values())} ({max(lengths.values()) / mel.frames_per_s:.2f} s): choose "
            "--clip-frames that fit"
        )
    long = [each for each in kept if lengths[each.file] >= clip_frames]
    if len(long) < len(kept):
        say(
            f"audio: {len(kept) - len(long)} of {len(kept)} recordings are shorter than a clip of "
            f"{clip_frames / mel.frames_per_s:.2f} s: only the crops of {shortest / mel.frames_per_s:.2f} s hear them"
        )
    labels = label_values(kept, vocabulary)
    held_out = hold_out(kept, long)
    total = _settle(kept, held_out, out, labels, mel)
    summary = f"{len(kept)} recordings, {total / mel.frames_per_s / 3600:.2f} h, {len(held_out)} held out"
    say(f"audio: {summary}; " + "; ".join(f"{name}: {', '.join(labels[name]) or ANY}" for name in labels))
    if not held_out:
        say("audio: no held-out error, for nothing can be held out: a label needs two recordings as long as a clip")
    splits = {each.file: "test" if each.file in held_out else "train" for each in kept}
    _write(out / MANIFEST, {"summary": summary, "labels": labels, "splits": splits, "source": source})


def find_recordings(folder: Path, table: Path | None, say: Callable[[str], None] = print) -> list[Recording]:
    """The audio files below a folder in the order of their names, hidden ones left out; ValueError if there is none.

    What cannot be one gets a line: a folder or a pipe with such a name, a folder that cannot be read, other kinds, a
    name that is no UTF-8. Names in the table are those of files however accents and separators are written.
    """
    if not folder.is_dir():
        raise ValueError(f"audio: got {folder}, need a folder with WAV, FLAC, Ogg or MP3 files")
    rows = None if table is None else read_table(table)
    recordings: list[Recording] = []
    others: Counter[str] = Counter()

    def unreadable(error: OSError) -> None:
        say(f"{error.filename}: left out: {error.strerror}")

    for directory, subfolders, names in os.walk(folder, onerror=unreadable):
        subfolders[:] = sorted(each for each in subfolders if not each.startswith("."))
        for name in subfolders:
            if Path(name).suffix.lower() in SUFFIXES:
                say(f"{(Path(directory) / name).relative_to(folder).as_posix()}: a folder, not a file; looked into")
        for name in sorted(names):
            path = Path(directory) / name
            if name.startswith("."):
                continue
            if path.suffix.lower() not in SUFFIXES:
                others[path.suffix.lower() or "without a suffix"] += path != table
                continue
            file = path.relative_to(folder).as_posix()
            try:
                file.encode()
            except UnicodeEncodeError:
                say(f"{os.fsencode(file).decode(errors='backslashreplace')}: left out: its name is not UTF-8")
                continue
            try:
                status = path.stat()
            except OSError as error:
                say(f"{file}: left out: {error.strerror}")
                continue
            if not stat.S_ISREG(status.st_mode):
                say(f"{file}: left out: not a regular file")
                continue
            labels = _folder_labels(file) if rows is None else rows.get(_plain(file), {})
            recordings.append(Recording(file, status.st_size, status.st_mtime_ns, labels))
    if +others:
        kinds = ", ".join(f"{suffix} {count}" for suffix, count in sorted((+others).items()))
        say(f"audio: files of other kinds are left out: {kinds}")
    if not recordings:
        raise ValueError(f"audio: got {folder}, need a folder with WAV, FLAC, Ogg or MP3 files")
    if rows is not None:
        files = {_plain(each.file) for each in recordings}
        if rows.keys() - files:
            raise ValueError(f"labels: {table} names {_some(rows.keys() - files)}: no such recording in {folder}")
        if files - rows.keys():
            say(f'audio: {len(files - rows.keys())} of {len(files)} files have no row in {table} and are "{ANY}"')
    return sorted(recordings, key=lambda each: each.file)


def read_table(table: Path) -> dict[str, dict[str, str]]:
    """The labels of each file in a CSV with the column file (its path in the folder) and some of LABELS.

    Separated by commas, semicolons or tabs, whichever its first line has. An empty cell is "any". ValueError for
    another column, or for a file that is named twice.
    """
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"labels: got {table}, need a CSV file in UTF-8 ({error})") from error
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, restkey="")
    names = [name.strip().lower() for name in reader.fieldnames or ()]
    unknown = sorted(set(names) - {"file", *LABELS})
    if "file" not in names or unknown or len(set(names)) < len(names):
        raise ValueError(
            f"labels: got the columns {', '.join(names) or 'none'} in {table}, need file, and any of "
            f"{', '.join(LABELS)}"
        )
    reader.fieldnames = names
    rows: dict[str, dict[str, str]] = {}
    for row in reader:
        line = f"{table}, line {reader.line_num}"
        if "" in row or None in row.values():
            raise ValueError(f"labels: {line} has {'more' if '' in row else 'fewer'} cells than the first line")
        file = _plain(Path(row["file"].strip().replace("\\", "/")).as_posix())
        if file in rows:
            raise ValueError(f"labels: {line} names {file} a second time")
        rows[file] = {name: value for name in LABELS if (value := _value(row.get(name, ""))) != ANY}
    return rows


def label_values(recordings: Iterable[Recording], vocabulary: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The values of each label: first those of `vocabulary`, in its order, then the new ones by name."""
    found = {name: sorted({each.labels[name] for each in recordings if name in each.labels}) for name in LABELS}
    return {
        name: [*(known := vocabulary.get(name, [])), *(value for value in found[name] if value not in known)]
        for name in LABELS
        if name in REQUIRED or name in vocabulary or found[name]
    }


def hold_out(recordings: list[Recording], long: list[Recording]) -> set[str]:
    """The files to test on: a tenth, at least one, of `long`, chosen by their names; the rest knows every label too."""
    left = Counter((name, value) for each in recordings for name, value in each.labels.items())
    wanted = min(max(1, round(TEST_SHARE * len(long))), len(long) - 1)
    chosen: set[str] = set()
    for each in sorted(long, key=lambda each: hashlib.sha256(each.file.encode()).digest()):
        if len(chosen) < wanted and all(left[label] > 1 for label in each.labels.items()):
            chosen.add(each.file)
            left.subtract(each.labels.items())
    return chosen


def waves(path: Path, sample_rate_hz: int) -> Iterator[np.ndarray]:
    """A recording as parts (N,) float32 of at most PART_S, mono; shorter than half of that only if the recording is.

    Read, mixed down and resampled in blocks. Refused if it is empty, truncated, not finite or nothing that libsndfile
    reads: by then parts may have been given.
    """
    part = round(PART_S * sample_rate_hz)
    held: list[np.ndarray] = []
    samples = 0
    for block in _blocks(path, sample_rate_hz):
        held.append(block)
        samples += len(block)
        while samples >= 2 * part:
            wave = np.concatenate(held)
            yield wave[:part]
            held, samples = [wave[part:].copy()], samples - part
    wave = np.concatenate([np.empty(0, np.float32), *held])
    yield from np.array_split(wave, 2) if samples > part else [wave]


def _blocks(path: Path, sample_rate_hz: int) -> Iterator[np.ndarray]:
    import soundfile
    import soxr

    try:
        with path.open("rb") as stream:
            if not stream.read(1):
                raise Refused("the file is empty")
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - 2**16))  # no page of Ogg is longer
            tail = stream.read()
    except OSError as error:
        raise Refused(str(error.strerror)) from error
    try:
        file = soundfile.SoundFile(path)
    except soundfile.SoundFileError as error:
        raise Refused("damaged, or not audio in a format that can be read") from error
    with file:
        data = re.search(r"^data *: (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
        if file.format == "WAV" and data and int(data[2]) < int(data[1]) < ENDLESS:
            raise Refused(f"truncated: {data[2]} of {data[1]} bytes are there")
        page = tail.rfind(b"OggS")
        if file.format == "OGG" and not (0 <= page < len(tail) - 5 and tail[page + 5] & 4):  # RFC 3533: last page
            raise Refused("truncated: its last page is missing")
        rate_hz, read = file.samplerate, 0
        if rate_hz < LOWEST_HZ:
            raise Refused(f"its header says {rate_hz} Hz, allowed from {LOWEST_HZ} Hz")
        low, high = math.inf, -math.inf
        resampler = soxr.ResampleStream(rate_hz, sample_rate_hz, 1, dtype="float32")
        while True:
            try:
                block = file.read(max(1, round(BLOCK_S * rate_hz)), dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise Refused(f"damaged or truncated after {read / rate_hz:.1f} s") from error
            if not np.isfinite(block).all():
                raise Refused(f"holds NaN or infinity after {read / rate_hz:.1f} s")
            read += len(block)
            if len(block):
                low, high = min(low, float(block.min())), max(high, float(block.max()))
                yield resampler.resample_chunk(block.mean(1))
                continue
            if read < (1 - MISSING) * file.frames:
                raise Refused(f"truncated: {read / rate_hz:.1f} of {file.frames / rate_hz:.1f} s are there")
            if read > 1 and low == high != 0:
                raise Refused(f"no sound: every sample is {low:g}")
            if read:
                yield resampler.resample_chunk(np.empty(0, np.float32), last=True)
            return


def _encode(
    recording: Recording, folder: Path, out: Path, mel: MelParameters, shortest: int, say: Callable[[str], None]
) -> int:
    """Encode a file unless it is encoded already; the frames of its longest part, at least `shortest`, or Refused."""
    key = recording.key(mel)
    stored = _stored(out, key)
    if 0 not in stored:
        for path in stored.values():
            path.unlink()
        stored = {}
        codec = LogMelCodec(mel)
        longest = silent = 0
        first: Tensor | None = None
        for wave in waves(folder / recording.file, mel.sample_rate_hz):
            frames = len(wave) // mel.hop_size
            if frames < shortest:
                raise Refused(_too_short(frames, shortest, mel))
            wave = wave[: frames * mel.hop_size] - wave.mean()
            if not bool(loudness_db(torch.from_numpy(wave)[None], mel.sample_rate_hz).isfinite()):
                silent += frames
                continue
            with torch.no_grad():
                features = codec.encode(torch.from_numpy(normalise(wave))[None])[0, 0].T.half()
            longest = max(longest, frames)
            if first is None:
                first = features
                continue
            stored[len(stored) + 1] = _save_part(out / ENCODED / f"{key}-{len(stored) + 1:04d}.safetensors", features)
        if first is None:
            raise Refused("silent")
        _save_part(out / ENCODED / f"{key}-0000.safetensors", first)
        if silent:
            say(f"{recording.file}: {silent / mel.frames_per_s:.0f} s of silence are left out")
        return longest
    longest = max(_frames(path) for path in stored.values())
    if longest < shortest:
        raise Refused(_too_short(longest, shortest, mel))
    return longest


def _too_short(frames: int, shortest: int, mel: MelParameters) -> str:
    return f"{frames / mel.frames_per_s:.2f} s long, shorter than a crop of {shortest / mel.frames_per_s:.2f} s"


def _save_part(path: Path, features: Tensor) -> Path:
    """Features (frames, bands) as a shard that has no labels yet."""
    return _save(path, {"mel": features.contiguous()}, {})


def _save(path: Path, tensors: dict[str, Tensor], settings: dict[str, Any]) -> Path:
    try:
        save_shard(path, tensors, settings)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"out: {path.parent} cannot be written ({error}); what is there is whole") from error
    return path


def _stored(out: Path, key: str) -> dict[int, Path]:
    """The shards of a file by number, wherever they are."""
    folders = (ENCODED, *SPLITS)
    return {int(path.stem[-4:]): path for each in folders for path in sorted((out / each).glob(f"{key}-*.safetensors"))}


def _frames(path: Path) -> int:
    with safe_open(path, "pt") as shard:
        return int(shard.get_slice("mel").get_shape()[0])


def _settle(
    kept: list[Recording], held_out: set[str], out: Path, labels: dict[str, list[str]], mel: MelParameters
) -> int:
    """Give every shard its labels and its split, and remove all others: the number of frames."""
    settings = {
        "version": VERSION,
        "codec": asdict(mel),
        "loudness_db": LOUDNESS_DB,
        "labels": labels,
        "sources": [],
    }
    total = 0
    wanted: set[Path] = set()
    for number, recording in enumerate(kept):
        row = {
            name: labels[name].index(recording.labels[name]) + 1 if name in recording.labels else 0 for name in LABELS
        }
        row |= {"piece": number, "family": number, "transpose": 0, "start": 0}
        for path in _stored(out, recording.key(mel)).values():
            target = out / ("test" if recording.file in held_out else "train") / path.name
            with safe_open(path, "pt") as shard:
                mels = shard.get_tensor("mel").clone()  # its file is about to be replaced
            columns = {name: torch.tensor([value]) for name, value in {**row, "frames": len(mels)}.items()}
            _save(target, {**columns, "mel": mels}, settings)
            if path != target:
                path.unlink()
            wanted.add(target)
            total += len(mels)
    for directory in (ENCODED, *SPLITS):
        for path in (out / directory).glob("*"):
            if path not in wanted:
                path.unlink()
        if (out / directory).is_dir() and not any((out / directory).iterdir()):
            (out / directory).rmdir()
    return total


def _plain(file: str) -> str:
    """A path as it is compared: some systems store an accent as a character of its own."""
    return unicodedata.normalize("NFC", file)


def _folder_labels(file: str) -> dict[str, str]:
    folders = file.split("/")[:-1]
    values = {name: _value(folder) for name, folder in zip(REQUIRED, folders, strict=False)}
    return {name: value for name, value in values.items() if value != ANY}


def _value(text: str) -> str:
    """A label as models write it: "Music Box" is "music_box"; nothing is "any"."""
    return "_".join(unicodedata.normalize("NFC", text).lower().split()) or ANY


def _changes(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What differs between two sources, in words; nothing if nothing does."""
    old, new = before["files"], now["files"]
    both = old.keys() & new.keys()
    files = {
        "new": new.keys() - old.keys(),
        "changed": {each for each in both if old[each][:2] != new[each][:2]},
        "removed": old.keys() - new.keys(),
        "with other labels": {each for each in both if old[each][2] != new[each][2]},
    }
    parts = [f"{len(names)} {what}: {_some(names)}" for what, names in files.items() if names]
    settings = {"vocabulary": "the labels of --init", "codec": "the features", "crops": "the lengths of crops"}
    return "; ".join(parts + [what for name, what in settings.items() if before[name] != now[name]])


def _some(names: Iterable[str], most: int = 3) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:most]) + (", …" if len(ordered) > most else "")


def _read_manifest(out: Path) -> dict[str, Any] | None:
    """What an earlier call has written at its end; None if there was none or it did not come that far."""
    if not (out / MANIFEST).exists():
        return None
    return dict(read_json(out / MANIFEST))


def _write(path: Path, manifest: dict[str, Any]) -> None:
    try:
        write_text(path, json.dumps(manifest, ensure_ascii=False, indent=1))
    except OSError as error:
        raise ValueError(f"out: {path.parent} cannot be written ({error}); what is there is whole") from error
