import dataclasses

import numpy as np
import pytest

from diffusion.data.families import SPLITS, find_families, normalised_title, split_families


def altered(piece, *, semitones=0.0, stretch=1.0, drop=()):
    notes = np.delete(piece.notes, list(drop), axis=0) * [stretch, stretch, 1, 1] + [0, 0, semitones, 0]
    return dataclasses.replace(piece, notes=notes.astype(np.float32), title=f"Also {piece.key}", key=piece.key + "/v")


def test_a_variant_in_another_key_and_tempo_joins_its_piece(make_piece):
    piece = make_piece(1, bars=16)
    variant = altered(piece, semitones=5, stretch=2, drop=(20, 60))
    assert find_families([make_piece(2, bars=16), piece, make_piece(3, bars=16), variant]) == [0, 1, 2, 1]


def test_variants_of_variants_are_one_family(make_piece):
    long = make_piece(1, bars=32)
    halves = [
        dataclasses.replace(long, key=f"half/{k}", title=f"Half {k} of it", notes=long.notes[part])
        for k, part in enumerate([long.notes[:, 0] < 64, long.notes[:, 0] >= 64])
    ]
    assert find_families(halves) == [0, 1]
    assert find_families([*halves, long]) == [0, 0, 0]


def test_repertoires_are_never_joined_but_tunes_of_all_kinds_are_one(make_piece):
    piece = make_piece(1, bars=16)
    assert find_families([piece, dataclasses.replace(piece, style="quartet")]) == [0, 1]
    reel, air = (dataclasses.replace(piece, style=style, title=style) for style in ("reel", "air"))
    assert find_families([reel, air]) == [0, 0]


@pytest.mark.parametrize(
    ("title", "other", "same"),
    [
        ("THE CUCKOO'S NEST", "Cuckoo's Nest -- Hornpipe", True),
        ("Cuckoo's Nest, The", "the cuckoos nest", True),
        ("Rakish Paddy", "Rakish Peggy", False),
    ],
)
def test_titles(make_piece, title, other, same):
    a, b = (dataclasses.replace(make_piece(k, "reel"), title=t) for k, t in enumerate((title, other)))
    assert (normalised_title(a) == normalised_title(b)) is same
    assert find_families([a, b]) == [0, 0 if same else 1]


def test_generic_titles_join_nothing(make_piece):
    tunes = [dataclasses.replace(make_piece(k, "reel"), title="Reel") for k in range(3)]
    assert find_families(tunes) == [0, 1, 2]


def test_splits_hold_whole_families_in_fixed_fractions_of_each_style(pieces):
    variants = [altered(piece, semitones=2) for piece in pieces]
    everything = [*pieces, *variants]
    families = find_families(everything)
    assert len(set(families)) == len(pieces)
    splits = split_families(everything, families, seed=0)
    assert splits[: len(pieces)] == splits[len(pieces) :]
    for style in {p.style for p in pieces}:
        mine = [s for s, p in zip(splits, pieces, strict=False) if p.style == style]
        assert {name: mine.count(name) / len(mine) for name in SPLITS} == pytest.approx(SPLITS, abs=0.11)
        assert set(mine) == set(SPLITS)
    assert split_families(everything, families, seed=0) == splits
    assert split_families(everything, families, seed=1) != splits
