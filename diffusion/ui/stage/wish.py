"""What a presenter's key asks for: the clip on show again, with another preset, another seed or the next ensemble."""

from __future__ import annotations

from collections.abc import Mapping

from diffusion.request import Request
from diffusion.settings import ANY, PRESETS, Setting, draw_seed
from diffusion.studio import Studio
from diffusion.ui.messages import Stage

STALL_S = 6  # after which the stage puts on a clip that was made before
TURNED = "ensemble"  # the label whose next value a key asks for


def turned(studio: Studio) -> Setting | None:
    """The label that the stage turns; None if the model does not know it."""
    return studio.settings[TURNED] if studio.labels.get(TURNED) else None


def staged(studio: Studio, wish: Stage) -> Request:
    """The request of a wish; ValueError names what cannot be followed.

    `wish.settings` are those of the clip on show; with a turn its seed is held, without one it is drawn. The new clip
    is made of noise alone, so it has no edits.
    """
    shown = wish.settings
    request = Request.from_dict({**shown, "edits": {}}) if isinstance(shown, Mapping) else studio.request()
    if wish.preset is not None:
        if wish.preset not in PRESETS:
            raise ValueError(f"preset: got {wish.preset!r}, allowed {', '.join(PRESETS)}")
        request = studio.by_preset(request, wish.preset)
    if wish.turn:
        if not isinstance(wish.turn, int) or isinstance(wish.turn, bool):
            raise ValueError(f"turn: got {wish.turn!r}, need a whole number")
        values = studio.labels.get(TURNED) or [ANY]
        now = request.label(TURNED)
        at = values.index(now) if now in values else -1
        request = request.changed(**{TURNED: values[(at + wish.turn) % len(values)]})
    else:
        request = request.changed(seed=draw_seed())
    request = request.changed(model=studio.digest)
    studio.check(request)
    return request
