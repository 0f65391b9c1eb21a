"""Edits as the studio, the command line and files have them."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import soundfile

from diffusion.audio.mel import MelParameters
from diffusion.audio.wav import read_settings
from diffusion.cli import main
from diffusion.data.recordings import Refused
from diffusion.data.sources import read_source
from diffusion.edits import LONGEST_S, LONGEST_TEXT, Source, mask_of
from diffusion.engine import Clip, Preview
from diffusion.film import Film
from diffusion.request import Request
from diffusion.studio import Studio, open_studio

SHORT: dict[str, Any] = {"duration_s": 2.56, "steps": 4, "seed": 7}
MEL = MelParameters()


@pytest.fixture(scope="module")
def studio(small_checkpoint: Path) -> Studio:
    return open_studio(small_checkpoint, "cpu")


def clip(studio: Studio, *sources: Source, **settings: Any) -> Clip:
    *_, last = studio.generate(studio.request(**{**SHORT, **settings}), sources=sources)
    assert isinstance(last, Clip)
    return last


def tone(path: Path, seconds: float = 3.0, rate_hz: int = 44_100, **how: Any) -> Path:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 440 * time) * (1 + np.sin(8 * time)) / 2, rate_hz, **how)
    return path


def test_a_request_without_edits_says_nothing_of_them() -> None:
    request = Request({}, 5)
    assert "edits" not in request.to_dict()
    assert "edits" not in request.to_query()
    assert request.changed(edits={}).identity == request.identity


def test_edits_are_in_json_links_wav_and_identity(studio: Studio, tmp_path: Path) -> None:
    edits = {"loop": {}, "fork": {"at": 2, "parent": {"style": "fiddle", "seed": 9}}}
    made = clip(studio, edits=edits)
    request = studio.request(**SHORT, edits=edits)
    assert made.request == request
    assert Request.from_query(request.to_query()) == request
    assert request.identity != studio.request(**SHORT).identity
    (tmp_path / "clip.wav").write_bytes(made.to_wav())
    assert read_settings(tmp_path / "clip.wav")["edits"] == edits


@pytest.mark.parametrize(
    "edits", [3, {"x": {}}, {"loop": 3}, {"loop": {"x": 1}}, {"fork": {"at": 1}}, {"fork": {"at": "1", "parent": {}}}]
)
def test_other_edits_are_refused_before_work_is_done(studio: Studio, edits: Any) -> None:
    with pytest.raises(ValueError, match="edits: "):
        studio.request(**SHORT, edits=edits)


def test_as_many_edits_as_are_allowed_fit_into_the_file_and_more_are_refused(studio: Studio) -> None:
    labels = {
        "style": "fiddle",
        "ensemble": "music_box",
        "mode": "minor",
        "tempo": "medium",
        "key": "F#",
        "beat": "104",
    }
    sections = [{"from_s": 0.25 * number, "labels": labels} for number in range(1, 8)]
    parent = {"guidance_rule": "rescaled", "sampler": "predictor-corrector", "knobs": {"step": 0.123456789012345}}
    full = {"timeline": {"sections": sections}, "fork": {"at": 1, "parent": parent}}
    while len(json.dumps(full, separators=(",", ":"))) > LONGEST_TEXT:
        with pytest.raises(ValueError, match=f"characters of JSON, allowed {LONGEST_TEXT}"):
            studio.request(**SHORT, edits=full)
        sections.pop()
    chosen = {name: value for name, value in labels.items() if name != "style"}
    settings = {**chosen, "style": "chorale", "sampler": "dpmpp-2m-sde", "decoder": "griffin-lim", "seed": 2**32 - 1}
    assert clip(studio, **settings, edits=full).to_wav()


def test_words_of_edits_are_those_of_the_model(studio: Studio) -> None:
    for edits in (
        {"fork": {"at": 1, "parent": {"style": "polka"}}},
        {"timeline": {"sections": [{"from_s": 1, "labels": {"style": "polka"}}]}},
    ):
        with pytest.raises(ValueError, match="style: got 'polka', allowed"):
            studio.request(**SHORT, edits=edits)


def test_a_missing_source_is_named_by_digest_and_length(studio: Studio) -> None:
    edits = {"transform": {"source": "0123456789abcdef", "source_s": 2.56, "strength": 0.5}}
    with pytest.raises(ValueError, match=r"edits: need the source 0123456789abcdef of 2.56 s, which is not here"):
        clip(studio, edits=edits)


def test_a_source_that_is_too_short_or_a_mask_of_another_size_is_refused(studio: Studio) -> None:
    short = Source.of(np.zeros((1, 128, 40)))
    given = {"source": short.digest, "source_s": 0.64}
    bins = np.zeros((128, 40), bool)
    bins[0, 0] = True
    for edits in ({"transform": {**given, "strength": 0.5}}, {"inpaint": {**given, "mask": mask_of(bins)}}):
        with pytest.raises(ValueError, match="need 160 of its frames"):
            clip(studio, short, edits=edits)
    whole = Source.of(np.zeros((1, 128, 160)))
    with pytest.raises(ValueError, match="mask: got one of"):
        clip(studio, whole, edits={"inpaint": {"source": whole.digest, "source_s": 2.56, "mask": mask_of(bins)}})


def test_two_edits_that_begin_from_a_source_are_refused(studio: Studio) -> None:
    given = {"source": "0123456789abcdef", "source_s": 2.56}
    edits = {"transform": {**given, "strength": 0.5}, "continue": {**given, "keep_s": 1}}
    with pytest.raises(ValueError, match="got continue and transform, allowed one"):
        studio.request(**SHORT, edits=edits)


def test_what_is_inpainted_stays_as_loud_elsewhere(studio: Studio) -> None:
    """The gain is the source's, however loud the new part is."""
    parent = clip(studio)
    source, bins = Source.of(parent.features), np.zeros((128, 160), bool)
    bins[:, 60:100] = True
    edits = {"inpaint": {"source": source.digest, "source_s": 2.56, "mask": mask_of(bins)}}
    made = clip(studio, source, seed=9, edits=edits)
    assert np.array_equal(made.features[:, ~bins], parent.features[:, ~bins])
    assert made.gain == pytest.approx(parent.gain, rel=1e-3)
    assert made.settings["evaluations"] <= 1.5 * parent.settings["evaluations"]


def test_a_loop_has_no_fade_and_no_click(studio: Studio) -> None:
    wave, plain = clip(studio, edits={"loop": {}}).wave, clip(studio).wave
    assert abs(plain[0]) < 1e-6
    ends = np.abs(np.concatenate([wave[-160:], wave[:160]]))
    assert ends.max() > 0.05 * np.abs(wave).max()
    steps = np.abs(np.diff(wave))
    assert abs(wave[0] - wave[-1]) <= steps.max()


def test_stopping_and_the_film_go_with_edits(studio: Studio) -> None:
    edits = {
        "continue": {"source": (source := Source.of(np.zeros((1, 128, 160)))).digest, "source_s": 2.56, "keep_s": 1}
    }
    request = studio.request(**{**SHORT, "steps": 12}, edits=edits)
    film, stop = Film(studio.codec, request), Event()
    for each in studio.generate(request, stop, [source]):
        if isinstance(each, Preview):
            film.add(each)
            if each.index == 2:
                stop.set()
    assert isinstance(each, Clip)
    assert each.settings["stopped_at"] == 2
    assert not each.features[..., :62].any()
    assert len(film.story(each)["film"]) == 3


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_recordings_of_every_kind_are_sources(tmp_path: Path, name: str) -> None:
    source = read_source(tone(tmp_path / name), MEL, 4)
    assert source.features.shape[:2] == (1, 128)
    assert source.features.shape[2] % 4 == 0
    assert source.features.shape[2] == pytest.approx(187, abs=5)
    assert source.digest == read_source(tmp_path / name, MEL, 4).digest
    assert source.features.max() <= MEL.bounds[1]


def test_bad_recordings_get_their_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no sound" * 100)
    soundfile.write(tmp_path / "silent.wav", np.zeros(44_100), 44_100)
    tone(tmp_path / "short.wav", 0.02)
    tone(tmp_path / "long.flac", LONGEST_S + 1, 1000)
    tone(tmp_path / "large.wav")
    for name, what in {
        "empty.wav": "the file is empty",
        "text.wav": "not audio",
        "silent.wav": "silent",
        "short.wav": "too short",
        "long.flac": "longer than 600 s",
        "missing.wav": "No such file",
    }.items():
        with pytest.raises(Refused, match=f"source: {name}: .*{what}"):
            read_source(tmp_path / name, MEL)
    monkeypatch.setattr("diffusion.data.sources.FILE_BYTES", 1000)
    with pytest.raises(Refused, match=r"large.wav: .* MiB, allowed up to"):
        read_source(tmp_path / "large.wav", MEL)


@pytest.mark.parametrize(
    ("flags", "edit"),
    [
        (["--continue", "{tone}", "--keep-s", "1"], "continue"),
        (["--from", "{tone}", "--strength", "0.5"], "transform"),
        (["--from", "{tone}", "--mask", "{mask}"], "inpaint"),
        (["--loop"], "loop"),
        (["--fork-at", "1", "--parent", "style=fiddle", "--parent", "steps=3"], "fork"),
        (["--blend", "Ada", "--place", "0.25"], "blend"),
        (["--section", "1.5,style=fiddle,key=D"], "timeline"),
    ],
)
def test_the_command_line_has_every_edit(
    small_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], edit: str
) -> None:
    mask = tmp_path / "mask.json"
    mask.write_text(json.dumps([{"from_s": 1, "to_s": 1.5, "low_hz": 200}]))
    given = [each.format(tone=tone(tmp_path / "tone.wav"), mask=mask) for each in flags]
    common = [
        "--steps",
        "4",
        "--seed",
        "7",
        "--duration-s",
        "2.56",
        "--checkpoint",
        str(small_checkpoint),
        "--device",
        "cpu",
    ]
    main(["generate", *given, *common, "--out", str(tmp_path / "clip.wav")])
    assert list(json.loads(capsys.readouterr().out)["edits"]) == [edit]
    assert list(read_settings(tmp_path / "clip.wav")["edits"]) == [edit]


@pytest.mark.parametrize(
    "flags", [["--strength", "0.5"], ["--keep-s", "1"], ["--parent", "style=jig"], ["--section", "x"]]
)
def test_flags_that_need_another_say_so_in_a_line(small_checkpoint: Path, tmp_path: Path, flags: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["generate", *flags, "--checkpoint", str(small_checkpoint), "--out", str(tmp_path / "clip.wav")])
    assert len(str(end.value).splitlines()) == 1
    assert flags[0].removeprefix("--").partition("-")[0] in str(end.value)


def test_a_transformed_recording_sets_the_length(studio: Studio) -> None:
    edits = {"transform": {"source": "0123456789abcdef", "source_s": 7.0, "strength": 0.5}}
    assert studio.request(edits=edits).duration_s == pytest.approx(6.976)
    assert studio.request(edits=edits, duration_s=2.56).duration_s == 2.56
