"""The data card: what a folder of features holds, where it comes from and under which licences."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffusion.data.dataset import LABELS, Features
from diffusion.data.families import SPLITS
from diffusion.data.fonts import LICENCES
from diffusion.files import read_json, write_text

CARD = "README.md"


def write(out: Path) -> None:
    """Write `out`/README.md from the splits and the table of pieces in `out`."""
    splits = [Features(out, split) for split in SPLITS if (out / split).is_dir()]
    pieces = read_json(out / "pieces.json")
    write_text(out / CARD, text(splits, pieces))


def text(splits: Sequence[Features], pieces: dict[str, dict[str, Any]]) -> str:
    """The card of `splits`, made from `pieces` (as in pieces.json)."""
    total_s = sum(_seconds(split).sum() for split in splits)
    played = {int(piece) for split in splits for piece in split.columns["piece"]}
    families = {pieces[str(piece)]["family"] for piece in played}
    settings = splits[0].settings
    low, high = settings["tempo_bounds"]
    slowest, fastest = settings["tempo_factor"]
    lowest, highest = settings["transpose"]
    parts = [
        "# Data card",
        f"{total_s / 3600:.1f} hours of music: {len(played):,} pieces of {len(families):,} families, rendered from "
        f"public-domain scores and stored as log-mel features ({settings['codec']['bands']} bands, "
        f"{settings['codec']['sample_rate_hz']} Hz, hop {settings['codec']['hop_size']}). Made by "
        f"`python -m diffusion data` with seed {settings['seed']}; the same seed, scores and fonts make the same data.",
        "## Splits",
        "Pieces are grouped into families of duplicates and variants first; a family is in one split only.",
        _table(
            ["split", "hours", "performances", "pieces", "families", "sound fonts (licence)"],
            (
                [
                    split.split,
                    _hours(_seconds(split).sum()),
                    len(split),
                    len(np.unique(split.columns["piece"])),
                    len(np.unique(split.columns["family"])),
                    ", ".join(f"{font} ({LICENCES.get(font, 'unknown')})" for font in split.settings["fonts"]),
                ]
                for split in splits
            ),
        ),
        "## Labels",
        "Style: of the score (tunes by their meter and purpose). Ensemble: who plays; its voices share the parts by "
        "height. Key and mode: of the excerpt, by Krumhansl's key profiles and the key signature; modal music counts "
        f"as the nearer of the two modes. Tempo: slow below {low} attacks a second over all parts, fast from {high}. "
        "Beat: beats a minute as the style counts them, in halves or doubles until they lie between 60 and 120.",
        f"Performances are transposed by {lowest} to +{highest} semitones and played at {slowest} to {fastest} times "
        "the usual tempo of the piece, with small deviations of timing, dynamics and articulation, in small rooms of "
        f"different sizes, mono, at {settings['loudness_db']} dB gated loudness.",
    ]
    for split in splits:
        parts += [f"## Hours of {split.split}", *_hours_by_label(split)]
    rows: dict[tuple[str, str, str, str], list[dict[str, Any]]] = {}
    for piece in pieces.values():
        rows.setdefault((piece["source"], piece["style"], piece["origin"], piece["licence"]), []).append(piece)
    parts += [
        "## Sources",
        _table(
            ["collection", "style", "pieces", "families", "origin", "licence of the encoding, as far as it is stated"],
            (
                [source, style, len(members), len({p["family"] for p in members}), origin, licence]
                for (source, style, origin, licence), members in sorted(rows.items())
            ),
        ),
        "Left out for their licences: the Essen folk songs (non-commercial), Palestrina and every other Humdrum file "
        "(rights reserved), and every file that states the rights of a modern edition.",
        "## Settings",
        "\n".join(f"- {name}: `{json.dumps(settings[name])}`" for name in sorted(settings) if name != "sources"),
    ]
    return "\n\n".join(parts) + "\n"


def _hours_by_label(split: Features) -> list[str]:
    seconds, labels, c = _seconds(split), split.settings["labels"], split.columns

    def hours(**wanted: int) -> str:
        mine = np.all([c[name] == index + 1 for name, index in wanted.items()], axis=0)
        return _hours(seconds[mine].sum())

    first, *others = LABELS
    tables = []
    for columns in (others[:1], others[1:3], others[3:4], others[4:]):
        names = [(name, i, value) for name in columns for i, value in enumerate(labels[name])]
        body = [
            [style, *(hours(**{first: s, name: i}) for name, i, _ in names), hours(**{first: s})]
            for s, style in enumerate(labels[first])
        ]
        body.append(["all", *(hours(**{name: i}) for name, i, _ in names), _hours(seconds.sum())])
        tables.append(_table(["style", *(value for _, _, value in names), "all"], body))
    return tables


def _seconds(split: Features) -> np.ndarray:
    """Seconds (n,) of the performances."""
    codec = split.settings["codec"]
    return np.asarray(split.columns["frames"] * codec["hop_size"] / codec["sample_rate_hz"])


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.2f}"


def _table(head: Sequence[str], body: Iterable[Sequence[object]]) -> str:
    rows = [head, ["---"] * len(head), *body]
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)
