import math
from pathlib import Path

import pytest
import torch

from diffusion import checkpoint
from diffusion.audio.codec import LogMelCodec
from diffusion.audio.distance import mel_distance
from diffusion.audio.griffin_lim import GriffinLim
from diffusion.audio.mel import MelParameters
from diffusion.audio.vocoder import Vocoder, add_up, gaussian_derivatives
from diffusion.checkpoint import CHECKPOINTS
from diffusion.training.vocoder import phase_derivatives

MEL = MelParameters()
RATE, HOP = MEL.sample_rate_hz, MEL.hop_size
FRAME_RATE_HZ = RATE / HOP


def small() -> Vocoder:
    torch.manual_seed(0)
    vocoder = Vocoder(width=16, depth=1, hidden=32).requires_grad_(False)
    vocoder.head.weight.normal_(std=0.5)  # as sure of itself as a trained one, and wrong
    return vocoder


def shipped() -> list[Path]:
    return checkpoint.find(CHECKPOINTS, checkpoint.VocoderConfiguration)


@pytest.fixture(scope="module", params=["small", "shipped"])
def vocoder(request) -> Vocoder:
    if request.param == "small":
        return small()
    if not shipped():
        pytest.skip("no vocoder is shipped")
    return checkpoint.load_vocoder(shipped()[0])


@pytest.fixture(scope="module")
def trained() -> Vocoder:
    if not shipped():
        pytest.skip("no vocoder is shipped")
    return checkpoint.load_vocoder(shipped()[0])


def time_s(seconds: float) -> torch.Tensor:
    return torch.arange(round(seconds * FRAME_RATE_HZ) * HOP) / RATE


def chord(seconds: float = 2.56) -> torch.Tensor:
    """Two struck chords a second with overtones, (1, N)."""
    t = time_s(seconds)
    envelope = torch.exp(-4 * (t % 0.5)) * (1 - torch.exp(-400 * (t % 0.5)))
    tones = (torch.sin(2 * math.pi * f * k * t) / k for f in (196.0, 246.9, 293.7) for k in range(1, 16))
    return (0.08 * envelope * sum(tones))[None]


def hiss(seconds: float = 2.56) -> torch.Tensor:
    return 0.05 * torch.randn(1, len(time_s(seconds)), generator=torch.Generator().manual_seed(1))


def decode(vocoder: Vocoder, features: torch.Tensor) -> torch.Tensor:
    return LogMelCodec(decoder=vocoder).decode(features)


def modulation_db(wave: torch.Tensor) -> float:
    """How far the wave's loudness swings at the frame rate beyond how far it swings nearby, in dB of power."""
    power = wave[..., : wave.shape[-1] // RATE * RATE].square()
    swing = torch.fft.rfft(power / power.mean()).abs().square().reshape(-1)
    seconds = power.shape[-1] // RATE
    at = round(FRAME_RATE_HZ * seconds)
    near = torch.cat([swing[at - 12 * seconds : at - 2 * seconds], swing[at + 2 * seconds : at + 12 * seconds]])
    return 10 * math.log10(swing[at - 1 : at + 2].mean() / near.mean())


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 160])
def test_frames_become_hops(vocoder, frames):
    wave = vocoder(torch.rand(2, 128, frames))
    assert wave.shape == (2, frames * HOP)
    assert torch.isfinite(wave).all()


def test_the_longest_clip(trained):
    wave = trained(torch.rand(1, 128, 2560))
    assert wave.shape == (1, 2560 * HOP)
    assert torch.isfinite(wave).all()


def test_each_item_alone_equals_itself_in_a_batch_and_again(vocoder):
    mel_magnitude = torch.rand(3, 128, 20, generator=torch.Generator().manual_seed(2))
    together = vocoder(mel_magnitude)
    assert torch.equal(together, vocoder(mel_magnitude))
    torch.testing.assert_close(vocoder(mel_magnitude[1:2]), together[1:2], atol=1e-3, rtol=0)


def test_it_leaves_the_random_state_and_keeps_the_precision(vocoder):
    torch.manual_seed(5)
    wave = vocoder(torch.rand(1, 128, 4, dtype=torch.float64))
    drawn = torch.rand(3)
    torch.manual_seed(5)
    torch.rand(1, 128, 4, dtype=torch.float64)
    assert torch.equal(drawn, torch.rand(3))
    assert wave.dtype == torch.float64


def test_other_shapes_are_refused(vocoder):
    for shape in [(128, 4), (1, 64, 4), (1, 1, 128, 4)]:
        with pytest.raises(ValueError, match=r"mel_magnitude must have shape \(B, 128, F\), got"):
            vocoder(torch.zeros(shape))


def extremes() -> dict[str, torch.Tensor]:
    low, high = MEL.bounds
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(1, 1, 128, 160, generator=generator)
    alternating = torch.full((1, 1, 128, 160), low)
    alternating[..., ::2] = high
    impulse = torch.full((1, 1, 128, 160), low)
    impulse[:, :, 60, 80] = high
    return {
        "silence": torch.full((1, 1, 128, 160), low),
        "everything": torch.full((1, 1, 128, 160), high),
        "noise": noise,
        "half noise": 0.5 * noise - 0.3,
        "wild noise": 100 * noise,
        "every other frame": alternating,
        "one bin": impulse,
    }


@pytest.mark.parametrize("name", list(extremes()))
def test_no_features_make_it_explode(vocoder, name):
    """A wave is never much louder than what Griffin-Lim makes of the same features."""
    features = extremes()[name]
    wave, reference = decode(vocoder, features), LogMelCodec().decode(features)
    assert torch.isfinite(wave).all()
    assert wave.square().mean() <= 4 * reference.square().mean() + 1e-10
    assert wave.abs().max() <= 4 * reference.abs().max() + 1e-5


def test_framing_is_the_codecs_and_inverts():
    wave = chord()
    vocoder = small()
    spectrum = vocoder.stft(wave)
    magnitude = LogMelCodec().filters @ spectrum.abs().transpose(1, 2)
    features = LogMelCodec().encode(wave)[:, 0]
    torch.testing.assert_close((magnitude.clamp(min=MEL.floor).log() - MEL.mean) / MEL.scale, features)
    torch.testing.assert_close(vocoder.inverse(spectrum), wave, atol=1e-5, rtol=0)


def test_derivatives_of_the_phase_add_up_to_a_wave():
    """With the true derivatives the recursion gives phases that sound as the true ones do; with none it does not."""
    wave, vocoder = chord(), small()
    spectrum = vocoder.stft(wave)
    magnitude = spectrum.abs().clamp(min=1e-7)
    turns = torch.rand(1, *spectrum.shape[1:], generator=torch.Generator().manual_seed(4))
    derivatives = phase_derivatives(spectrum, MEL)
    nothing = [torch.zeros_like(each) for each in derivatives]
    near, far = (
        mel_distance(vocoder.inverse(magnitude * add_up(magnitude, *each, turns, MEL)), wave).item()
        for each in (derivatives, nothing)
    )
    assert near < 0.15 * far


def test_slopes_of_the_amplitude_tell_the_derivatives_of_the_phase():
    spectrum = small().stft(chord())
    magnitude = spectrum.abs()
    loud = magnitude > 0.2 * magnitude.amax((1, 2), keepdim=True)
    loud[:, :1] = False
    for told, true in zip(
        gaussian_derivatives(magnitude.clamp(min=1e-7).log(), MEL), phase_derivatives(spectrum, MEL), strict=True
    ):
        assert (told * true.conj()).real[loud].mean() > 0.85


def test_it_is_closer_than_griffin_lim(trained):
    wave = chord()
    features = LogMelCodec().encode(wave)
    ours, theirs = (mel_distance(LogMelCodec(decoder=each).decode(features), wave) for each in (trained, GriffinLim()))
    assert ours < theirs


def test_a_held_note_keeps_its_pitch_and_does_not_buzz(trained):
    t = time_s(4.096)
    wave = sum(0.2 / k * torch.sin(2 * math.pi * 331.0 * k * t + k) for k in range(1, 20))[None]
    again = decode(trained, LogMelCodec().encode(wave))
    middle = slice(RATE // 2, RATE // 2 + 3 * RATE)
    spectrum = torch.fft.rfft(again[0, middle] * torch.hann_window(3 * RATE)).abs()
    assert abs(spectrum.argmax().item() / 3 - 331.0) < 2
    # A wave that repeats with every frame has all its power in multiples of the frame rate.
    multiples = spectrum[(torch.arange(len(spectrum)) / 3 / FRAME_RATE_HZ % 1 - 0.5).abs() > 0.49]
    assert multiples.square().sum() < 0.1 * spectrum.square().sum()


def test_hiss_stays_hiss(trained):
    wave = hiss(4.096)
    again = decode(trained, LogMelCodec().encode(wave))
    assert 0.7 < again.norm() / wave.norm() < 1.5
    assert modulation_db(again) < modulation_db(decode(GriffinLim(), LogMelCodec().encode(wave))) - 3
    assert again.abs().max() < 2 * wave.abs().max()  # no pulses


def test_silence_is_silent(trained):
    assert decode(trained, torch.full((1, 1, 128, 160), MEL.bounds[0])).abs().max() < 1e-4


def test_it_is_small(trained):
    assert sum(each.numel() for each in trained.parameters()) <= 7_000_000
    assert (shipped()[0] / checkpoint.WEIGHTS).stat().st_size <= 14 * 2**20
