import contextlib
import io
import os
import struct

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from diffusion.audio.wav import FILE_BYTES, SETTINGS_BYTES, read_settings, to_bytes, write_wav

RATE = 32_000
WAVE = 0.9 * torch.sin(torch.arange(3000) / 20)
SETTINGS = {"style": "Bach 🎵 «chorale»", "seed": 7, "guidance_scale": 2.5, "labels": ["音楽", None], "loop": False}

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.wav"
    write_wav(path, WAVE, RATE, SETTINGS)
    return path


def test_wave_and_settings_come_back(clip):
    samples, rate = soundfile.read(clip, dtype="int16")
    assert rate == RATE
    assert soundfile.info(clip).subtype == "PCM_16"
    np.testing.assert_allclose(samples / 32767, WAVE, atol=0.51 / 32767)
    assert read_settings(clip) == SETTINGS


@hypothesis_settings(max_examples=60, deadline=None)
@given(values=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), json_values, max_size=4))
def test_any_json_comes_back(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("wav") / "clip.wav"
    path.write_bytes(to_bytes(WAVE, RATE, values))
    assert read_settings(path) == values


def test_path_buffer_and_bytes_agree(clip):
    buffer = io.BytesIO()
    write_wav(buffer, WAVE, RATE, SETTINGS)
    assert buffer.getvalue() == clip.read_bytes() == to_bytes(WAVE.numpy(), RATE, SETTINGS)


def test_full_scale_does_not_wrap(tmp_path):
    write_wav(tmp_path / "full.wav", torch.tensor([1.0, -1.0, 0.0]), RATE)
    assert soundfile.read(tmp_path / "full.wav", dtype="int16")[0].tolist() == [32767, -32767, 0]


def test_settings_as_long_as_allowed_come_back_and_longer_ones_are_refused(tmp_path):
    frame = len('{"x":""}')
    longest = {"x": "é" * ((SETTINGS_BYTES - frame) // 2) + "a" * ((SETTINGS_BYTES - frame) % 2)}
    write_wav(tmp_path / "long.wav", WAVE, RATE, longest)
    assert read_settings(tmp_path / "long.wav") == longest
    with pytest.raises(ValueError, match=f"settings must take at most {SETTINGS_BYTES} bytes as JSON, got"):
        to_bytes(WAVE, RATE, {"x": longest["x"] + "a"})


@pytest.mark.parametrize("value", [float("nan"), object(), {1, 2}, "\ud800"])
def test_settings_that_are_not_json_are_refused(tmp_path, value):
    with pytest.raises(ValueError, match="settings must be JSON values"):
        write_wav(tmp_path / "clip.wav", WAVE, RATE, {"x": value})
    assert not (tmp_path / "clip.wav").exists()


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (torch.tensor([0.0, 1.001]), "within -1 and 1, got a peak of 1.001"),
        (torch.tensor([0.0, float("nan")]), "finite"),
        (torch.zeros(0), "N > 0"),
        (torch.zeros(2, 10), r"shape \(N,\)"),
        (torch.zeros(10, dtype=torch.int16), "floating point"),
    ],
)
def test_other_waves_are_refused(wave, message):
    with pytest.raises(ValueError, match=message):
        to_bytes(wave, RATE)


def test_a_file_without_settings_says_so(tmp_path):
    path = tmp_path / "plain.wav"
    write_wav(path, WAVE, RATE)
    with pytest.raises(ValueError, match=r"settings inside, got 'plain\.wav' without"):
        read_settings(path)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"{}", b"\x00" * 5000, b"ID3\x03" + b"\xff" * 900])
def test_a_foreign_file_is_refused(tmp_path, content):
    path = tmp_path / "foreign.wav"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="path must be a WAV file"):
        read_settings(path)


def test_other_formats_of_the_library_are_refused(tmp_path):
    path = tmp_path / "clip.wav"
    with soundfile.SoundFile(path, "w", RATE, 1, format="FLAC") as file:
        file.comment = "{}"
        file.write(WAVE.numpy())
    with pytest.raises(ValueError, match="path must be a WAV file"):
        read_settings(path)


def test_a_file_that_was_written_into_a_pipe_is_read_to_its_end(clip, tmp_path):
    content, unknown = clip.read_bytes(), b"\xff" * 4
    data = content.index(b"data")
    path = tmp_path / "streamed.wav"
    path.write_bytes(content[:4] + unknown + content[8 : data + 4] + unknown + content[data + 8 :])
    assert read_settings(path) == SETTINGS


def test_every_truncation_is_refused(clip, tmp_path):
    content = clip.read_bytes()
    path = tmp_path / "short.wav"
    for length in [*range(0, 300), len(content) // 2, len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="path must be a"):
            read_settings(path)


@hypothesis_settings(max_examples=200, deadline=None)
@given(damage=st.dictionaries(st.integers(0, 300), st.integers(0, 255), min_size=1, max_size=4))
def test_damaged_bytes_give_settings_or_a_value_error(tmp_path_factory, damage):
    content = bytearray(to_bytes(WAVE, RATE, SETTINGS))
    for position, value in damage.items():
        content[position] = value
    path = tmp_path_factory.getbasetemp() / "damaged.wav"
    path.write_bytes(content)
    with contextlib.suppress(ValueError):
        assert isinstance(read_settings(path), dict)


@pytest.mark.parametrize("comment", ["hello", "[" * 2000, "[1]", "3", '{"x":NaN}', "__import__('os')", '{"x":1}}'])
def test_a_comment_that_is_no_json_object_is_refused(tmp_path, comment):
    path = tmp_path / "hostile.wav"
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16", format="WAV") as file:
        file.comment = comment
        file.write(WAVE.numpy())
    with pytest.raises(ValueError, match="path must hold its settings as"):
        read_settings(path)


def test_a_huge_file_is_refused_unread(tmp_path):
    path = tmp_path / "huge.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", 2**31) + b"WAVE")
    os.truncate(path, FILE_BYTES + 1)
    with pytest.raises(ValueError, match=f"at most {FILE_BYTES} bytes, got {FILE_BYTES + 1}"):
        read_settings(path)


def test_directories_and_pipes_are_refused_and_nothing_is_not_found(tmp_path):
    with pytest.raises(ValueError, match="regular file"):
        read_settings(tmp_path)
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(ValueError, match="regular file"):
        read_settings(tmp_path / "pipe.wav")
    with pytest.raises(FileNotFoundError):
        read_settings(tmp_path / "none.wav")
