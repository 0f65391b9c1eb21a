"""Pictures: low at the bottom, dark for silence, the same colour for the same value in every frame."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from diffusion.codecs import BELIEF, LogMel
from diffusion.picture import colours, data_uri, pixels

MEL = LogMel()


def test_colours_rise_from_black_in_lightness() -> None:
    lightness = colours() @ np.array([0.2126, 0.7152, 0.0722])
    assert lightness[0] < 2
    assert lightness[-1] > 230
    assert (np.diff(np.convolve(lightness, np.ones(5) / 5, "valid")) > 0).all()


def test_colours_are_those_of_inferno() -> None:
    colormaps = pytest.importorskip("matplotlib").colormaps
    inferno = 255 * colormaps["inferno"](np.arange(256))[:, :3]
    assert np.abs(colours() - inferno).max() < 6


def test_low_bands_are_at_the_bottom_and_time_runs_right() -> None:
    features = np.full((1, 128, 10), -5.0, np.float32)
    features[0, 0, 7] = 5.0
    image = MEL.picture(features, MEL.limits(*BELIEF)).astype(int)
    assert image.shape == (128, 10, 3)
    assert image.sum(2).argmax() == 127 * 10 + 7
    np.testing.assert_array_equal(image[-1, 7], colours()[-1])
    np.testing.assert_array_equal(image[0, 0], colours()[0])


def test_the_range_is_that_of_noise_at_one_end_and_of_beliefs_at_the_other() -> None:
    assert MEL.limits(0.0, 1.0) == (-2.5, 2.5)
    low, high = MEL.limits(*BELIEF)
    assert MEL.bounds[0] <= low < high <= MEL.bounds[1]


@pytest.mark.parametrize("frames", [160, 640])
def test_a_data_uri_holds_the_picture(frames: int) -> None:
    limits = MEL.limits(*BELIEF)
    ramp = np.linspace(*limits, frames, dtype=np.float32)
    rgb = pixels(np.broadcast_to(ramp, (128, frames)), limits)
    uri = data_uri(rgb, 90)
    head, _, body = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(body))).convert("RGB")).astype(float)
    assert image.shape == (128, frames, 3)
    assert np.abs(image - rgb).mean() < 8
