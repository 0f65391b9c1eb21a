"""The clip that ships beside a model: what a visitor hears first, and what steps in where a run on stage stalls."""

from __future__ import annotations

from pathlib import Path

from diffusion.files import read_json
from diffusion.ui import messages
from diffusion.ui.messages import ClipMessage


def read_welcome(path: Path) -> ClipMessage | None:
    """The message of a clip that `generate --out WAV --film JSON` wrote, or None where there is none."""
    film = path.with_suffix(".json")
    if not (path.is_file() and film.is_file()):
        return None
    story = read_json(film)
    wav = path.read_bytes()
    clip = messages.clip("welcome", story["settings"], story["seconds"], story["film"], story["picture"], wav)
    return {**clip, "welcome": True}
