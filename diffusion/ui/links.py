"""Links and files that make a clip again: what they ask for, and a link as a QR code."""

from __future__ import annotations

from typing import Any

import segno
from fastapi import HTTPException

from diffusion.studio import Request

URL_BYTES = 1500  # several times a long link, and still a code that a camera reads
FOREIGN = ("__", "utm_", "fbclid=", "gclid=")  # what Gradio, Hugging Face and the places where links are shared add


def linked(query: str) -> Request | None:
    """The request in the query of an address, None if there is none; ValueError if it cannot be read."""
    own = "&".join(part for part in query.split("&") if not part.startswith(FOREIGN))
    return Request.from_query(own) if own else None


def filed(settings: Any) -> Request:
    """The request in settings that came from a visitor's file; ValueError for anything else."""
    if not isinstance(settings, dict):
        raise ValueError(f"settings: got {type(settings).__name__}, need an object with the settings of a clip")
    return Request.from_dict(settings)


def qr(url: Any) -> str:
    """The QR code of a link as an inline SVG, dark on light whatever the page's colours; error correction M."""
    if not isinstance(url, str) or not url.startswith(("http://", "https://")) or len(url.encode()) > URL_BYTES:
        raise HTTPException(422, f"url: need a web address of at most {URL_BYTES} bytes")
    code = segno.make(url, error="m", micro=False)
    return str(code.svg_inline(scale=4, border=4, dark="#000", light="#fff"))
