"""Clips as 16-bit WAV files that carry the settings which made them, as JSON in the file's comment."""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from torch import Tensor

SETTINGS_BYTES = 2045  # the longest comment that libsndfile reads back
FILE_BYTES = 64 * 2**20  # more than ten minutes
UNKNOWN = 2**32 - 1  # the length in the header of a file that was written into a pipe: it goes on to its end


def write_wav(
    target: str | os.PathLike[str] | BinaryIO,
    wave: Tensor | np.ndarray,
    sample_rate_hz: int,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write a mono wave (N,) within -1 and 1 to a path or a binary buffer, with `settings` inside.

    Raises ValueError for a wave that is empty, not finite or beyond full scale (it is never clipped), and for
    settings that are not JSON or take more than SETTINGS_BYTES.
    """
    import soundfile

    samples = wave.detach().cpu().numpy() if isinstance(wave, Tensor) else np.asarray(wave)
    if samples.ndim != 1 or not samples.size or not np.issubdtype(samples.dtype, np.floating):
        raise ValueError(f"wave must be floating point of shape (N,) with N > 0, got {samples.dtype} {samples.shape}")
    peak = np.abs(samples).max()
    if not peak <= 1:
        raise ValueError(f"wave must be finite and within -1 and 1, got a peak of {peak}")
    comment = None if settings is None else _encode_settings(settings)
    with soundfile.SoundFile(
        os.fspath(target) if isinstance(target, os.PathLike) else target,
        "w",
        samplerate=sample_rate_hz,
        channels=1,
        subtype="PCM_16",
        format="WAV",
    ) as file:
        if comment is not None:
            file.comment = comment
        file.write(np.round(samples * 32767).astype(np.int16))


def to_bytes(wave: Tensor | np.ndarray, sample_rate_hz: int, settings: Mapping[str, Any] | None = None) -> bytes:
    """The file that `write_wav` writes."""
    buffer = io.BytesIO()
    write_wav(buffer, wave, sample_rate_hz, settings)
    return buffer.getvalue()


def read_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The settings inside a file of `write_wav`; they come from whoever sent the file, so validate them.

    Raises ValueError for anything that is not a whole WAV file of at most FILE_BYTES with a JSON object as its comment.
    """
    import soundfile

    path = Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"path must be a regular file, got {path.name!r}")
    size = path.stat().st_size
    if size > FILE_BYTES:
        raise ValueError(f"path must hold at most {FILE_BYTES} bytes, got {size}")
    with path.open("rb") as stream:
        head = stream.read(12)
    # libsndfile knows many formats: let it parse only this one.
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise ValueError(f"path must be a WAV file, got {path.name!r} of {size} bytes that is none")
    length = int.from_bytes(head[4:8], "little")
    if length != UNKNOWN and size < 8 + length:
        raise ValueError(f"path must be a whole WAV file, got {size} of {8 + length} bytes")
    try:
        with soundfile.SoundFile(path) as file:
            comment = file.comment
    except soundfile.SoundFileError as error:
        raise ValueError(f"path must be a readable WAV file, got {path.name!r}: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"path must hold its settings in UTF-8, got {path.name!r}") from error
    return _decode_settings(comment, path.name)


def _encode_settings(settings: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(dict(settings), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"settings must be JSON values, got {error}") from error
    if size > SETTINGS_BYTES:
        raise ValueError(f"settings must take at most {SETTINGS_BYTES} bytes as JSON, got {size}")
    return text


def _decode_settings(comment: str, name: str) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    if not comment:
        raise ValueError(f"path must be a WAV file with settings inside, got {name!r} without")
    try:
        settings = json.loads(comment, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"path must hold its settings as JSON, got {name!r}: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"path must hold its settings as a JSON object, got {name!r} with {type(settings).__name__}")
    return settings
