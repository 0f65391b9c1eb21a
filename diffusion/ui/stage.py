"""What a presenter's key asks for: the clip on show again, with another preset, another seed or the next ensemble."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from diffusion.studio import ANY, Request, Studio, draw_seed


def staged(studio: Studio, wish: Mapping[str, Any]) -> Request:
    """The request of a wish: all of it may be missing. ValueError names what cannot be followed.

    `settings` are those of the clip on show, `preset` is the title of one, `turn` says how many ensembles to go on
    with the seed held; without a turn the seed is drawn.
    """
    options = studio.options()
    shown = wish.get("settings")
    request = Request.from_dict(shown) if isinstance(shown, Mapping) else studio.request()
    preset, turn = wish.get("preset"), wish.get("turn") or 0
    if preset is not None:
        if preset not in options["presets"]:
            raise ValueError(f"preset: got {preset!r}, allowed {', '.join(options['presets'])}")
        chosen = dict(options["presets"][preset])
        request = replace(request, **{"knobs": {}, **chosen})
    if turn:
        ensembles = studio.labels["ensemble"] or [ANY]
        if not isinstance(turn, int) or isinstance(turn, bool):
            raise ValueError(f"turn: got {turn!r}, need a whole number")
        at = ensembles.index(request.ensemble) if request.ensemble in ensembles else -1
        request = replace(request, ensemble=ensembles[(at + turn) % len(ensembles)])
    else:
        request = replace(request, seed=draw_seed())
    request = replace(request, model=studio.digest)
    studio.check(request)
    return request
