"""Families: duplicates and variants of one piece, found before anything is split, and the split by family."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict

import numpy as np

from diffusion.data.scores import TUNE_STYLES, Piece

SPLITS: dict[str, float] = {"train": 0.7, "ear": 0.2, "test": 0.1}

_GRAM = 7  # intervals in one melodic n-gram
_COMMON = 40  # n-grams in more pieces than this are idioms (scales, turns) and tell nothing
_SHARED = 0.3  # fraction of the smaller piece's distinctive n-grams that makes two pieces variants
_MINIMUM = 4  # shared n-grams below this are chance
_GENERIC_TITLES = frozenset({"", "untitled", "reel", "jig", "hornpipe", "waltz", "air", "march", "polka", "slow air"})
_TUNE_KINDS = r"\b(the|a|an|o|reel|jig|hornpipe|strathspey|waltz|clog|walk around|air|march|set|setting|version)\b"


def melody(piece: Piece) -> np.ndarray:
    """Pitches (n,) of the top part, the highest of every chord, repeated notes taken once."""
    top = piece.notes[piece.notes[:, 3] == piece.notes[:, 3].min()]
    top = top[np.lexsort((-top[:, 2], top[:, 0]))]
    _, first = np.unique(top[:, 0], return_index=True)
    pitches = top[first, 2].astype(int)
    return np.asarray(pitches[np.concatenate([[True], np.diff(pitches) != 0])])


def interval_grams(piece: Piece) -> set[tuple[int, ...]]:
    """All runs of `_GRAM` successive melodic intervals: the same in every key and at every tempo."""
    steps = np.diff(melody(piece)).tolist()
    return {tuple(steps[i : i + _GRAM]) for i in range(len(steps) - _GRAM + 1)}


def normalised_title(piece: Piece) -> str:
    """A title without case, accents, punctuation, articles and names of dances; empty if it tells nothing."""
    if piece.style == "chorale":  # file names: variants of one BWV number differ by a suffix
        return re.sub(r"-.*", "", piece.key)
    if piece.style not in TUNE_STYLES:
        return ""
    text = unicodedata.normalize("NFKD", piece.title).encode("ascii", "ignore").decode().lower()
    text = re.sub(r"(.*), the\b", r"\1", text)
    text = re.sub(r"[^a-z0-9 ]", "", text.replace("-", " "))
    text = " ".join(re.sub(_TUNE_KINDS, " ", text).split())
    return "" if text in _GENERIC_TITLES or len(text) < 5 else text


def similar_pairs(pieces: list[Piece]) -> list[tuple[int, int, float]]:
    """(i, j, similarity) of the pairs of a repertoire sharing `_SHARED` of the smaller one's distinctive n-grams.

    All tunes are one repertoire: the same melody may be danced as a reel and sung as an air.
    """
    repertoire = ["tune" if piece.style in TUNE_STYLES else piece.style for piece in pieces]
    holders: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, piece in enumerate(pieces):
        for gram in interval_grams(piece):
            holders[gram].append(index)
    sizes: Counter[int] = Counter()
    shared: Counter[tuple[int, int]] = Counter()
    for members in holders.values():
        if len(members) <= _COMMON:
            sizes.update(members)
            pairs = ((a, b) for k, a in enumerate(members) for b in members[k + 1 :])
            shared.update((a, b) for a, b in pairs if repertoire[a] == repertoire[b])
    return [
        (a, b, count / min(sizes[a], sizes[b]))
        for (a, b), count in shared.items()
        if count >= _MINIMUM and count / min(sizes[a], sizes[b]) >= _SHARED
    ]


def find_families(pieces: list[Piece]) -> list[int]:
    """Family of every piece: the smallest index of the pieces joined to it by melody or title."""
    parent = list(range(len(pieces)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    def join(a: int, b: int) -> None:
        low, high = sorted((root(a), root(b)))
        parent[high] = low

    for a, b, _ in similar_pairs(pieces):
        join(a, b)
    titled: dict[str, int] = {}
    for index, piece in enumerate(pieces):
        title = normalised_title(piece)
        if title:
            join(index, titled.setdefault(title, index))
    return [root(i) for i in range(len(pieces))]


def split_families(pieces: list[Piece], families: list[int], seed: int) -> list[str]:
    """Split of every piece. Families are ranked by a hash of the seed and their first piece's key, within each style.

    Ranking, unlike a threshold on the hash, keeps the fractions of SPLITS even for a style of few pieces.
    """
    styles: dict[str, list[int]] = defaultdict(list)
    for family in sorted(set(families)):
        styles[pieces[family].style].append(family)
    split_of: dict[int, str] = {}
    for members in styles.values():
        members.sort(key=lambda f: hashlib.sha256(f"{seed}/{pieces[f].key}".encode()).digest())
        bounds = np.cumsum(list(SPLITS.values())) / sum(SPLITS.values())
        for rank, family in enumerate(members):
            split_of[family] = list(SPLITS)[int(np.searchsorted(bounds, (rank + 0.5) / len(members)))]
    return [split_of[family] for family in families]
