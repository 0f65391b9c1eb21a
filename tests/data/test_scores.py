import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest

from diffusion.data import scores


def from_parts(*parts) -> scores.Piece:
    from music21 import stream

    score = stream.Score()
    for part in parts:
        score.insert(0, part)
    piece = scores._to_piece(score, "key", "title", "source", "chorale")
    assert piece is not None
    return piece


def part_of(*elements):
    from music21 import note, stream

    part = stream.Part()
    for element in elements:
        part.append(element)
    for _ in range(16):
        part.append(note.Note("C4"))
    return part


def test_ties_chords_rests_and_grace_notes():
    from music21 import chord, note, tie

    start, middle, stop = note.Note("E4"), note.Note("E4", quarterLength=2), note.Note("E4", quarterLength=0.5)
    start.tie, middle.tie, stop.tie = tie.Tie("start"), tie.Tie("continue"), tie.Tie("stop")
    grace = note.Note("A5").getGrace()
    piece = from_parts(part_of(start, middle, stop, note.Rest(), grace, chord.Chord(["C4", "G4"]), note.Note("E4")))
    expected = [(0, 3.5, 64, 0), (4.5, 1, 60, 0), (4.5, 1, 67, 0), (5.5, 1, 64, 0), (6.5, 1, 60, 0)]
    np.testing.assert_array_equal(piece.notes[:5], expected)
    assert not (piece.notes[:, 2] == 81).any()


def test_leading_rests_are_dropped_and_parts_are_numbered_from_the_top():
    from music21 import note

    piece = from_parts(part_of(note.Rest(), note.Rest(), note.Note("G5")), part_of(note.Rest(), note.Rest()))
    assert piece.notes[0, 0] == 0
    assert set(piece.notes[piece.notes[:, 2] == 79, 3]) == {0}
    assert set(piece.notes[:, 3]) == {0, 1}


def test_a_chorale_of_the_corpus():
    (piece,) = scores.read_file(scores.corpus_root(), 0, "bach/bwv66.6.mxl")
    assert piece.style == "chorale"
    assert piece.fifths == 3
    assert set(piece.notes[:, 3]) == {0, 1, 2, 3}
    assert piece.quarters == 36
    np.testing.assert_array_equal(piece.bars[:3], [0, 1, 5])  # a pickup of one quarter note
    np.testing.assert_array_equal(np.unique(piece.notes[:4, 2]), [57, 64, 73])  # A major, tenor and bass in unison


@pytest.mark.parametrize(
    ("meter", "rhythm", "number", "style"),
    [
        ("2/2", "Reel", None, "reel"),
        ("2/4", "hornpipe", 1700, "reel"),
        ("6/8", "double jig", 900, "jig"),
        ("9/8", "", 40, "jig"),
        ("3/4", "", 40, "air"),
        ("3/4", "waltz", None, "air"),
        ("4/4", "", 714, "air"),
        ("4/4", "", 715, "reel"),
        ("2/4", "Slow Air", None, "air"),
    ],
)
def test_the_kinds_of_tunes(meter, rhythm, number, style):
    assert scores.tune_style(meter, rhythm, number) == style


def test_the_rhythm_of_every_tune_of_a_book():
    book = "%abc\n\nX: 7\nT: One\nR: Reel \nK:C\nCDEF|\n\nX:8\nT:Two\nK:C\nGABc|\n"
    assert scores.tune_rhythms(book) == {"7": "Reel", "8": ""}


def test_a_book_of_tunes_holds_airs_by_their_place():
    index = next(i for i, source in enumerate(scores.SOURCES) if source.name.startswith("O'Neill"))
    tunes = scores.read_file(scores.corpus_root(), index, "oneills1850/0301-0350.abc")
    assert len(tunes) > 40
    assert {tune.style for tune in tunes} == {"air", "jig"}


@pytest.mark.parametrize("name", ["ryansMammoth/AcaciaReel.abc", "haydn/opus1no1/movement4.mxl"])
def test_tempo_is_playable(name):
    index = next(i for i, file in scores.corpus_files(scores.corpus_root()) if file == name)
    (piece,) = scores.read_file(scores.corpus_root(), index, name)
    assert piece.style == ("reel" if name.startswith("ryan") else "quartet")
    low, high = scores._NOTES_PER_S[piece.style]
    parts = [piece.notes[piece.notes[:, 3] == part, 0] for part in np.unique(piece.notes[:, 3])]
    busiest = max(len(np.unique(onsets)) for onsets in parts)
    assert low * 0.99 <= busiest / (piece.quarters * piece.quarter_s) <= high * 1.01


def test_collections_without_a_free_licence_are_left_out():
    files = scores.corpus_files(scores.corpus_root())
    assert {index for index, _ in files} == set(range(len(scores.SOURCES)))
    assert not [name for _, name in files if name.endswith(".krn") or "essen" in name or "palestrina" in name]
    assert not [name for _, name in files if "k545" in name]


@pytest.mark.parametrize(("rights", "kept"), [("", 1), ("© 2003 A Modern Edition", 0)])
def test_a_rights_statement_leaves_a_file_out(tmp_path: Path, caplog, rights, kept):
    from music21 import stream

    path = tmp_path / "song.xml"
    score = stream.Score()
    score.insert(0, part_of())
    score.write("musicxml", path)
    text = path.read_text(encoding="utf-8")
    assert "<encoding>" in text
    path.write_text(text.replace("<encoding>", f"<rights>{rights}</rights><encoding>", 1), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert len(scores.read_file(tmp_path, 0, "song.xml")) == kept
    assert ("rights statement" in caplog.text) is not bool(kept)


def test_pieces_survive_the_cache(tmp_path: Path, pieces):
    path = tmp_path / "scores.npz"
    scores.save_pieces(path, pieces)
    for loaded, piece in zip(scores.load_pieces(path), pieces, strict=True):
        for field in dataclasses.fields(piece):
            np.testing.assert_array_equal(getattr(loaded, field.name), getattr(piece, field.name))
    assert [p.name for p in tmp_path.iterdir()] == ["scores.npz"]


def test_a_cache_of_another_version_is_refused(tmp_path: Path, pieces, monkeypatch):
    path = tmp_path / "scores.npz"
    scores.save_pieces(path, pieces)
    monkeypatch.setattr(scores, "VERSION", scores.VERSION + 1)
    with pytest.raises(ValueError, match=f"got version {scores.VERSION - 1}"):
        scores.load_pieces(path)
