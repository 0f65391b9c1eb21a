import math

import numpy as np
import pytest
import torch

from diffusion.audio.codec import LogMelCodec, MelParameters
from diffusion.audio.mel import mel_filters

RATE = 32_000
SMALL = MelParameters(sample_rate_hz=800, fft_size=64, hop_size=16, bands=6, low_hz=30, high_hz=400)


@pytest.mark.parametrize("mel", [MelParameters(), SMALL, MelParameters(44_100, bands=100, low_hz=0, high_hz=22_050)])
def test_filters_and_centres_are_those_of_librosa(mel: MelParameters) -> None:
    librosa = pytest.importorskip("librosa")
    limits = {"n_mels": mel.bands, "fmin": mel.low_hz, "fmax": mel.high_hz}
    filters = librosa.filters.mel(sr=mel.sample_rate_hz, n_fft=mel.fft_size, **limits)
    np.testing.assert_allclose(mel_filters(mel), filters, rtol=1e-5, atol=1e-8)
    centres_hz = librosa.mel_frequencies(mel.bands + 2, fmin=mel.low_hz, fmax=mel.high_hz)[1:-1]
    np.testing.assert_allclose(mel.frequencies_hz, centres_hz, rtol=1e-9)


def seconds(duration: float) -> torch.Tensor:
    return torch.arange(round(duration * RATE) // 512 * 512) / RATE


def notes(*fundamentals_hz: float) -> torch.Tensor:
    """Two struck notes a second with twelve harmonics each, 4 s."""
    t = seconds(4)
    envelope = torch.exp(-4 * (t % 0.5)) * (1 - torch.exp(-400 * (t % 0.5)))
    tone = sum(torch.sin(2 * math.pi * f * k * t) / k for f in fundamentals_hz for k in range(1, 13))
    return 0.3 * envelope * tone / len(fundamentals_hz)


def bursts() -> torch.Tensor:
    t = seconds(4)
    noise = torch.randn(t.shape, generator=torch.Generator().manual_seed(1))
    return 0.1 * noise * torch.exp(-8 * (t % 1))


SIGNALS = {"note": notes(220), "chord": notes(196, 246.9, 293.7), "bursts": bursts()}


@pytest.fixture(scope="module")
def codec() -> LogMelCodec:
    return LogMelCodec()


def test_frames_and_rate(codec):
    assert codec.mel.frames_per_s == 62.5
    assert codec.mel.frames_of(10.24) == 640
    assert codec.encode(torch.zeros(2, 327_680)).shape == (2, 1, 128, 640)
    assert codec.decode(torch.zeros(2, 1, 128, 5)).shape == (2, 5 * 512)
    assert codec.decode(torch.zeros(1, 1, 128, 1)).shape == (1, 512)


def test_frequencies_ascend_within_the_range(codec):
    centres = codec.mel.frequencies_hz
    assert centres.shape == (128,)
    assert centres[0] > 30
    assert centres[-1] < 16_000
    assert (np.diff(centres) > 0).all()


@pytest.mark.parametrize("band", [10, 40, 90, 126])
def test_a_sine_is_loudest_in_its_band(codec, band):
    wave = 0.5 * torch.sin(2 * math.pi * codec.mel.frequencies_hz[band] * seconds(0.5))
    features = codec.encode(wave[None])[0, 0]
    assert (features[:, 2:-2].argmax(0) == band).all()


def test_silence_is_the_lower_bound_and_a_full_scale_sine_stays_below_the_upper(codec):
    low, high = codec.bounds
    torch.testing.assert_close(codec.encode(torch.zeros(1, 2048)), torch.full((1, 1, 128, 4), low))
    loudest = max(
        codec.encode(torch.sin(2 * math.pi * f * seconds(0.1))[None]).max().item() for f in range(50, 15_900, 97)
    )
    assert high - 0.15 < loudest < high


def test_one_natural_logarithm_unit_is_a_quarter(codec):
    wave = SIGNALS["bursts"][None, :16_384]
    difference = codec.encode(wave * math.e) - codec.encode(wave)
    torch.testing.assert_close(difference, torch.full_like(difference, 0.25), atol=1e-4, rtol=0)


def test_frames_are_centred_on_their_hop(codec):
    wave = torch.zeros(1, 16 * 512)
    wave[0, 7 * 512 + 256] = 1
    energy = codec.encode(wave)[0, 0].mean(0)
    assert energy.argmax() == 7
    # Up to one sample, by which a periodic window is longer than it is symmetric.
    backwards = codec.encode(SIGNALS["chord"][None].flip(1)).flip(3)
    torch.testing.assert_close(backwards, codec.encode(SIGNALS["chord"][None]), atol=0.02, rtol=0)


def test_crops_on_the_hop_grid_agree_inside(codec):
    wave = SIGNALS["chord"][None]
    whole, part = codec.encode(wave), codec.encode(wave[:, 20 * 512 : 60 * 512])
    torch.testing.assert_close(part[..., 2:-2], whole[..., 22:58], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "distance"), [("note", 0.25), ("chord", 0.25), ("bursts", 0.12)])
def test_round_trip_keeps_the_mel_spectrum(codec, name, distance):
    features = codec.encode(SIGNALS[name][None])
    again = codec.encode(codec.decode(features))
    assert (again - features).abs().mean() * codec.mel.scale < distance  # natural log units
    louder = features > features.max() - 1.5  # what is within 52 dB of the loudest
    assert (again - features)[louder].abs().mean() * codec.mel.scale < distance


def test_round_trip_keeps_level_and_time(codec):
    wave = SIGNALS["chord"]
    again = codec.decode(codec.encode(wave[None]))[0]
    assert 0.8 < again.norm() / wave.norm() < 1.1
    energy = wave.reshape(-1, 512).norm(dim=1)
    energy_again = again.reshape(-1, 512).norm(dim=1)
    assert torch.corrcoef(torch.stack([energy, energy_again]))[0, 1] > 0.97


def test_round_trip_keeps_the_pitch(codec):
    again = codec.decode(codec.encode(SIGNALS["note"][None]))[0]
    spectrum = torch.fft.rfft(again).abs()
    assert abs(spectrum.argmax().item() * RATE / again.shape[0] - 220) < 4


def test_silence_decodes_to_silence(codec):
    wave = codec.decode(codec.encode(torch.zeros(1, 8192)))
    assert wave.abs().max() < 1e-4
    assert torch.isfinite(codec.decode(torch.full((1, 1, 128, 4), -1e9))).all()


def test_decode_clips_to_the_bounds(codec):
    features = codec.encode(SIGNALS["note"][None, :8192])
    wild = features.clone()
    wild[..., 3:5] = 1e6
    tame = wild.clamp(*codec.bounds)
    torch.testing.assert_close(codec.decode(wild), codec.decode(tame))


def test_each_item_alone_equals_itself_in_a_batch(codec):
    waves = torch.stack(list(SIGNALS.values()))[:, :32_768].double()
    features = codec.encode(waves)
    decoded = codec.decode(features)
    for i in range(3):
        torch.testing.assert_close(codec.encode(waves[i : i + 1]), features[i : i + 1])
        torch.testing.assert_close(codec.decode(features[i : i + 1]), decoded[i : i + 1], atol=1e-6, rtol=0)


def test_decode_is_deterministic_and_leaves_the_random_state(codec):
    features = codec.encode(SIGNALS["chord"][None, :16_384])
    torch.manual_seed(5)
    first = codec.decode(features)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    torch.testing.assert_close(drawn, torch.rand(3))
    assert torch.equal(first, codec.decode(features))


def test_encode_has_the_gradient_it_claims():
    small = LogMelCodec(SMALL)
    wave = torch.randn(2, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(2), requires_grad=True)
    assert torch.autograd.gradcheck(small.encode, (wave,))


def test_the_gradient_at_silence_is_zero_not_nan(codec):
    wave = torch.zeros(1, 4096, requires_grad=True)
    codec.encode(wave).sum().backward()
    assert torch.equal(wave.grad, torch.zeros_like(wave))


def test_precision_and_state(codec):
    wave = SIGNALS["chord"][None, :16_384]
    features = codec.encode(wave.double())
    assert features.dtype == torch.float64
    torch.testing.assert_close(codec.encode(wave).double(), features, atol=1e-3, rtol=0)
    assert codec.decode(features).dtype == torch.float64
    assert not codec.state_dict()
    assert not list(codec.parameters())


def test_another_decoder_takes_the_place_of_griffin_lim():
    class Constant:
        def __call__(self, mel_magnitude):
            return mel_magnitude.mean(1).repeat_interleave(512, dim=1)

    codec = LogMelCodec(decoder=Constant())
    wave = codec.decode(torch.zeros(1, 1, 128, 3))
    torch.testing.assert_close(wave, torch.full((1, 1536), math.exp(-4.5)))


@pytest.mark.parametrize("shape", [(1, 0), (1, 512), (1, 1025), (2048,), (1, 1, 2048)])
def test_encode_refuses_other_shapes(codec, shape):
    with pytest.raises(ValueError, match=r"wave must have shape \(B, N\) with N a multiple of 512 and at least 1024"):
        codec.encode(torch.zeros(shape))


def test_encode_refuses_other_types(codec):
    with pytest.raises(ValueError, match=r"wave must be float32 or float64, got torch\.int16"):
        codec.encode(torch.zeros(1, 2048, dtype=torch.int16))


@pytest.mark.parametrize("shape", [(1, 128, 4), (1, 2, 128, 4), (1, 1, 64, 4), (1, 1, 128, 0)])
def test_decode_refuses_other_shapes(codec, shape):
    with pytest.raises(ValueError, match=r"features must have shape \(B, 1, 128, F\), got"):
        codec.decode(torch.zeros(shape))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_decode_refuses_what_is_not_finite(codec, value):
    features = torch.zeros(1, 1, 128, 4)
    features[0, 0, 5, 2] = value
    with pytest.raises(ValueError, match="features must be finite"):
        codec.decode(features)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        ({"sample_rate_hz": 0}, "sample_rate_hz"),
        ({"bands": -1}, "bands"),
        ({"hop_size": 500}, "hop_size"),
        ({"high_hz": 16_001.0}, "high_hz"),
        ({"low_hz": 16_000.0}, "low_hz"),
        ({"ceiling": -12.0}, "ceiling"),
        ({"scale": math.nan}, "scale"),
    ],
)
def test_parameters_refuse_nonsense(wrong, name):
    with pytest.raises(ValueError, match=name):
        MelParameters(**wrong)


def test_more_bands_than_bins_are_refused():
    with pytest.raises(ValueError, match="bands must be few enough"):
        LogMelCodec(MelParameters(bands=1000))


@pytest.mark.parametrize("duration", [0, -1, math.nan, math.inf])
def test_frames_of_refuses_what_is_no_duration(codec, duration):
    with pytest.raises(ValueError, match="seconds must be positive and finite"):
        codec.mel.frames_of(duration)
