"""What is done with music that is there, or with a run on its way: each edit a small thing that one may ask for.

An edit changes no sampler and no network. It wraps a denoiser, shortens the times or mixes the noise, and each file
here has one: what may be asked, and how it is done. `diffusion.compose` puts them together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields
from typing import Any

from .blend import Blend, Blended
from .fork import Fork, Relay
from .inpaint import LOOKS, STEPS_SHARE, Continue, Inpaint, Inpainted, bins_of, mask_of, read_mask
from .loop import Loop, Rolled, whole_beats
from .pulse import heard_pulse
from .source import LONGEST_S, Source, Sources, needed
from .timeline import Section, Sectioned, Timeline, shares
from .transform import Transform, start

Edit = Inpaint | Continue | Transform | Loop | Fork | Blend | Timeline

EDITS: dict[str, type[Edit]] = {
    "inpaint": Inpaint,
    "continue": Continue,
    "transform": Transform,
    "loop": Loop,
    "fork": Fork,
    "blend": Blend,
    "timeline": Timeline,
}
"""By name, as requests, links and files have them."""
LONGEST_TEXT = 1250
"""How many characters of JSON edits may take: with so many the settings of a clip still fit into its WAV file."""
SOURCED = ("inpaint", "continue", "transform")
"""The edits that begin from a source, of which a clip has one at most."""


def read(given: Mapping[str, Any]) -> dict[str, Edit]:
    """The edits in a mapping {name: what is asked of it}, as JSON has it, in the order of EDITS.

    ValueError for an edit or a field that is not known, for one that is missing, and for values that are not allowed.
    """
    for name in given:
        if name not in EDITS:
            raise ValueError(f"edits: got {name!r}, allowed {', '.join(EDITS)}")
    if len(sourced := [name for name in SOURCED if name in given]) > 1:
        raise ValueError(f"edits: got {' and '.join(sourced)}, allowed one that begins from a source")
    return {name: _read(name, kind, given[name]) for name, kind in EDITS.items() if name in given}


def written(edits: Mapping[str, Edit]) -> dict[str, Any]:
    """Inverts `read`: JSON values. ValueError for more than LONGEST_TEXT."""
    values = {name: asdict(each) for name, each in edits.items()}
    if len(text := json.dumps(values, separators=(",", ":"))) > LONGEST_TEXT:
        raise ValueError(f"edits: got {len(text)} characters of JSON, allowed {LONGEST_TEXT}; ask for less at once")
    return values


def _read(name: str, kind: type[Edit], given: Any) -> Edit:
    known = {each.name: each.default is MISSING for each in fields(kind)}
    if not isinstance(given, Mapping) or not given.keys() <= known.keys():
        raise ValueError(f"edits: got {name} = {given!r}, need an object with {', '.join(known) or 'nothing in it'}")
    if lacking := [field for field, necessary in known.items() if necessary and field not in given]:
        raise ValueError(f"edits: got {name} without {', '.join(lacking)}")
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"edits: {name}: {error}") from error


__all__ = [
    "EDITS",
    "LONGEST_S",
    "LONGEST_TEXT",
    "LOOKS",
    "SOURCED",
    "STEPS_SHARE",
    "Blend",
    "Blended",
    "Continue",
    "Edit",
    "Fork",
    "Inpaint",
    "Inpainted",
    "Loop",
    "Relay",
    "Rolled",
    "Section",
    "Sectioned",
    "Source",
    "Sources",
    "Timeline",
    "Transform",
    "bins_of",
    "heard_pulse",
    "mask_of",
    "needed",
    "read",
    "read_mask",
    "shares",
    "start",
    "whole_beats",
    "written",
]
