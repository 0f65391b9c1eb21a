"""What a model's features stand for: sound, a picture, points in a plane. A checkpoint names its codec.

Composer, engine, film and page know features by their codec alone: their shape, their bounds, and how they look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .base import BELIEF, Codec, Limits
from .image import ImageCodec
from .log_mel import LogMel
from .magnitude_phase import MagnitudePhase
from .points import Points

CODECS: dict[str, type[LogMel] | type[ImageCodec] | type[Points] | type[MagnitudePhase]] = {
    "log-mel": LogMel,
    "image": ImageCodec,
    "points": Points,
    "magnitude-phase": MagnitudePhase,
}
UNNAMED = "log-mel"
"""What a configuration means that names none: those from before there was a choice."""


def codec_from(settings: Mapping[str, Any]) -> Codec:
    """The codec of a configuration: its `name` in CODECS and its arguments; ValueError for what it does not have."""
    arguments = dict(settings)
    name = arguments.pop("name", UNNAMED)
    if name not in CODECS:
        raise ValueError(f"codec: got the name {name!r}, allowed {', '.join(CODECS)}")
    try:
        return CODECS[name](**arguments)
    except TypeError as error:
        raise ValueError(f"codec: got {', '.join(arguments)} for {name} ({error})") from error


def settings_of(codec: LogMel | ImageCodec | Points | MagnitudePhase) -> dict[str, Any]:
    """Inverts `codec_from`."""
    name = next(name for name, kind in CODECS.items() if type(codec) is kind)
    return {"name": name, **asdict(codec)}


__all__ = [
    "BELIEF",
    "CODECS",
    "Codec",
    "ImageCodec",
    "Limits",
    "LogMel",
    "MagnitudePhase",
    "Points",
    "codec_from",
    "settings_of",
]
