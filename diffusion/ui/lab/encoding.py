"""Panels of an experiment as the browser gets them: JSON, with arrays as base64 and pictures as data URIs.

Places are quantised to 16 bits of their box, a hundredth of a pixel, so that a trajectory of 2,000 points and 100
frames takes a megabyte.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import soundfile

from diffusion.lab.experiment import Arrows, Bars, Curve, Frame, Heat, Images, Panel, Points, Sound
from diffusion.picture import colours
from diffusion.ui.messages import LabFrame, LabPanel

LEVELS = 2**16 - 1


def frame(each: Frame) -> LabFrame:
    """A frame as a message has it."""
    return {
        "panels": {name: panel(one) for name, one in each.panels.items()},
        "progress": round(each.progress, 4),
        "t": None if each.t is None else round(each.t, 4),
        "caption": each.caption,
    }


def panel(one: Panel) -> LabPanel:
    """A panel as a message has it: its `kind`, its `title`, and what it shows."""
    kind, encode = ENCODERS[type(one)]
    return {"kind": kind, "title": one.title, **encode(one)}


def _points(one: Points) -> dict[str, Any]:
    return {"at": _places(one.at, one.box), "box": list(one.box)}


def _arrows(one: Arrows) -> dict[str, Any]:
    exact = None if one.exact is None else _rows(one.exact)
    return {"at": _rows(one.at), "learned": _rows(one.learned), "exact": exact, "box": list(one.box)}


def _images(one: Images) -> dict[str, Any]:
    pixels = one.pixels if one.pixels.ndim == 4 else np.repeat(one.pixels[..., None], 3, axis=-1)
    count, height, width = pixels.shape[:3]
    strip = np.concatenate(list(pixels), axis=1)
    return {
        "strip": _picture(strip),
        "count": count,
        "width": width,
        "height": height,
        "captions": list(one.captions),
    }


def _curve(one: Curve) -> dict[str, Any]:
    return {
        "x": _numbers(one.x),
        "y": {name: _numbers(line) for name, line in one.y.items()},
        "x_title": one.x_title,
        "y_title": one.y_title,
        "logarithmic": one.logarithmic,
    }


def _bars(one: Bars) -> dict[str, Any]:
    """Pairs, since a browser would put names that are numbers first."""
    return {"values": [[name, _number(value)] for name, value in one.values.items()], "unit": one.unit}


def _heat(one: Heat) -> dict[str, Any]:
    low, high = float(np.nanmin(one.values)), float(np.nanmax(one.values))
    share = (one.values - low) / ((high - low) or 1)
    picture = colours().take((255 * np.nan_to_num(share)).round().astype(np.uint8), axis=0)
    return {
        "picture": _picture(picture),
        "low": _number(low),
        "high": _number(high),
        "x_title": one.x_title,
        "y_title": one.y_title,
    }


def _sound(one: Sound) -> dict[str, Any]:
    file = io.BytesIO()
    soundfile.write(file, one.wave, one.rate_hz, format="FLAC")
    return {"audio": base64.b64encode(file.getvalue()).decode()}


ENCODERS: dict[type, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    Points: ("points", _points),
    Arrows: ("arrows", _arrows),
    Images: ("images", _images),
    Curve: ("curve", _curve),
    Bars: ("bars", _bars),
    Heat: ("heat", _heat),
    Sound: ("sound", _sound),
}
"""The kind by which the browser knows a panel, and what it is told of it."""


def _places(at: np.ndarray, box: tuple[float, float, float, float]) -> str:
    """Places (N, 2) within a box as base64 of little-endian uint16 pairs; those outside lie on its edge."""
    left, right, bottom, top = box
    share = (at - np.array([left, bottom])) / np.array([right - left, top - bottom])
    return base64.b64encode((LEVELS * np.clip(share, 0, 1)).round().astype("<u2").tobytes()).decode()


def _rows(values: np.ndarray) -> list[list[float]]:
    return [[round(float(each), 4) for each in row] for row in values]


def _numbers(values: np.ndarray) -> list[float | None]:
    return [_number(each) for each in np.asarray(values, dtype=float)]


def _number(value: float) -> float | None:
    """Six digits of a number; None for what JSON has no number for."""
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _picture(pixels: np.ndarray) -> str:
    """Pixels (H, W, 3) uint8 as a PNG in a data URI: nothing of so small a picture may be lost."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
