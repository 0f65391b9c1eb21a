"""The same requests before and after a change: are the clips the same bit for bit?

`python tests/benchmarks/digests.py record FILE` before the change, `... check FILE` after it, on one machine. Digests
are of float32 features without compilation; they differ between kinds of processors and say nothing across them.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from threading import Event
from typing import Any

import torch

from diffusion.checkpoint import find_checkpoint
from diffusion.engine import Clip, Preview
from diffusion.samplers import SAMPLERS
from diffusion.studio import Studio, open_studio
from diffusion.theory import STEPPED_GRIDS

SHORT: dict[str, Any] = {"duration_s": 2.56, "steps": 4, "seed": 7, "style": "reel", "ensemble": "flute"}
LENGTHS = (2.56, 5.12, 10.24, 20.48)
REQUESTS: list[dict[str, Any]] = [
    {"seed": 3, "steps": 3},
    *({**SHORT, "sampler": name} for name in SAMPLERS),
    *({**SHORT, "grid": name} for name in STEPPED_GRIDS),
    *({**SHORT, "guidance_rule": name, "guidance_scale": 3.5} for name in ("moving", "plain", "rescaled", "projected")),
    *({**SHORT, "guidance_from": log_snr} for log_snr in (-15, -6, 0)),
    *({**SHORT, "guidance_scale": scale} for scale in (1, 1.8, 15)),
    *({**SHORT, "steps": 2, "duration_s": length} for length in LENGTHS),
    {**SHORT, "style": "any"},
    {**SHORT, "ensemble": "any"},
    {**SHORT, "style": "any", "ensemble": "any"},
    {**SHORT, "mode": "minor", "tempo": "fast", "key": "F#", "beat": "104"},
    {**SHORT, "key": "Bb", "duration_s": 10.24},
    *({**SHORT, "ending": value} for value in ("goes_on", "ends")),
    {**SHORT, "ending": "ends", "ensemble": "any", "duration_s": 10.24},
    {**SHORT, "sampler": "ddim", "knobs": {"eta": 0.5}},
    {**SHORT, "sampler": "ddpm", "knobs": {"variance": "beta"}},
    {**SHORT, "decoder": "griffin-lim"},
    *({**SHORT, "seed": seed} for seed in (0, "Ada", 2**32 - 1)),
]
STOPPED = (1, 3)
BATCH = [{**SHORT, "seed": seed, "style": style} for seed, style in enumerate(("jig", "air", "any"))]


def digest(clip: Clip) -> dict[str, Any]:
    """What a clip is, in short."""
    made = {name: value for name, value in clip.settings.items() if name != "version"}
    return {
        "features": hashlib.sha256(clip.features.tobytes()).hexdigest()[:16],
        "wave": hashlib.sha256(clip.wave.tobytes()).hexdigest()[:16],
        "settings": made,
    }


def digests(studio: Studio) -> dict[str, Any]:
    """The digest of every request, of runs that were stopped, and of a batch."""
    found: dict[str, Any] = {}
    for settings in REQUESTS:
        for each in studio.generate(studio.request(**settings)):
            if isinstance(each, Clip):
                found[json.dumps(settings)] = digest(each)
    for after in STOPPED:
        stop = Event()
        for each in studio.generate(studio.request(**{**SHORT, "steps": 6}), stop):
            if isinstance(each, Preview) and each.index == after:
                stop.set()
            if isinstance(each, Clip):
                found[f"stopped after {after}"] = digest(each)
    clips = [
        each for each in studio.generate_many([studio.request(**each) for each in BATCH]) if isinstance(each, Clip)
    ]
    found |= {f"batch {number}": digest(clip) for number, clip in enumerate(clips)}
    return found


def main(task: str, path: Path) -> None:
    """Record, or check and exit with 1 if anything differs."""
    studio = open_studio(find_checkpoint(), "cpu", torch.float32)
    found = digests(studio)
    if task == "record":
        path.write_text(json.dumps(found, indent=1), encoding="utf-8")
        print(f"{len(found)} requests recorded in {path}")
        return
    known = json.loads(path.read_text(encoding="utf-8"))
    different = sorted(name for name in known.keys() | found.keys() if known.get(name) != found.get(name))
    for name in different:
        print(f"differs: {name}\n  {known.get(name)}\n  {found.get(name)}")
    print(f"{len(known) - len(different)} of {len(known)} requests give the same clip")
    sys.exit(bool(different))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
