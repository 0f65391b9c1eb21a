"""Links and files that make a clip again: what they ask for."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlencode

from diffusion.request import KNOBS, Request
from diffusion.studio import Studio


def linked(query: str, studio: Studio) -> Request | None:
    """The request in the query of an address, None if there is none; ValueError if it cannot be read.

    Parameters that are no settings of the studio's belong to others: to Gradio, to the page's own views, to the places
    where links are shared, or to another model, which the request then names.
    """
    given = parse_qsl(query, keep_blank_values=True)
    own = [(name, text) for name, text in given if name in studio.settings or name in KNOBS]
    return Request.from_query(urlencode(own)) if own else None


def filed(settings: Any) -> Request:
    """The request in settings that came from a visitor's file; ValueError for anything else."""
    if not isinstance(settings, dict):
        raise ValueError(f"settings: got {type(settings).__name__}, need an object with the settings of a clip")
    return Request.from_dict(settings)
