"""Links and files that make a clip again: what they ask for."""

from __future__ import annotations

from typing import Any

from diffusion.request import Request

# What Gradio, Hugging Face and the places where links are shared add, and the page to say which of its views it shows.
FOREIGN = ("__", "utm_", "fbclid=", "gclid=", "stage=")


def linked(query: str) -> Request | None:
    """The request in the query of an address, None if there is none; ValueError if it cannot be read."""
    own = "&".join(part for part in query.split("&") if not part.startswith(FOREIGN))
    return Request.from_query(own) if own else None


def filed(settings: Any) -> Request:
    """The request in settings that came from a visitor's file; ValueError for anything else."""
    if not isinstance(settings, dict):
        raise ValueError(f"settings: got {type(settings).__name__}, need an object with the settings of a clip")
    return Request.from_dict(settings)
