"""How other devices reach the page: its address on the network, links to a clip, and QR codes."""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any, TypedDict
from urllib.parse import urlsplit

import segno

URL_BYTES = 1500  # several times a long link, and still a code that a camera reads
EVERYWHERE = ("0.0.0.0", "::")  # hosts that listen to the whole network
# Addresses for documentation (RFC 5737 and 3849): connecting to one only picks a route.
ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


class Link(TypedDict):
    """The link of a clip and its code, an SVG; `near` if only this machine can open it."""

    url: str
    svg: str
    near: bool


@dataclass(frozen=True)
class Reach:
    """What is known of the page's address: the `host` that the server listens on, None for this machine alone, and the
    `public_url` that whoever runs it declares it to have."""

    host: str | None = None
    public_url: str | None = None

    def address(self, origin: str) -> str | None:
        """The address of the page for another device, with a slash at its end, or None if no other can reach it.

        `origin` is what the visitor's browser calls the page.
        """
        if self.public_url:
            return self.public_url.rstrip("/") + "/"
        try:
            seen = urlsplit(origin)
            port = f":{seen.port}" if seen.port else ""
        except ValueError:
            return None
        if seen.scheme not in ("http", "https") or not seen.hostname:
            return None
        if not _this_machine(seen.hostname):
            return f"{seen.scheme}://{seen.netloc}{seen.path.rstrip('/')}/"
        if self.host is None or (_this_machine(self.host) and self.host not in EVERYWHERE):
            return None
        name = lan_address(self.host) if self.host in EVERYWHERE else self.host
        return name and f"{seen.scheme}://{in_url(name)}{port}{seen.path.rstrip('/')}/"

    def link(self, page: Any, query: Any) -> Link:
        """A clip's link for other devices, with its QR code.

        `page` is the page's address in the visitor's browser. ValueError for what is no link or too long for a code.
        """
        if not isinstance(page, str) or not isinstance(query, str):
            raise ValueError(f"page and query: got {type(page).__name__} and {type(query).__name__}, need text")
        address = self.address(page)
        url = f"{address or page}?{query}"
        return {"url": url, "svg": qr_svg(url), "near": address is None}


def qr_svg(url: str) -> str:
    """The QR code of a URL as an inline SVG, dark on light whatever the page's colours; error correction M.

    ValueError for more than URL_BYTES or no web address.
    """
    if not url.startswith(("http://", "https://")) or len(url.encode()) > URL_BYTES:
        raise ValueError(f"url: got {url[:40]!r} ({len(url)} characters), need http(s):// in {URL_BYTES} bytes")
    return str(segno.make(url, error="m", micro=False).svg_inline(border=4, dark="#000", light="#fff", omitsize=True))


def lan_address(host: str = "0.0.0.0") -> str | None:
    """This machine's address on its local network, None without one; `host` is one of EVERYWHERE. Nothing is sent."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((ELSEWHERE[family], 9))
            address = str(probe.getsockname()[0])
    except OSError:
        return None
    return None if _this_machine(address) else address


def in_url(host: str) -> str:
    """A host's name or address as it stands in a URL.

    >>> in_url("::1"), in_url("127.0.0.1")
    ('[::1]', '127.0.0.1')
    """
    return f"[{host}]" if ":" in host else host


def check_public_url(url: str) -> str:
    """The address that another device can open; ValueError for anything else."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or _this_machine(parts.hostname):
        raise ValueError(f"public_url: got {url!r}, need http://... or https://... of a name that other devices know")
    return url


def _this_machine(name: str) -> bool:
    """Whether a host name leads every device to itself."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback or address.is_unspecified
