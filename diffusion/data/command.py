"""python -m diffusion data: scores to features, start to end. Run again, it goes on where it stopped."""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from diffusion.data.families import SPLITS
from diffusion.data.fonts import DEFAULT_EAR_FONTS, DEFAULT_FONT, check_font
from diffusion.data.scores import SOURCES, Piece
from diffusion.files import check_folder, read_json, write_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("data"), metavar="DIR", help="folder to write (default: data)")
    parser.add_argument("--hours", type=float, default=24.0, help="hours of training audio (default: 24)")
    parser.add_argument(
        "--ear-hours", type=float, default=12.0, help="hours for the evaluation classifier (default: 12)"
    )
    parser.add_argument("--test-hours", type=float, default=4.0, help="hours of held-out pieces (default: 4)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split and of every performance (default: 0)")
    parser.add_argument("--font", type=Path, default=DEFAULT_FONT, help=f"sound font (default: {DEFAULT_FONT})")
    parser.add_argument(
        "--ear-font",
        type=Path,
        nargs="+",
        default=list(DEFAULT_EAR_FONTS),
        help=f"fonts of the ear split, in turn (default: {' '.join(map(str, DEFAULT_EAR_FONTS))})",
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    parser.add_argument(
        "--splits", nargs="+", choices=list(SPLITS), default=list(SPLITS), help="splits to write (default: all)"
    )


def run(args: argparse.Namespace) -> None:
    """Read the scores (once), find families, write the shards of every split that are not there yet, and the card."""
    from tqdm import tqdm

    from diffusion.data import card, families, features, scores

    for name in ("hours", "ear_hours", "test_hours", "workers"):
        if getattr(args, name) <= 0:
            raise ValueError(f"{name} must be positive, got {getattr(args, name)}")
    if args.seed < 0:
        raise ValueError(f"seed must not be negative, got {args.seed}")
    fonts = {split: tuple(args.ear_font) if split == "ear" else (args.font,) for split in args.splits}
    for font in {font for each in fonts.values() for font in each}:
        check_font(font)  # a missing font is found before the scores are read
    check_folder("out", args.out)

    def bar(label: str) -> Any:
        return lambda results, total: tqdm(results, total=total, desc=label, unit="file", smoothing=0.05)

    cache = args.out / "scores.npz"
    if not cache.exists():
        scores.save_pieces(cache, scores.read_corpus(workers=args.workers, progress=bar("scores")))
    pieces = scores.load_pieces(cache)
    table = args.out / "pieces.json"
    family_of = _known_families(table, pieces) or families.find_families(pieces)
    split_of = families.split_families(pieces, family_of, args.seed)
    _write_pieces(table, pieces, family_of, split_of)
    print(summary(pieces, family_of, split_of))
    hours = {"train": args.hours, "ear": args.ear_hours, "test": args.test_hours}
    jobs = [features.Job(args.out, cache, split, hours[split], args.seed, fonts[split]) for split in args.splits]
    features.write_splits(jobs, family_of, split_of, args.workers, bar("features"))
    card.write(args.out)


def summary(pieces: list[Piece], family_of: list[int], split_of: list[str]) -> str:
    """A line per style: pieces, families, and pieces per split."""
    lines = []
    for style in sorted({p.style for p in pieces}):
        mine = [i for i, p in enumerate(pieces) if p.style == style]
        count = Counter(split_of[i] for i in mine)
        splits = ", ".join(f"{split} {count[split]}" for split in SPLITS)
        lines.append(f"{style}: {len(mine)} pieces in {len({family_of[i] for i in mine})} families ({splits})")
    return "\n".join(lines)


def _known_families(path: Path, pieces: list[Piece]) -> list[int] | None:
    """The families that an earlier call wrote, if it was about the same pieces: finding them takes half a minute."""
    if not path.exists():
        return None
    entries = read_json(path).values()
    if [entry["key"] for entry in entries] != [piece.key for piece in pieces]:
        return None
    return [entry["family"] for entry in entries]


def _write_pieces(path: Path, pieces: Iterable[Piece], family_of: list[int], split_of: list[str]) -> None:
    sources = {source.name: source for source in SOURCES}
    table = {
        str(index): {
            "key": piece.key,
            "title": piece.title,
            "source": piece.source,
            "style": piece.style,
            "family": family_of[index],
            "split": split_of[index],
            "licence": sources[piece.source].licence,
            "origin": sources[piece.source].origin,
        }
        for index, piece in enumerate(pieces)
    }
    write_text(path, json.dumps(table, ensure_ascii=False, indent=1))
