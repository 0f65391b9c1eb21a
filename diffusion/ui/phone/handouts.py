"""What the audience opens on its phones: a finished clip on a small page of its own, served as it was kept."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from html import escape
from string import Template
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from diffusion.request import Request
from diffusion.samplers import SAMPLERS
from diffusion.ui.messages import ClipMessage, PhoneLink
from diffusion.ui.shared.assets import asset, colours
from diffusion.ui.shared.latest import Latest
from diffusion.ui.shared.naming import Title, disposition
from diffusion.ui.shared.reach import Reach, qr_svg
from diffusion.ui.shared.words import prefers_french, said

CLIPS, CLIP_BYTES = 64, 64 * 2**20
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src data:; media-src 'self'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Language",
}
GROWN = "Grown from noise {seed} by {sampler} in {steps} steps, guidance {guidance}, {seconds} seconds long."
GROWN_AND_STOPPED = GROWN.replace("{steps}", "{stopped} of {steps}")
PICTURE = "Spectrogram of the clip: time from left to right, pitch upwards"
WHY_GONE = (
    "Only the latest clips are kept, and none when the page is started anew. The settings in its WAV file, or a link "
    "to them, compose the same clip again."
)


@dataclass(frozen=True)
class Handout:
    """A finished clip: its settings and its title, its WAV file, its picture as a data URI, and what the file is
    called."""

    settings: dict[str, Any]
    title: Title
    wav: bytes
    picture: str
    name: str

    @property
    def size_bytes(self) -> int:
        return len(self.wav) + len(self.picture)


class Handouts:
    """The latest finished clips, for phones: `/clip/<id>` is a page, `/clip/<id>.wav` the file. Nothing is sampled."""

    def __init__(self, reach: Reach | None = None) -> None:
        self.reach = reach or Reach()
        self._kept: Latest[Handout] = Latest(CLIPS, CLIP_BYTES, lambda handout: handout.size_bytes)

    def keep(self, clip: ClipMessage) -> ClipMessage:
        """Keep the clip of a message to the canvas, which comes back with its id as `handout`."""
        name = handout_id(clip["settings"])
        wav = base64.b64decode(clip["audio"])
        self._kept[name] = Handout(clip["settings"], clip["title"], wav, clip["picture"], clip["name"])
        return {**clip, "handout": name}

    def link(self, asked: Any) -> PhoneLink | None:
        """The page of a clip {page, handout} for other devices: the address of the page in the visitor's browser, and
        the clip's id.

        Empty text for a clip that is not kept; None if there is no address that other devices can open.
        """
        page, name = (asked.get("page"), asked.get("handout")) if isinstance(asked, dict) else (None, None)
        address = self.reach.address(page) if isinstance(page, str) else None
        if address is None:
            return None
        if not isinstance(name, str) or name not in self._kept:
            return {"url": "", "svg": ""}
        return {"url": f"{address}clip/{name}", "svg": qr_svg(f"{address}clip/{name}")}

    def routes(self) -> list[Route]:
        return [Route("/clip/{name}.wav", self._file), Route("/clip/{name}", self._page)]

    async def _page(self, http: HttpRequest) -> Response:
        name = http.path_params["name"]
        handout = self._kept.get(name)
        if handout is None:
            return _missing(http)
        return HTMLResponse(_page(name, handout, _in_french(http)), headers=HEADERS)

    async def _file(self, http: HttpRequest) -> Response:
        handout = self._kept.get(http.path_params["name"])
        if handout is None:
            return _missing(http)
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Disposition": disposition(handout.name),
            "X-Content-Type-Options": "nosniff",
        }
        size = len(handout.wav)
        part = byte_range(http.headers.get("range", ""), size)
        if part is None:
            return Response(handout.wav, media_type="audio/wav", headers=headers)
        if not part:
            return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
        return Response(handout.wav[part.start : part.stop], 206, headers, "audio/wav")


def _in_french(http: HttpRequest) -> bool:
    return prefers_french(http.headers.get("accept-language", ""))


def _missing(http: HttpRequest) -> Response:
    return HTMLResponse(_gone(_in_french(http)), 404, HEADERS)


def handout_id(settings: dict[str, Any]) -> str:
    """The digest of all that decides a clip, its request and where it was stopped: the same for the same settings."""
    decisive = {**Request.from_dict(settings).to_dict(), "stopped_at": settings.get("stopped_at")}
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:16]


def byte_range(header: str, size: int) -> range | None:
    """The bytes that a Range header asks for (RFC 9110, 14.2), or None for all of them; empty if it cannot be met.

    Phones play nothing that is not served in parts. Several ranges at once may be answered with everything.

    >>> byte_range("bytes=0-1", 10), byte_range("bytes=8-", 10), byte_range("bytes=-3", 10), byte_range("bytes=10-", 10)
    (range(0, 2), range(8, 10), range(7, 10), range(0, 0))
    """
    match = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", header.strip())
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return range(max(0, size - int(last)), size) if int(last) else range(0)
    if last and int(last) < int(first):
        return None
    stop = min(int(last) + 1, size) if last else size
    return range(int(first), stop) if int(first) < size else range(0)


def sentence(settings: dict[str, Any], french: bool = False) -> str:
    """All that makes the clip again, for people."""

    def number(value: float) -> str:
        return f"{value:g}".replace(".", "," if french else ".")

    stopped = settings.get("stopped_at")
    return said(
        GROWN if stopped is None else GROWN_AND_STOPPED,
        french,
        seed=settings["seed"],
        sampler=said(SAMPLERS[settings["sampler"]].title, french),
        steps=settings["steps"],
        stopped=stopped,
        guidance=number(settings["guidance_scale"]),
        seconds=number(settings["duration_s"]),
    )


def _page(name: str, handout: Handout, french: bool) -> str:
    heading, settings = escape(handout.title["fr" if french else "en"]), handout.settings
    again = escape(f"../?{Request.from_dict(settings).to_query()}")
    body = f"""<p class="over">Out of Noise</p>
<h1>{heading}</h1>
<figure><img src="{escape(handout.picture)}" alt="{said(PICTURE, french)}">
<audio controls loop preload="metadata" src="{name}.wav" aria-label="{heading}"></audio></figure>
<p>{said("A diffusion model composed this out of noise.", french)} {escape(sentence(settings, french))}</p>
<nav><a class="main" href="{again}">{said("Compose it again", french)}</a>
<a href="{name}.wav" download="{escape(handout.name)}">{said("Save the sound", french)}</a></nav>"""
    return _document(heading, body, french)


def _gone(french: bool) -> str:
    body = f"""<p class="over">Out of Noise</p>
<h1>{said("This clip is no longer here", french)}</h1>
<p>{said(WHY_GONE, french)}</p>
<nav><a class="main" href="../">{said("Open the page", french)}</a></nav>"""
    return _document(said("No longer here", french), body, french)


def _document(title: str, body: str, french: bool) -> str:
    palette, fixed = asset("shared/palette.css"), colours()
    return Template(asset("phone/phone.html")).substitute(
        title=title,
        body=body,
        language="fr" if french else "en",
        palette=palette,
        light=fixed["ink-50"],
        dark=fixed["ink-950"],
    )
