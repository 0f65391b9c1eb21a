"""Links that make a clip again, as text and as a QR code."""

from __future__ import annotations

import segno


def qr_svg(url: str) -> str:
    """The QR code of a URL as an inline SVG, dark on light whatever the page's colours; error correction M."""
    return str(segno.make(url, error="m", micro=False).svg_inline(scale=4, border=4, dark="#000", light="#fff"))
