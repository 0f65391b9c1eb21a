"""Recordings become features, whatever their format, length, level and labels; what cannot be read is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tracemalloc
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from diffusion.audio.mel import MelParameters
from diffusion.data import recordings
from diffusion.data.dataset import Features
from diffusion.data.recordings import (
    Recording,
    Refused,
    find_recordings,
    hold_out,
    label_values,
    prepare,
    read_table,
    waves,
)

REAL = Path(__file__).parent / "recordings"
RATE_HZ = MelParameters.sample_rate_hz
FRAMES, CLIP_FRAMES = 64, 128


def encode(folder: Path, out: Path, **settings: Any) -> list[str]:
    """What `prepare` says."""
    lines: list[str] = []
    settings = {"vocabulary": {}, "mel": MelParameters(), "frames": FRAMES, "clip_frames": CLIP_FRAMES, **settings}
    prepare(folder, out, say=lines.append, **settings)
    return lines


def music(seconds: float, rate_hz: int = RATE_HZ, channels: int = 1) -> np.ndarray:
    """A chord that fades again and again: (samples, channels)."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    wave = 0.2 * sum(np.sin(2 * np.pi * f * t) for f in (220, 277, 330)) * (1 - t % 0.5)
    return np.repeat(wave[:, None], channels, axis=1)


def save(path: Path, seconds: float = 3.0, rate_hz: int = RATE_HZ, channels: int = 1, **settings: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, music(seconds, rate_hz, channels), rate_hz, **settings)
    return path


def shards(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.safetensors"))}


def test_real_recordings_of_every_format_with_labels_from_folders(tmp_path: Path) -> None:
    lines = encode(REAL, tmp_path)
    assert "audio: files of other kinds are left out: .md 1" in lines
    assert "style: drums, plucked; ensemble: guitar, tabla" in lines[-1]
    train, test = Features(tmp_path, "train"), Features(tmp_path, "test")
    assert (len(train), len(test)) == (5, 1)
    manifest = json.loads((tmp_path / "recordings.json").read_text(encoding="utf-8"))
    assert (
        train.settings["labels"]
        == manifest["labels"]
        == {"style": ["drums", "plucked"], "ensemble": ["guitar", "tabla"]}
    )
    found = {}
    for features in (train, test):
        for i in range(len(features)):
            c = features.columns
            name = sorted(manifest["splits"])[int(c["piece"][i])]
            found[name] = (int(c["style"][i]), int(c["ensemble"][i]), int(c["frames"][i]))
            assert manifest["splits"][name] == features.split
            mel = features.performance(i)
            assert mel.isfinite().all()
            assert mel.std() > 0.3
    assert {name: labels[:2] for name, labels in found.items()} == {
        "Drums/Tabla/loop.flac": (1, 2),
        "Drums/bell.ogg": (1, 0),
        "Drums/roll.wav": (1, 0),
        "Plucked/Guitar/em9.ogg": (2, 1),
        "Plucked/Guitar/fifths.mp3": (2, 1),
        "glass.mp3": (0, 0),
    }
    assert found["Plucked/Guitar/em9.ogg"][2] == round(6 * RATE_HZ) // 512


def test_one_recording_is_the_same_in_every_format_level_rate_and_number_of_channels(tmp_path: Path) -> None:
    wave, rate_hz = soundfile.read(REAL / "Plucked/Guitar/em9.ogg", always_2d=True)
    mono = wave.mean(1)
    folder = tmp_path / "audio"
    folder.mkdir()
    for suffix in ("flac", "mp3", "ogg", "wav"):
        soundfile.write(folder / f"a.{suffix}", mono, rate_hz)
    soundfile.write(folder / "b-six-channels.wav", 0.1 * mono[:, None] * np.arange(6) / 2.5, rate_hz)
    soundfile.write(folder / "c-offset.flac", 0.05 * mono + 0.3, rate_hz, subtype="PCM_24")
    soundfile.write(folder / "d-slow.wav", recordings_resampled(mono, rate_hz, 48_000), 48_000)
    encode(folder, tmp_path / "out")
    mels = {}
    for split in ("train", "test"):
        features = Features(tmp_path / "out", split)
        mels |= {int(features.columns["piece"][i]): features.performance(i)[..., :370] for i in range(len(features))}
    reference = mels[0][..., 4:]
    for number, mel in mels.items():
        heard = (mel[..., 4:] - reference)[reference > -0.8]
        assert heard.abs().mean() < (0.06 if number in (1, 2) else 0.015), number  # MP3 and Ogg lose some
        assert abs(heard.mean()) < 0.01, number


def recordings_resampled(wave: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    import soxr

    return soxr.resample(wave, from_hz, to_hz)


def test_a_second_call_encodes_nothing_and_tells_what_has_changed(tmp_path: Path) -> None:
    folder, out = tmp_path / "audio", tmp_path / "out"
    for name in ("a/one.wav", "a/two.wav", "b/three.wav", "b/four.wav"):
        save(folder / name)
    encode(folder, out)
    before = shards(out)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}
    assert encode(folder, out) == [f"audio: {folder} is encoded already (4 recordings, 0.00 h, 1 held out)"]
    assert times == {path: path.stat().st_mtime_ns for path in out.rglob("*.safetensors")}

    save(folder / "c/five.wav", 4.0)
    save(folder / "a/two.wav", 5.0)
    (folder / "b/four.wav").unlink()
    lines = encode(folder, out, begun=True)
    assert "1 new: c/five.wav; 1 changed: a/two.wav; 1 removed: b/four.wav" in lines[0]
    assert "it goes on with the data that it has" in lines[0]
    assert shards(out) == before

    assert "has changed (1 new: c/five.wav; 1 changed: a/two.wav; 1 removed: b/four.wav)" in encode(folder, out)[0]
    train, test = Features(out, "train"), Features(out, "test")
    assert sorted([*train.columns["frames"], *test.columns["frames"]]) == [187, 187, 250, 312]
    assert train.settings["labels"]["style"] == ["a", "b", "c"]
    shutil.rmtree(out / "train")
    encode(folder, tmp_path / "again")
    table = tmp_path / "labels.csv"
    table.write_text("file,style\na/one.wav,c\n", encoding="utf-8")
    assert "4 with other labels" in encode(folder, tmp_path / "again", table=table)[1]


def test_an_interrupted_call_goes_on_with_the_next_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = tmp_path / "audio", tmp_path / "out"
    for name in "abcd":
        save(folder / f"{name}.wav")

    def stop_at_third(found: Any) -> Any:
        for number, each in enumerate(found):
            if number == 2:
                raise KeyboardInterrupt
            yield each

    with pytest.raises(KeyboardInterrupt):
        encode(folder, out, progress=stop_at_third)
    assert len(shards(out)) == 2
    with pytest.raises(FileNotFoundError):
        Features(out, "train")
    read: list[str] = []
    original = recordings.waves
    monkeypatch.setattr(recordings, "waves", lambda path, rate: read.append(path.name) or original(path, rate))
    encode(folder, out)
    assert read == ["c.wav", "d.wav"]
    assert len(Features(out, "train")) + len(Features(out, "test")) == 4
    assert {path.name for path in out.iterdir()} == {"train", "test", "recordings.json"}


def test_files_that_cannot_be_read_are_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "audio"
    save(folder / "good.wav")
    save(folder / "telephone.wav", rate_hz=8000)
    save(folder / "surround.flac", channels=6)
    (folder / "folder.mp3").mkdir()
    save(folder / "folder.mp3/inside.ogg")
    (folder / "empty.wav").touch()
    (folder / "text.wav").write_text("Dear diary, " * 100, encoding="utf-8")
    (folder / "text.mp3").write_text("Dear diary, " * 1000, encoding="utf-8")
    soundfile.write(folder / "no samples.wav", np.zeros((0, 1)), RATE_HZ)
    soundfile.write(folder / "one sample.wav", np.ones(1), RATE_HZ)
    save(folder / "short.ogg", 0.5)
    soundfile.write(folder / "silent.flac", np.zeros(3 * RATE_HZ), RATE_HZ)
    for value, name in ((np.nan, "nan.wav"), (np.inf, "infinite.wav")):
        wave = music(13.0)
        wave[int(12.5 * RATE_HZ)] = value
        soundfile.write(folder / name, wave, RATE_HZ, subtype="FLOAT")
    for suffix in ("wav", "flac", "ogg", "mp3"):
        whole = save(folder / f"truncated.{suffix}", 12.0)
        whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "nowhere.wav").symlink_to(folder / "missing")
    os.mkfifo(folder / "pipe.wav")
    (folder / "._good.wav").write_bytes(b"resource fork")
    (folder / "cover.jpg").write_bytes(b"jpg")

    lines = encode(folder, tmp_path / "out")
    expected = {
        "folder.mp3": "a folder, not a file; looked into",
        "empty.wav": "left out: the file is empty",
        "text.wav": "left out: damaged, or not audio in a format that can be read",
        "text.mp3": "left out: damaged, or not audio in a format that can be read",
        "no samples.wav": "left out: 0.00 s long, shorter than a crop of 1.02 s",
        "one sample.wav": "left out: 0.00 s long, shorter than a crop of 1.02 s",
        "short.ogg": "left out: 0.50 s long, shorter than a crop of 1.02 s",
        "silent.flac": "left out: silent",
        "nan.wav": "left out: holds NaN or infinity after 10.0 s",
        "infinite.wav": "left out: holds NaN or infinity after 10.0 s",
        "truncated.wav": "left out: truncated: ",
        "truncated.flac": "left out: damaged",
        "truncated.ogg": "left out: truncated: its last page is missing",
        "truncated.mp3": "left out: truncated: ",
        "nowhere.wav": "left out: No such file or directory",
        "pipe.wav": "left out: not a regular file",
    }
    for name, why in expected.items():
        (line,) = (line for line in lines if line.startswith(f"{name}: "))
        assert line.startswith(f"{name}: {why}"), line
    assert len(lines) == len(expected) + 2, lines  # and .jpg, and what there is
    assert "4 recordings" in lines[-1]
    kept = json.loads((tmp_path / "out/recordings.json").read_text(encoding="utf-8"))["splits"]
    assert sorted(kept) == ["folder.mp3/inside.ogg", "good.wav", "surround.flac", "telephone.wav"]


def test_files_and_folders_without_permission_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "audio"
    save(folder / "good.wav")
    save(folder / "closed.wav").chmod(0)
    save(folder / "closed/good.wav").parent.chmod(0)
    if os.access(folder / "closed.wav", os.R_OK):
        pytest.skip("this user may read everything")
    lines = encode(folder, tmp_path / "out")
    (folder / "closed").chmod(0o700)
    assert "closed.wav: left out: Permission denied" in lines
    assert f"{folder / 'closed'}: left out: Permission denied" in lines


def test_nothing_that_can_be_trained_on(tmp_path: Path) -> None:
    folder = tmp_path / "audio"
    for path in (tmp_path / "nowhere", save(tmp_path / "file.wav")):
        with pytest.raises(ValueError, match=f"audio: got {path}, need a folder"):
            encode(path, tmp_path / "out")
    folder.mkdir()
    with pytest.raises(ValueError, match="need a folder with WAV, FLAC, Ogg or MP3 files"):
        encode(folder, tmp_path / "out")
    (folder / "empty.wav").touch()
    with pytest.raises(ValueError, match=r"audio: none of the 1 files in .* can be trained on"):
        encode(folder, tmp_path / "out")
    save(folder / "short.wav", 1.5)
    with pytest.raises(ValueError, match=r"clip_frames: got 128 \(2.05 s\), but the longest recording in .* has 93"):
        encode(folder, tmp_path / "out")


def test_recordings_shorter_than_a_clip_serve_the_shorter_crops_and_one_alone_is_not_held_out(tmp_path: Path) -> None:
    save(tmp_path / "audio/short.wav", 1.5)
    save(tmp_path / "audio/long.wav", 3.0)
    lines = encode(tmp_path / "audio", tmp_path / "out")
    assert "1 of 2 recordings are shorter than a clip of 2.05 s: only the crops of 1.02 s hear them" in lines[0]
    assert "nothing can be held out" in lines[-1]
    train = Features(tmp_path / "out", "train")
    assert not (tmp_path / "out/test").exists()
    train.crop(np.random.default_rng(0), CLIP_FRAMES, 8)


def test_other_data_in_the_folder_is_not_touched(tmp_path: Path) -> None:
    save(tmp_path / "audio/long.wav")
    other = tmp_path / "out/train/00000.safetensors"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"precious")
    with pytest.raises(ValueError, match=f"out: {other} is other data"):
        encode(tmp_path / "audio", tmp_path / "out")
    assert other.read_bytes() == b"precious"
    with pytest.raises(ValueError, match="out: a run on other data is in"):
        encode(tmp_path / "audio", tmp_path / "elsewhere", begun=True)


def test_a_full_disk_leaves_whole_shards_only(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the second of three files is too long for it."""
    for name, seconds in (("a", 3.0), ("b", 20.0), ("c", 3.0)):
        save(tmp_path / f"audio/{name}.wav", seconds)
    script = (
        "import resource, sys, pathlib\n"
        "from diffusion.audio.mel import MelParameters\n"
        "from diffusion.data.recordings import prepare\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "prepare(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), vocabulary={}, mel=MelParameters(), frames=64,"
        " clip_frames=128)"
    )
    arguments = [sys.executable, "-c", script, str(tmp_path / "audio"), str(tmp_path / "out")]
    result = subprocess.run(arguments, capture_output=True, text=True)
    assert result.returncode == 1
    assert "ValueError: out: " in result.stderr
    assert "cannot be written" in result.stderr
    (left,) = (path for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert left.suffix == ".safetensors"
    encode(tmp_path / "audio", tmp_path / "out")
    assert left.name in {path.name for path in (tmp_path / "out").glob("*/*")}


def test_a_long_recording_is_read_in_parts_that_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "long.flac", 47.0, 22_050, 2)
    (whole,) = waves(path, RATE_HZ)
    assert len(whole) == pytest.approx(47 * RATE_HZ, abs=2)
    monkeypatch.setattr(recordings, "PART_S", 10.0)
    parts = list(waves(path, RATE_HZ))
    assert [round(len(part) / RATE_HZ, 1) for part in parts] == [10, 10, 10, 8.5, 8.5]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_memory_does_not_grow_with_the_length_of_a_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "PART_S", 5.0)
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 8000, 1, subtype="PCM_U8") as file:
        for _ in range(60):
            file.write(music(10.0, 8000))
    next(waves(path, RATE_HZ))  # imports
    tracemalloc.start()
    seconds = sum(len(part) for part in waves(path, RATE_HZ)) / RATE_HZ
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds == pytest.approx(600, abs=0.01)
    assert peak < 12_000_000  # the whole wave takes 77 MB


def test_silence_inside_a_long_recording_is_left_out_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recordings, "PART_S", 5.0)
    wave = music(20.0)
    wave[5 * RATE_HZ : 10 * RATE_HZ] = 0
    (tmp_path / "audio").mkdir()
    soundfile.write(tmp_path / "audio/a.wav", wave, RATE_HZ)
    assert encode(tmp_path / "audio", tmp_path / "out")[0] == "a.wav: 5 s of silence are left out"
    assert Features(tmp_path / "out", "train").columns["frames"].tolist() == [312, 312, 312]


def test_a_truncated_recording_is_refused_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of it may have been stored by then: none of them stays."""
    monkeypatch.setattr(recordings, "PART_S", 5.0)
    path = save(tmp_path / "audio/a.mp3", 40.0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    save(tmp_path / "audio/b.wav")
    with pytest.raises(Refused, match="truncated"):
        list(waves(path, RATE_HZ))
    encode(tmp_path / "audio", tmp_path / "out")
    assert len(shards(tmp_path / "out")) == 1


TABLE = "file,style,ensemble,mode,tempo\n"


@pytest.mark.parametrize(
    "text",
    [
        TABLE + "a.wav,Jazz,Music Box,minor,\nsub/b.wav,any,,,slow\n",
        "\ufeffFile;Ensemble;Style;mode;tempo\r\na.wav;music_box;jazz;MINOR;\r\nsub/b.wav;;;;slow\r\n",
        'tempo\tfile\tstyle\tensemble\tmode\n\t"a.wav"\tjazz\tmusic box\tminor\nslow\tsub/b.wav\t\tany\t\n',
    ],
)
def test_labels_from_a_table(tmp_path: Path, text: str) -> None:
    for name in ("a.wav", "sub/b.wav", "sub/c.wav"):
        save(tmp_path / "audio" / name, 0.1)
    table = tmp_path / "labels.csv"
    table.write_text(text, newline="", encoding="utf-8")
    lines: list[str] = []
    found = find_recordings(tmp_path / "audio", table, lines.append)
    assert [(each.file, each.labels) for each in found] == [
        ("a.wav", {"style": "jazz", "ensemble": "music_box", "mode": "minor"}),
        ("sub/b.wav", {"tempo": "slow"}),
        ("sub/c.wav", {}),
    ]
    assert lines == [f'audio: 1 of 3 files have no row in {table} and are "any"']


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got the columns none"),
        ("name,style\na.wav,jazz\n", "got the columns name, style in .*, need file"),
        ("file,genre\na.wav,jazz\n", "got the columns file, genre in .*, need file, and any of style, ensemble"),
        ("file,style\na.wav,jazz,loud\n", "line 2 has more cells than the first line"),
        ("file,style\na.wav\n", "line 2 has fewer cells than the first line"),
        ("file,style\na.wav,jazz\na.wav,rock\n", r"line 3 names a\.wav a second time"),
        ("file,style\nb.wav,jazz\n", r"names b\.wav: no such recording in"),
    ],
)
def test_mistakes_in_a_table_are_named(tmp_path: Path, text: str, message: str) -> None:
    save(tmp_path / "audio/a.wav", 0.1)
    table = tmp_path / "labels.csv"
    table.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=f"labels: .*{message}"):
        find_recordings(tmp_path / "audio", table)


def test_a_table_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_bytes(b"file,style\nna\xefve.wav,jazz\n")
    for path in (tmp_path / "table.csv", tmp_path / "nowhere.csv", tmp_path):
        with pytest.raises(ValueError, match=f"labels: got {path}, need a CSV file in UTF-8"):
            read_table(path)


def recording(file: str, **labels: str) -> Recording:
    return Recording(file, 1, 1, labels)


def test_known_values_keep_their_numbers_and_new_ones_follow() -> None:
    found = [recording("a", style="tango", mode="minor"), recording("b", style="reel", ensemble="bandoneon")]
    known = {"style": ["reel", "air"], "ensemble": ["flute"], "tempo": ["slow"]}
    assert label_values(found, known) == {
        "style": ["reel", "air", "tango"],
        "ensemble": ["flute", "bandoneon"],
        "mode": ["minor"],
        "tempo": ["slow"],
    }
    assert label_values([recording("a")], {}) == {"style": [], "ensemble": []}


def test_a_tenth_is_held_out_but_never_all_of_a_label() -> None:
    many = [recording(f"{i}.wav", style="common") for i in range(49)] + [recording("rare.wav", style="rare")]
    held_out = hold_out(many, many)
    assert len(held_out) == 5
    assert "rare.wav" not in held_out
    assert hold_out(many[::-1], many[::-1]) == held_out
    assert hold_out(many[:2], many[:1]) == set()
    assert len(hold_out(many[:2], many[:2])) == 1
    apart = [recording("a", style="a"), recording("b", style="b")]
    assert hold_out(apart, apart) == set()


def test_features_are_at_the_level_of_rendered_music(tmp_path: Path) -> None:
    from diffusion.audio.codec import LogMelCodec
    from diffusion.data.render import normalise

    path = save(tmp_path / "audio/a.wav")
    encode(tmp_path / "audio", tmp_path / "out")
    wave = soundfile.read(path, dtype="float32")[0]
    expected = LogMelCodec().encode(torch.from_numpy(normalise(wave)[: len(wave) // 512 * 512])[None])[0]
    actual = Features(tmp_path / "out", "train").performance(0)
    heard = expected > -0.8
    torch.testing.assert_close(actual[heard], expected[heard], atol=0.01, rtol=0)


def test_names_in_the_table_are_those_of_files_however_accents_and_separators_are_written(tmp_path: Path) -> None:
    save(tmp_path / "audio" / "piano" / unicodedata.normalize("NFD", "Für Elise.wav"))
    table = tmp_path / "labels.csv"
    name = unicodedata.normalize("NFC", "Für Elise.wav")
    for separator in ("/", "\\"):
        table.write_text(f"file,style\npiano{separator}{name},romantic\n", encoding="utf-8")
        [found] = find_recordings(tmp_path / "audio", table)
        assert found.labels == {"style": "romantic"}


def test_a_name_that_is_not_utf_8_is_named_and_the_rest_is_kept(tmp_path: Path) -> None:
    save(tmp_path / "audio" / "ok.wav")
    os.rename(save(tmp_path / "audio" / "other.wav"), os.fsencode(tmp_path / "audio") + b"/caf\xe9.wav")
    lines = encode(tmp_path / "audio", tmp_path / "out")
    assert r"caf\xe9.wav: left out: its name is not UTF-8" in lines
    assert list(json.loads((tmp_path / "out" / "recordings.json").read_text(encoding="utf-8"))["splits"]) == ["ok.wav"]


def test_a_wrong_rate_and_a_constant_signal_are_no_music(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "slow.wav", music(3.0)[:, 0], 1)
    soundfile.write(tmp_path / "constant.wav", np.full(3 * RATE_HZ, 0.25), RATE_HZ)
    with pytest.raises(Refused, match="its header says 1 Hz, allowed from 1000 Hz"):
        list(waves(tmp_path / "slow.wav", RATE_HZ))
    with pytest.raises(Refused, match=r"no sound: every sample is 0\.25"):
        list(waves(tmp_path / "constant.wav", RATE_HZ))
