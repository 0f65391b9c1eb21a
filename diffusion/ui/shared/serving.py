"""Where the page is served: its host and port, the path that a proxy knows it by, and the folder for its files."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from diffusion.files import check_folder

HERE = "127.0.0.1"  # the host of a page for this machine alone; Gradio listens to nothing whose port is taken there
PORTS = range(7860, 7960)  # of which the first free one is taken, if none is asked for
PLACED = b"<script>gradio_config.root = new URL('.', location.href).href.replace(/\\/$/, '');</script></head>"
"""The end of the page's head. Gradio's client asks for everything below `root`, which is then where the browser is."""


def open_port(host: str = HERE, port: int | None = None) -> int:
    """A port on which the page can listen at `host`, a name or an address of this machine.

    ValueError for a host that is none, and for a port that is taken, forbidden or impossible.
    """
    if port is not None and not 0 < port < 2**16:
        raise ValueError(f"port: got {port}, allowed 1 to {2**16 - 1}")
    if "%" in host:
        raise ValueError(f"host: got {host!r}, need an address without a zone: no link can say one")
    try:
        found = [each for name in (host, HERE) for each in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    except (OSError, UnicodeError) as error:
        raise ValueError(f"host: got {host!r}, need a name or an address of this machine ({error})") from error
    ports = PORTS if port is None else [port]
    for each in ports:
        refused = next(filter(None, (_refused(family, address, each) for family, _, _, _, address in found)), None)
        if refused is None:
            return each
    asked = port or f"{PORTS.start} to {PORTS.stop - 1}"
    raise ValueError(f"port: got {asked} on {host}, where the page cannot listen: {refused}")


def _refused(family: int, address: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes], port: int) -> str:
    """Why nothing can listen at an address; empty if something can."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((address[0], port, *address[2:]))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def own_folder() -> None:
    """Let Gradio keep its files where this user can write, as GRADIO_TEMP_DIR says or else in the temporary folder.

    Its own choice there has the same name for every user, so it may be another's, and then a new one is made.
    ValueError if GRADIO_TEMP_DIR cannot be written.
    """
    given = os.environ.get("GRADIO_TEMP_DIR")
    folder = Path(given or Path(tempfile.gettempdir(), "gradio"))
    try:
        check_folder("GRADIO_TEMP_DIR", folder)
    except ValueError:
        if given:
            raise
        folder = Path(tempfile.mkdtemp(prefix="gradio-"))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)


class Prefixed:
    """A page that works behind a proxy that gives it a prefix, whether the proxy strips it or not.

    Every path has the prefix that GRADIO_ROOT_PATH declares. ASGI wants it there: without it, whatever is mounted below
    another path looks for its files in the wrong place. A page that has not been told its prefix hears it from the
    browser.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        prefix = urlsplit(scope.get("root_path", "")).path.rstrip("/")
        if prefix and scope["type"] in ("http", "websocket"):
            path = scope["path"]
            kept = path == prefix or path.startswith(f"{prefix}/")
            scope = {**scope, "root_path": prefix, "path": path if kept else prefix + path}
        page = scope["type"] == "http" and scope["method"] == "GET" and scope["path"].rstrip("/") == prefix
        await self.app(scope, receive, _placing(send) if page else send)


def _placing(send: Send) -> Send:
    """What sends the page with PLACED at the end of its head."""
    start: Message = {}
    body = b""

    async def whole(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
            return
        body += message.get("body", b"")
        if message.get("more_body"):
            return
        body = body.replace(b"</head>", PLACED, 1)
        MutableHeaders(scope=start)["content-length"] = str(len(body))
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return whole
