import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffusion.data.ensembles import VOICES, cast, fold
from diffusion.data.labels import ENSEMBLES

EVERY_VOICE = [voice for ensemble in ENSEMBLES for voice in VOICES[ensemble]]


@settings(deadline=None)
@given(pitches=st.lists(st.integers(20, 110), min_size=1, max_size=30), voice=st.sampled_from(EVERY_VOICE))
def test_folding_moves_by_octaves_into_the_range(pitches, voice):
    folded = fold(np.array(pitches), voice)
    assert ((folded >= voice.lowest) & (folded <= voice.highest)).all()
    assert not ((folded - pitches) % 12).any()


def test_folding_keeps_a_part_in_one_piece_where_it_can():
    melody = np.array([38, 40, 45, 50])  # below the flute; an octave jump inside it would spoil it
    np.testing.assert_array_equal(np.diff(fold(melody, VOICES["flute"][0])), np.diff(melody))


def test_voices_stand_from_high_to_low():
    for voices in VOICES.values():
        highest = [voice.highest for voice in voices]
        assert highest == sorted(highest, reverse=True)


@pytest.mark.parametrize(
    ("ensemble", "wanted"),
    [
        ("strings", [0, 0, 1, 2]),  # two violins, viola, cello
        ("brass", [0, 1, 2, 3]),
        ("reeds", [0, 0, 1, 2]),
        ("piano", [0, 0, 0, 0]),
    ],
)
def test_parts_are_given_to_voices_by_height(ensemble, wanted):
    parts = cast(ensemble, {7: 43.0, 0: 71.0, 2: 55.0, 1: 66.0}, np.random.default_rng(0))
    assert [parts[part] for part in (0, 1, 2, 7)] == [VOICES[ensemble][index] for index in wanted]


def test_every_voice_of_an_ensemble_is_used_by_many_parts():
    for ensemble in ENSEMBLES:
        parts = cast(ensemble, {part: 80.0 - part for part in range(8)}, np.random.default_rng(0))
        assert set(parts.values()) == set(VOICES[ensemble])


def test_a_lone_part_is_played_by_one_of_the_two_highest_voices():
    rng = np.random.default_rng(0)
    assert {cast("brass", {3: 60.0}, rng)[3] for _ in range(40)} == set(VOICES["brass"][:2])
    assert {cast("piano", {3: 60.0}, rng)[3] for _ in range(4)} == set(VOICES["piano"])
