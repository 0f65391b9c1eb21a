import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion.audio.loudness import loudness_db
from diffusion.data import render
from diffusion.data.fonts import DEFAULT_EAR_FONT, DEFAULT_FONT, check_font
from diffusion.data.labels import ENSEMBLES
from diffusion.data.render import INSTRUMENTS, SAMPLE_RATE_HZ, Synthesiser, note_events, plan_performance


@pytest.fixture(scope="module")
def synthesiser() -> Synthesiser:
    return Synthesiser(DEFAULT_FONT)


@settings(deadline=None)
@given(pitches=st.lists(st.integers(20, 110), min_size=1, max_size=30), ensemble=st.sampled_from(ENSEMBLES))
def test_folding_moves_by_octaves_into_the_range(pitches, ensemble):
    instrument = INSTRUMENTS[ensemble]
    folded = render.fold(np.array(pitches), np.arange(len(pitches)) % 3, instrument)
    assert ((folded >= instrument.lowest) & (folded <= instrument.highest)).all()
    assert not ((folded - pitches) % 12).any()


def test_folding_keeps_a_part_in_one_piece_where_it_can():
    melody = np.array([38, 40, 45, 50])  # below the flute; an octave jump inside it would spoil it
    folded = render.fold(melody, np.zeros(4), INSTRUMENTS["flute"])
    np.testing.assert_array_equal(np.diff(folded), np.diff(melody))


@pytest.mark.parametrize(("bars", "longest_s"), [(2, 30), (8, 30), (200, 60)])
def test_performances_have_a_sensible_length(make_piece, bars, longest_s):
    pieces = [make_piece(1, bars=bars)]
    for k in range(20):
        p = plan_performance(pieces, 0, "piano", (0, k))
        seconds = p.frames * render.HOP / SAMPLE_RATE_HZ
        assert render.MIN_S * 0.9 < seconds <= longest_s + 0.02
        assert 0.8 <= pieces[0].quarter_s / p.quarter_s <= 1.25
        assert -5 <= p.transpose <= 6
        assert p.start in pieces[0].bars
        assert (p.repeats > 1) is (bars == 2)


def test_long_pieces_start_at_many_bars(make_piece):
    pieces = [make_piece(1, bars=200)]
    assert len({plan_performance(pieces, 0, "piano", (0, k)).start for k in range(30)}) > 10


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_events_fit_the_instrument(make_piece, ensemble):
    piece = make_piece(1, bars=30, parts=4)
    p = plan_performance([piece], 0, ensemble, (0, 1))
    events = note_events(piece, p)
    onset, end, pitch, velocity, part = events.T
    instrument = INSTRUMENTS[ensemble]
    assert (pitch >= instrument.lowest).all()
    assert (pitch <= instrument.highest).all()
    assert (velocity >= 1).all()
    assert (velocity <= 127).all()
    assert len(np.unique(velocity)) > 10
    assert (end > onset).all()
    assert onset.min() >= 0
    assert onset.max() < p.frames * render.HOP / SAMPLE_RATE_HZ
    for k in np.unique(part):
        for height in np.unique(pitch):
            mine = events[(part == k) & (pitch == height)]
            assert (mine[1:, 0] > mine[:-1, 1]).all(), "a note is struck again before it has ended"


def test_transposition_and_tempo_reach_the_notes(make_piece):
    piece = make_piece(1, bars=20, parts=1)
    base = plan_performance([piece], 0, "piano", (0, 1))
    events = note_events(piece, dataclasses.replace(base, transpose=0))
    higher = note_events(piece, dataclasses.replace(base, transpose=3, quarter_s=base.quarter_s / 2))
    np.testing.assert_array_equal(higher[:, 2], events[:, 2] + 3)
    spans = [e[-1, 0] - e[0, 0] for e in (events, higher)]
    assert spans[1] / spans[0] == pytest.approx(0.5, abs=0.01)


def test_a_render_does_not_depend_on_what_came_before(make_piece, synthesiser):
    piece = make_piece(1, bars=4)
    other = plan_performance([piece], 0, "organ", (0, 2))
    for ensemble in ("strings", "piano", "choir"):
        p = plan_performance([piece], 0, ensemble, (0, 1))
        first = render.render_performance(piece, p, synthesiser)
        render.render_performance(piece, other, synthesiser)
        again = render.render_performance(piece, p, synthesiser)
        alone = render.render_performance(piece, p, Synthesiser(DEFAULT_FONT))
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(first, alone)


@pytest.mark.parametrize("ensemble", ENSEMBLES)
@pytest.mark.parametrize("font", [DEFAULT_FONT, DEFAULT_EAR_FONT], ids=["font", "ear_font"])
def test_every_ensemble_is_equally_loud_and_never_clipped(make_piece, ensemble, font):
    piece = make_piece(3, bars=6, parts=4)
    p = plan_performance([piece], 0, ensemble, (0, 1))
    wave = render.render_performance(piece, p, Synthesiser(font))
    assert wave.dtype == np.float32
    assert wave.shape == (p.frames * render.HOP,)
    assert np.isfinite(wave).all()
    assert np.abs(wave).max() <= render.PEAK + 1e-6
    level_db = float(loudness_db(torch.from_numpy(wave)[None], SAMPLE_RATE_HZ))
    assert level_db == pytest.approx(render.LOUDNESS_DB, abs=0.5)
    assert abs(wave[-1]) < 1e-4


@pytest.mark.parametrize("midi", [60, 69, 76])
def test_notes_sound_when_and_where_they_are_written(synthesiser, midi):
    events = np.array([[1.0, 2.0, midi, 90, 0]])
    wave = synthesiser.render(events, INSTRUMENTS["flute"].program, 3 * SAMPLE_RATE_HZ)
    assert np.abs(wave[: SAMPLE_RATE_HZ - render.BLOCK]).max() < 1e-6
    sounding = wave[int(1.2 * SAMPLE_RATE_HZ) : int(1.9 * SAMPLE_RATE_HZ)]
    assert np.abs(sounding).max() > 0.01
    spectrum = np.abs(np.fft.rfft(sounding * np.hanning(len(sounding))))
    peak_hz = spectrum.argmax() * SAMPLE_RATE_HZ / len(sounding)
    assert 12 * np.log2(peak_hz / 440) + 69 == pytest.approx(midi, abs=0.3)


def test_a_silent_wave_is_refused():
    with pytest.raises(ValueError, match="silent"):
        render.normalise(np.zeros(SAMPLE_RATE_HZ, np.float32))


def test_a_peaky_wave_is_kept_below_the_peak():
    wave = np.full(SAMPLE_RATE_HZ, 1e-3, np.float32)
    wave[100] = 0.9
    assert np.abs(render.normalise(wave)).max() == pytest.approx(render.PEAK, rel=1e-5)


def test_a_missing_font_names_its_package():
    with pytest.raises(FileNotFoundError, match="install the Debian package fluid-soundfont-gm"):
        check_font(Path("/nowhere") / DEFAULT_FONT.name)
    with pytest.raises(FileNotFoundError, match="musescore-general-soundfont-small"):
        Synthesiser(Path("/nowhere") / DEFAULT_EAR_FONT.name)


def test_a_file_that_is_no_font_is_refused(tmp_path: Path):
    path = tmp_path / "song.sf2"
    path.write_bytes(b"not a font")
    with pytest.raises(ValueError, match="font must be a sound font"):
        Synthesiser(path)
