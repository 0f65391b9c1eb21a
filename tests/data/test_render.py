from pathlib import Path

import numpy as np
import pytest
import torch

from diffusion.audio.loudness import loudness_db
from diffusion.data import render
from diffusion.data.ensembles import VOICES
from diffusion.data.fonts import DEFAULT_EAR_FONTS, DEFAULT_FONT, check_font, playing
from diffusion.data.labels import ENSEMBLES
from diffusion.data.performance import HOP, SAMPLE_RATE_HZ, plan_performance
from diffusion.data.synthesiser import Synthesiser

FONTS = (DEFAULT_FONT, *DEFAULT_EAR_FONTS)


@pytest.fixture(scope="module")
def synthesisers() -> dict[Path, Synthesiser]:
    return {font: Synthesiser(font) for font in FONTS}


@pytest.fixture
def synthesiser(synthesisers) -> Synthesiser:
    return synthesisers[DEFAULT_FONT]


def test_a_render_does_not_depend_on_what_came_before(make_piece, synthesiser):
    piece = make_piece(1, bars=4, parts=4)
    other = plan_performance([piece], 0, "organ", (0, 2))
    alone = Synthesiser(DEFAULT_FONT)
    for ensemble in ("strings", "piano", "choir", "brass"):
        p = plan_performance([piece], 0, ensemble, (0, 1))
        first = render.render_performance(piece, p, synthesiser)
        render.render_performance(piece, other, synthesiser)
        np.testing.assert_array_equal(first, render.render_performance(piece, p, synthesiser))
        np.testing.assert_array_equal(first, render.render_performance(piece, p, alone))


@pytest.mark.parametrize("ensemble", ENSEMBLES)
@pytest.mark.parametrize("font", FONTS, ids=lambda font: font.stem)
def test_every_ensemble_is_equally_loud_and_never_clipped(make_piece, synthesisers, ensemble, font):
    if font not in playing(FONTS, ensemble):
        pytest.skip("the font cannot play it")
    piece = make_piece(3, bars=6, parts=4)
    p = plan_performance([piece], 0, ensemble, (0, 1))
    wave = render.render_performance(piece, p, synthesisers[font])
    assert wave.dtype == np.float32
    assert wave.shape == (p.frames * HOP,)
    assert np.isfinite(wave).all()
    assert np.abs(wave).max() <= render.PEAK + 1e-6
    level_db = float(loudness_db(torch.from_numpy(wave)[None], SAMPLE_RATE_HZ))
    assert level_db == pytest.approx(render.LOUDNESS_DB, abs=0.5)
    assert abs(wave[-1]) < 1e-4


def in_semitones(wave: np.ndarray, near: float) -> float:
    """The pitch of the strongest partial of wave (n,) within a tone of the MIDI pitch `near`."""
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 8 * len(wave)))
    hz = np.arange(1, len(spectrum)) * SAMPLE_RATE_HZ / (8 * len(wave))
    pitch = 12 * np.log2(hz / 440) + 69
    return float(pitch[np.where(np.abs(pitch - near) < 2, spectrum[1:], 0).argmax()])


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_notes_sound_when_and_where_they_are_written(synthesiser, ensemble):
    for voice in set(VOICES[ensemble]):
        midi = round(0.6 * voice.lowest + 0.4 * voice.highest)
        events = np.array([[1.0, 2.0, midi, 90, 0]])
        wave = synthesiser.render(events, {0: voice}, 3 * SAMPLE_RATE_HZ)
        assert np.abs(wave[: SAMPLE_RATE_HZ - 32]).max() < 1e-6  # the resampler sees as far ahead
        sounding = wave[int(1.2 * SAMPLE_RATE_HZ) : int(1.9 * SAMPLE_RATE_HZ)]
        assert np.abs(sounding).max() > 1e-3
        assert in_semitones(sounding, midi) == pytest.approx(midi, abs=0.3)
        released = wave[-SAMPLE_RATE_HZ // 4 :]
        assert np.abs(released).max() < 0.5 * np.abs(sounding).max() or voice.held == 1.0, "it falls when let go"


def test_voices_of_an_ensemble_are_evenly_loud(synthesiser):
    for ensemble in ("strings", "flute", "reeds", "brass", "choir"):
        levels = []
        for voice in VOICES[ensemble]:
            low, high = round(0.7 * voice.lowest + 0.3 * voice.highest), round(0.3 * voice.lowest + 0.7 * voice.highest)
            events = np.array([[k, k + 0.9, pitch, 80, 0] for k, pitch in enumerate(range(low, high + 1, 3))])
            wave = synthesiser.render(events, {0: voice}, len(events) * SAMPLE_RATE_HZ)
            levels.append(float(loudness_db(torch.from_numpy(wave)[None], SAMPLE_RATE_HZ)))
        assert np.ptp(levels) < 4.5, ensemble


def test_rooms_are_light_and_differ(make_piece, synthesiser):
    rooms = [render.room((0, k)) for k in range(20)]
    for each in rooms:
        assert each[0] == 1.0
        wet_db = 10 * np.log10((each[1:] ** 2).sum())
        assert render.ROOM_LEVEL_DB[0] - 0.01 <= wet_db <= render.ROOM_LEVEL_DB[1] + 0.01
        third = len(each) // 3
        assert (each[-third:] ** 2).sum() < 0.01 * (each[1:third] ** 2).sum()
    assert len({len(each) for each in rooms}) > 10
    np.testing.assert_array_equal(rooms[3], render.room((0, 3)))


def test_a_silent_wave_is_refused():
    with pytest.raises(ValueError, match="silent"):
        render.normalise(np.zeros(SAMPLE_RATE_HZ, np.float32))


def test_a_peaky_wave_is_kept_below_the_peak():
    wave = np.full(SAMPLE_RATE_HZ, 1e-3, np.float32)
    wave[100] = 0.9
    assert np.abs(render.normalise(wave)).max() == pytest.approx(render.PEAK, rel=1e-5)


def test_a_missing_font_names_its_package():
    with pytest.raises(FileNotFoundError, match="install the Debian package fluidr3mono-gm-soundfont"):
        check_font(Path("/nowhere") / DEFAULT_FONT.name)
    with pytest.raises(FileNotFoundError, match="timgm6mb-soundfont"):
        Synthesiser(Path("/nowhere") / DEFAULT_EAR_FONTS[1].name)


def test_a_file_that_is_no_font_is_refused(tmp_path: Path):
    path = tmp_path / "song.sf2"
    path.write_bytes(b"not a font")
    with pytest.raises(ValueError, match="font must be a sound font"):
        Synthesiser(path)
