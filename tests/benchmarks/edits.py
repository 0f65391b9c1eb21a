"""What edits do to the shipped model's music: `python tests/benchmarks/edits.py [fork | transform | loop | inpaint]`.

Prints one table, or all, of six clips of 5.12 seconds each, a style and an ensemble each. *Flux* is the mean absolute
difference of a frame's features to the frame before; a place is compared by the share of the places in the unedited
clip that have less.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import librosa
import numpy as np
import torch

from diffusion.checkpoint import find_checkpoint
from diffusion.compare import distance_db
from diffusion.edits import Source, mask_of
from diffusion.engine import Clip
from diffusion.studio import Studio, open_studio

MUSIC = (
    ("reel", "flute"),
    ("chorale", "organ"),
    ("quartet", "strings"),
    ("jig", "guitar"),
    ("air", "piano"),
    ("madrigal", "choir"),
)
OTHERS = {
    "flute": "piano",
    "organ": "strings",
    "strings": "organ",
    "guitar": "harpsichord",
    "piano": "flute",
    "choir": "organ",
}
"""By whom a clip is played when it is transformed."""


def clip(studio: Studio, sources: Iterable[Source] = (), **settings: Any) -> Clip:
    request = studio.request(**{"duration_s": 5.12, **settings})
    *_, last = studio.generate(request, sources=tuple(sources))
    assert isinstance(last, Clip)
    return last


def plain(studio: Studio, number: int, **settings: Any) -> Clip:
    style, ensemble = MUSIC[number]
    return clip(studio, **{"style": style, "ensemble": ensemble, "seed": number, **settings})


def labels(made: Clip) -> dict[str, str]:
    """The labels of a clip, those that were drawn included."""
    drawn = made.settings.get("drawn", {})
    return {
        name: drawn.get(name, made.request.label(name))
        for name in ("style", "ensemble", "key", "beat", "mode", "tempo")
    }


def named(made: Clip) -> tuple[Source, dict[str, Any]]:
    source = Source.of(made.features)
    return source, {"source": source.digest, "source_s": 5.12}


def flux(made: Clip) -> np.ndarray:
    """(frames,), the first one that to the last frame."""
    features = made.features[0]
    return np.abs(features - np.roll(features, 1, -1)).mean(0)


def chroma(made: Clip) -> np.ndarray:
    found = librosa.feature.chroma_cqt(y=made.wave, sr=made.sample_rate_hz)
    return (found - found.mean()).ravel()


def heard_db(made: Clip) -> np.ndarray:
    """The sound as a mel spectrogram (64, frames) in dB, 80 dB deep."""
    power = librosa.feature.melspectrogram(y=made.wave, sr=made.sample_rate_hz, hop_length=512, n_mels=64)
    return librosa.power_to_db(power, top_db=80)[:, :320]


def fork(studio: Studio) -> None:
    print("| fork at step | another style | other noise |\n|---:|---:|---:|")
    parents = [plain(studio, number) for number in range(len(MUSIC))]
    for at in (0, 2, 4, 6, 8, 12, 16):
        style, noise = [], []
        for number, parent in enumerate(parents):
            own = MUSIC[number][0]
            other = MUSIC[(number + 1) % len(MUSIC)][0]
            one = plain(studio, number, style=other, edits={"fork": {"at": at, "parent": {"style": own}}})
            two = plain(studio, number, seed=number + 50, edits={"fork": {"at": at, "parent": {"seed": number}}})
            style.append(distance_db(one.features, parent.features, studio.mel))
            noise.append(distance_db(two.features, parent.features, studio.mel))
        print(f"| {at} | {np.mean(style):.1f} dB | {np.mean(noise):.1f} dB |", flush=True)


def transform(studio: Studio) -> None:
    print("| strength | evaluations | chroma correlation | distance |\n|---:|---:|---:|---:|")
    parents = [plain(studio, number) for number in range(len(MUSIC))]
    for strength in (0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        alike, far = [], []
        for number, parent in enumerate(parents):
            source, given = named(parent)
            edits = {"transform": {**given, "strength": strength}}
            others = {"style": MUSIC[number][0], "ensemble": OTHERS[MUSIC[number][1]], "seed": number + 50}
            made = clip(studio, [source], **others, edits=edits)
            alike.append(np.corrcoef(chroma(parent), chroma(made))[0, 1])
            far.append(distance_db(made.features, parent.features, studio.mel))
        count = made.settings["evaluations"]
        print(f"| {strength:g} | {count} | {np.mean(alike):.2f} | {np.mean(far):.1f} dB |", flush=True)


def loop(studio: Studio) -> None:
    print("| clip | flux at the seam, of the median | share of places with less |\n|---|---:|---:|")
    for name, edits in (("as it is", {}), ("loop", {"loop": {}})):
        seams = [flux(plain(studio, number, edits=edits)) for number in range(len(MUSIC))]
        _seam(name, [(each, 0, each[1:]) for each in seams])


def inpaint(studio: Studio) -> None:
    print("| the middle | flux at its borders, of the median | share of places with less |\n|---|---:|---:|")
    bins = np.zeros((128, 320), bool)
    bins[:, 128:224] = True
    before, after, heard = [], [], []
    for number in range(len(MUSIC)):
        parent = plain(studio, number)
        source, given = named(parent)
        edits = {"inpaint": {**given, "mask": mask_of(bins)}}
        made = clip(studio, [source], **labels(parent), seed=number + 50, edits=edits)
        assert np.array_equal(made.features[:, ~bins], parent.features[:, ~bins])
        heard.append(np.abs(heard_db(made) - heard_db(parent))[:, np.r_[0:120, 232:320]].mean())
        usual = flux(parent)[1:]
        before += [(flux(parent), border, usual) for border in (128, 224)]
        after += [(flux(made), border, usual) for border in (128, 224)]
    _seam("as it was", before)
    _seam("composed anew", after)
    print(f"\nThe sound further than eight frames from the borders changes by {np.mean(heard):.2f} dB.")


def _seam(name: str, places: list[tuple[np.ndarray, int, np.ndarray]]) -> None:
    ratio = np.exp(np.mean([np.log(found[border] / np.median(usual)) for found, border, usual in places]))
    share = np.mean([(usual < found[border]).mean() for found, border, usual in places])
    print(f"| {name} | {ratio:.2f} | {share:.2f} |", flush=True)


TABLES: dict[str, Callable[[Studio], None]] = {"fork": fork, "transform": transform, "loop": loop, "inpaint": inpaint}

if __name__ == "__main__":
    torch.set_num_threads(1)
    opened = open_studio(find_checkpoint(), "cpu")
    for chosen in sys.argv[1:] or TABLES:
        TABLES[chosen](opened)
        print()
