import dataclasses

import numpy as np
import pytest

from diffusion.data.key import key
from diffusion.data.labels import BEATS, ENSEMBLES, KEYS, TEMPI
from diffusion.data.performance import (
    HOP,
    MIN_S,
    SAMPLE_RATE_HZ,
    TEMPO_BOUNDS,
    TEMPO_FACTOR,
    TRANSPOSE,
    beat,
    excerpt,
    note_events,
    plan_performance,
    pulse,
    tempo,
    voices,
)
from diffusion.data.practice import PRACTICES


@pytest.mark.parametrize(("bars", "longest_s"), [(2, 24), (8, 26), (200, 32)])
def test_performances_have_a_sensible_length(make_piece, bars, longest_s):
    pieces = [make_piece(1, bars=bars)]
    for k in range(20):
        p = plan_performance(pieces, 0, "piano", (0, k))
        seconds = p.frames * HOP / SAMPLE_RATE_HZ
        assert MIN_S * 0.9 < seconds <= longest_s + 0.02
        assert TEMPO_FACTOR[0] <= pieces[0].quarter_s / p.quarter_s <= TEMPO_FACTOR[1]
        assert TRANSPOSE[0] <= p.transpose <= TRANSPOSE[1]
        assert p.start in pieces[0].bars
        assert (p.repeats > 1) or (bars != 2)


def test_long_pieces_start_at_many_bars(make_piece):
    pieces = [make_piece(1, bars=200)]
    assert len({plan_performance(pieces, 0, "piano", (0, k)).start for k in range(30)}) > 10


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_events_fit_the_voices(make_piece, ensemble):
    piece = make_piece(1, bars=30, parts=4)
    p = plan_performance([piece], 0, ensemble, (0, 1))
    events = note_events(piece, p)
    onset, end, pitch, velocity, part = events.T
    for k, voice in voices(piece, p).items():
        assert (pitch[part == k] >= voice.lowest).all()
        assert (pitch[part == k] <= voice.highest).all()
    assert (velocity >= 1).all()
    assert (velocity <= 127).all()
    assert len(np.unique(velocity)) > 10
    assert (end > onset).all()
    assert onset.min() >= 0
    assert onset.max() < p.frames * HOP / SAMPLE_RATE_HZ
    for k in np.unique(part):
        for height in np.unique(pitch):
            mine = events[(part == k) & (pitch == height)]
            assert (mine[1:, 0] > mine[:-1, 1]).all(), "a note is struck again before it has ended"


def test_transposition_and_tempo_reach_the_notes(make_piece):
    piece = make_piece(1, bars=16, parts=1)
    base = plan_performance([piece], 0, "piano", (0, 1))
    events = note_events(piece, dataclasses.replace(base, transpose=0))
    higher = note_events(piece, dataclasses.replace(base, transpose=3, quarter_s=base.quarter_s / 2))
    np.testing.assert_array_equal(higher[:, 2], events[:, 2] + 3)
    spans = [e[-1, 0] - e[0, 0] for e in (events, higher)]
    assert spans[1] / spans[0] == pytest.approx(0.5, abs=0.02)


def test_timing_deviates_by_milliseconds_and_together(make_piece):
    piece = make_piece(1, bars=60, parts=2)
    piece.notes[:, 1] = 1.0
    onsets = np.arange(240, dtype=np.float32)
    rows = np.concatenate(
        [np.stack([onsets, onsets * 0 + 1, 60 + (onsets * 7) % 11 + k, onsets * 0 + k], 1) for k in (0, 1)]
    )
    piece = dataclasses.replace(piece, notes=rows[np.lexsort((rows[:, 3], rows[:, 0]))].astype(np.float32))
    deviations, apart = [], []
    for k in range(8):
        p = plan_performance([piece], 0, "strings", (0, k))
        events = note_events(piece, p)
        top, low = (events[events[:, 4] == part, 0] for part in (0, 1))
        assert len(top) == len(low)
        steps = np.diff(top) / p.quarter_s
        deviations.append(np.diff(top).std())
        apart.append((top - low).std())
        assert steps.mean() == pytest.approx(1.0, abs=0.02)
    assert 0.003 < np.mean(deviations) < 0.03
    assert 0.001 < np.mean(apart) < np.mean(deviations), "players who start together stay together"


def test_dynamics_and_articulation_differ_between_performances(make_piece):
    piece = make_piece(1, bars=16, parts=1)
    loudness, held = [], []
    for k in range(12):
        p = plan_performance([piece], 0, "flute", (0, k))
        events = note_events(piece, p)
        loudness.append(events[:, 3].mean())
        held.append(((events[:, 1] - events[:, 0])[:-1] / np.diff(events[:, 0])).mean())
    assert np.ptp(loudness) > 10
    assert np.ptp(held) > 0.06


def test_a_bar_begins_with_an_accent(make_piece):
    piece = make_piece(1, bars=40, parts=1)
    first, rest = [], []
    for k in range(8):
        p = dataclasses.replace(plan_performance([piece], 0, "piano", (0, k)), start=0.0, stop=40.0, repeats=1)
        notes, events = excerpt(piece, p), note_events(piece, p)
        assert len(notes) == len(events)
        strong = np.abs(notes[:, 0] % 4) < 1e-3
        first.append(events[strong, 3].mean())
        rest.append(events[~strong, 3].mean())
    assert np.mean(first) > np.mean(rest) + 3


def test_a_jig_has_three_to_a_beat_and_a_reel_two(make_piece):
    """Even eighths: loud where the style's beat falls, and the notes inside a beat late."""
    onsets = np.arange(0, 96, 0.5, dtype=np.float32)
    rows = np.stack([onsets, onsets * 0 + 0.5, onsets * 0 + 67, onsets * 0], 1)
    for style, beat_q, other_q in (("jig", 1.5, 1.0), ("reel", 1.0, 1.5)):
        bars = np.arange(0, 96, 3, dtype=np.float32)
        piece = dataclasses.replace(make_piece(1), style=style, notes=rows.astype(np.float32), bars=bars)
        louder, late = {beat_q: [], other_q: []}, []
        for k in range(12):
            p = dataclasses.replace(
                plan_performance([piece], 0, "piano", (0, k)), start=0.0, stop=24.0, quarter_s=0.4, repeats=1
            )
            events = note_events(piece, p)
            at = onsets[: len(events)]
            for step, found in louder.items():
                on = (at % step < 1e-3) & (at % 3 > 1e-3)
                found.append(events[on, 3].mean() - events[at % step > 1e-3, 3].mean())
            delay = events[:, 0] - 0.4 * at
            late.append(delay[at % beat_q > 1e-3].mean() - delay[at % beat_q < 1e-3].mean())
        assert np.mean(louder[beat_q]) > 6 > 3 + np.mean(louder[other_q])
        assert 0.01 * beat_q * 0.4 < np.mean(late) < 0.08 * beat_q * 0.4


@pytest.mark.parametrize(("attacks_per_s", "wanted"), [(1.0, 0), (2.2, 0), (2.5, 1), (4.2, 1), (4.6, 2), (9.0, 2)])
def test_tempo_counts_attacks(make_piece, attacks_per_s, wanted):
    onsets = np.arange(64, dtype=np.float32)
    chords = np.concatenate(
        [np.stack([onsets, onsets * 0 + 1, onsets * 0 + 60 + 4 * k, onsets * 0 + k], 1) for k in range(3)]
    )
    piece = dataclasses.replace(make_piece(1), notes=chords.astype(np.float32))
    p = dataclasses.replace(
        plan_performance([piece], 0, "organ", (0, 0)), start=0.0, stop=64.0, quarter_s=1 / attacks_per_s
    )
    assert TEMPO_BOUNDS == (2.3, 4.4)
    assert tempo(piece, p) == TEMPI[wanted]


@pytest.mark.parametrize(("beats_a_minute", "wanted"), [(60.1, 0), (119.9, 11), (100, 8), (50, 8), (200, 8), (31, 0)])
@pytest.mark.parametrize("style", PRACTICES)
def test_beats_are_counted_between_60_and_120(make_piece, style, beats_a_minute, wanted):
    piece = dataclasses.replace(make_piece(1), style=style)
    quarter_s = 60 / beats_a_minute / PRACTICES[style].beat_q
    p = dataclasses.replace(plan_performance([piece], 0, "organ", (0, 0)), quarter_s=quarter_s)
    assert beat(piece, p) == BEATS[wanted]
    octaves = np.log2(float(BEATS[wanted]) / beats_a_minute)
    assert abs(octaves - round(octaves)) < 0.6 / 12  # half a step, and rounding


@pytest.mark.parametrize(("beats_a_minute", "of_a_minute"), [(70, 70), (100, 100), (50, 100), (168, 84)])
@pytest.mark.parametrize("style", PRACTICES)
def test_beats_are_played_at_the_pulse(make_piece, style, beats_a_minute, of_a_minute):
    """A note on every beat, from a bar line in the middle of the piece on: the tempo sways about the pulse, no more."""
    beat_q = PRACTICES[style].beat_q
    onsets = np.arange(0, 96 * beat_q, beat_q, dtype=np.float32)
    rows = np.stack([onsets, onsets * 0 + beat_q, onsets * 0 + 67, onsets * 0], 1)
    bars = np.arange(0, 96 * beat_q, 4 * beat_q, dtype=np.float32)
    piece = dataclasses.replace(make_piece(1), style=style, notes=rows, bars=bars)
    quarter_s = 60 / beats_a_minute / beat_q
    for start in (bars[2], bars[2] - beat_q):  # on a bar line, and with an upbeat
        p = dataclasses.replace(
            plan_performance([piece], 0, "piano", (0, 0)), start=start, stop=start + 20 * beat_q, quarter_s=quarter_s
        )
        beat_frames, beat_at = pulse(piece, p)
        assert beat_frames * HOP / SAMPLE_RATE_HZ == pytest.approx(60 / of_a_minute)
        first = 1 if start == bars[2] - beat_q else 0
        turns = (note_events(piece, p)[:, 0] * SAMPLE_RATE_HZ / HOP - beat_at) / beat_frames
        wanted = (np.arange(len(turns)) - first) * of_a_minute / beats_a_minute
        sway_beats = 2 * PRACTICES[style].sway[1] * 8 * 4 / (2 * np.pi)  # both sways at their longest and strongest
        jitter_s = 0.02
        most = sway_beats * of_a_minute / beats_a_minute + jitter_s * of_a_minute / 60
        assert np.abs(turns - wanted).max() < most < 0.7


MAJOR, MINOR = [0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 11]


@pytest.mark.parametrize("tonic", range(0, 12, 3))
@pytest.mark.parametrize(("scale", "third", "fifths", "wanted"), [(MAJOR, 4, 0, "major"), (MINOR, 3, -3, "minor")])
def test_key_by_scale_and_triad(make_piece, tonic, scale, third, fifths, wanted):
    steps = [*scale, 0, third, 7, 12, 7, third, 0]
    rows = [(i, 1.0, 60 + tonic + step, 0) for i, step in enumerate(steps)]
    signature = (7 * tonic + fifths + 5) % 12 - 5  # seven semitones up, one sharp more
    piece = dataclasses.replace(make_piece(1), notes=np.array(rows, dtype=np.float32), fifths=signature)
    p = dataclasses.replace(plan_performance([piece], 0, "organ", (0, 0)), start=0.0, stop=float(len(steps)))
    assert key(piece, p) == (KEYS[(tonic + p.transpose) % 12], wanted)


def test_the_signature_decides_between_relative_keys_where_the_notes_do_not(make_piece):
    pitches = [60, 64, 69, 60, 64, 69, 67, 62, 65, 71]  # white keys: C major or A minor
    rows = np.array([(i, 1.0, pitch, 0) for i, pitch in enumerate(pitches)], dtype=np.float32)
    heard = set()
    for fifths in (0, 5):  # a signature of five sharps favours neither
        piece = dataclasses.replace(make_piece(1), notes=rows, fifths=fifths)
        p = dataclasses.replace(plan_performance([piece], 0, "organ", (0, 0)), start=0.0, stop=10.0)
        heard.add(key(piece, p)[1])
    assert len(heard) == 1, "the two keys of a signature are favoured alike"
