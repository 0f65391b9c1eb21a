"""The page starts whatever is around it: proxies, hosts, locales, folders of others, a prefix that a proxy gives it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from gradio_client import Client
from serving import PATIENCE_S, free_port, serving
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from visitor import quick

from diffusion.ui.shared.reach import Reach, in_url, lan_address
from diffusion.ui.shared.serving import PORTS, Prefixed, open_port, own_folder

NOBODY = "http://127.0.0.1:9"  # where no proxy listens
PREFIX = "/music"
NEEDLESS = ("manifest.json", "iframeResizer.contentWindow.min.js")  # Gradio's, for installing and embedding the page
with_ipv6 = pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6")


@pytest.mark.parametrize(
    ("host", "environment"),
    [
        pytest.param("127.0.0.1", {"http_proxy": NOBODY, "HTTPS_PROXY": NOBODY}, id="proxy"),
        pytest.param("127.0.0.1", {"ALL_PROXY": "socks5://127.0.0.1:9"}, id="socks"),
        pytest.param("127.0.0.1", {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, id="ascii locale"),
        pytest.param("127.0.0.1", {"PYTHONIOENCODING": "cp1252"}, id="cp1252"),
        pytest.param("::", {}, id="every IPv6 address", marks=with_ipv6),
        pytest.param("[::1]", {}, id="IPv6", marks=with_ipv6),
    ],
)
@pytest.mark.slow
def test_the_page_starts_and_composes(host: str, environment: dict[str, str], model: Path, tmp_path: Path) -> None:
    (tmp_path / "gradio").touch()  # what stands where Gradio keeps its files is not ours
    around = {**environment, "TMPDIR": str(tmp_path)}
    at = in_url(host.strip("[]"))
    log = tmp_path / "log.txt"
    with serving(model, log, free_port(), "--host", host, host=at, environment=around) as address:
        *_, path, settings = Client(address, verbose=False).predict(
            seed=1, steps=1, duration_s=2.56, api_name="/generate"
        )
        assert settings["seed"] == 1
        assert Path(path).stat().st_size > 10_000
        page = httpx.get(address, trust_env=False).content.decode("utf-8")
        assert "Réglages" in page
    assert "\N{HAMMER}" in log.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("host", "port", "words"),
    [
        ("nowhere.invalid", None, r"host: got 'nowhere\.invalid', need a name or an address of this machine"),
        ("localhost:7860", None, "host: got 'localhost:7860'"),
        ("x" * 70, None, "host: got 'xxx"),
        ("fe80::1%lo", None, "host: got 'fe80::1%lo', need an address without a zone"),
        ("192.0.2.1", 7860, r"port: got 7860 on 192\.0\.2\.1, where the page cannot listen"),
        ("192.0.2.1", None, "port: got 7860 to 7959"),
        ("127.0.0.1", 0, "port: got 0, allowed 1 to 65535"),
        ("127.0.0.1", -1, "port: got -1"),
        ("127.0.0.1", 65536, "port: got 65536"),
    ],
)
def test_what_cannot_be_listened_to_is_named(host: str, port: int | None, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        open_port(host, port)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", pytest.param("::", marks=with_ipv6)])
def test_a_taken_port_is_refused_and_the_next_is_found(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_port()
    monkeypatch.setattr("diffusion.ui.shared.serving.PORTS", range(first, first + len(PORTS)))
    assert open_port(host, first) == first == open_port(host)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        taken.listen()
        with pytest.raises(ValueError, match=f"port: got {first} on {host}, where the page cannot listen"):
            open_port(host, first)
        assert open_port(host) > first


@with_ipv6
def test_phones_are_given_an_address_of_the_kind_that_the_page_listens_to() -> None:
    everywhere = Reach("::").address("http://127.0.0.1:7860/")
    assert everywhere == (lan_address("::") and f"http://[{lan_address('::')}]:7860/")
    assert Reach("2001:db8::5").address("http://127.0.0.1:7860/") == "http://[2001:db8::5]:7860/"


@pytest.mark.parametrize("origin", ["http://127.0.0.1:99999/", "http://[::1/", "http://127.0.0.1:x/"])
def test_what_is_no_address_has_none_for_phones(origin: str) -> None:
    assert Reach("0.0.0.0").address(origin) is None


def test_files_are_kept_in_a_folder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # nobody has asked for one; and what is set here goes with the test
    own_folder()
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path / "gradio")
    monkeypatch.delenv("GRADIO_TEMP_DIR")
    (tmp_path / "gradio").rmdir()
    (tmp_path / "gradio").touch()
    own_folder()
    other = Path(os.environ["GRADIO_TEMP_DIR"])
    assert other.parent == tmp_path
    assert other.is_dir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio" / "below"))  # somebody has asked for this one
    with pytest.raises(ValueError, match=r"GRADIO_TEMP_DIR: got .*/gradio/below, which cannot be made"):
        own_folder()


@pytest.mark.parametrize("root", ["", PREFIX, f"{PREFIX}/", f"https://music.example.org{PREFIX}"])
@pytest.mark.parametrize("kept", [True, False])
def test_a_request_finds_its_place_with_its_prefix_and_without(root: str, kept: bool) -> None:
    async def path(http: HttpRequest) -> PlainTextResponse:
        return PlainTextResponse(http.path_params.get("path", "none"))

    routes = [Route("/plain", path), Mount("/below", routes=[Route("/{path:path}", path)])]
    client = TestClient(Starlette(routes=routes, middleware=[Middleware(Prefixed)]), root_path=root)
    before = PREFIX if kept and root else ""
    assert client.get(f"{before}/plain").text == "none"
    assert client.get(f"{before}/below/a/b.js").text == "a/b.js"
    assert client.get(f"{before}/nowhere").status_code == 404


@contextmanager
def proxy(upstream: str, strips: bool) -> Iterator[str]:
    """The address, below PREFIX, of a reverse proxy before a page; it passes on the path without PREFIX or with it."""
    client = httpx.AsyncClient(base_url=upstream, timeout=None, trust_env=False)

    async def forward(http: HttpRequest) -> StreamingResponse:
        path = http.url.path.removeprefix(PREFIX) if strips else http.url.path
        url = httpx.URL(path=path or "/", query=http.url.query.encode())
        asked = client.build_request(http.method, url, headers=http.headers.raw, content=await http.body())
        answer = await client.send(asked, stream=True)
        named = {"content-type", "content-encoding", "location", "content-disposition"}
        headers = {name: value for name, value in answer.headers.items() if name in named}
        return StreamingResponse(answer.aiter_raw(), answer.status_code, headers)

    methods = ["GET", "POST", "HEAD"]
    app = Starlette(routes=[Route(f"{PREFIX}{{path:path}}", forward, methods=methods)])
    server = uvicorn.Server(uvicorn.Config(app, port=free_port(), log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.config.port}{PREFIX}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


@pytest.fixture(scope="module")
def prefixed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A page that has been told the prefix of its address."""
    log = tmp_path_factory.mktemp("prefixed") / "log.txt"
    with serving(model, log, free_port(), environment={"GRADIO_ROOT_PATH": PREFIX}) as address:
        yield address


@pytest.mark.slow
def test_every_file_is_found_behind_a_proxy_of_which_the_page_knows_nothing(server: str) -> None:
    with proxy(server, strips=True) as address:
        for file in ("page/compose/compose.js", "page/shared/french.json", ""):
            assert httpx.get(f"{address}/{file}", trust_env=False).status_code == 200
        *_, settings = Client(f"{address}/", verbose=False).predict(
            seed=1, steps=1, duration_s=2.56, api_name="/generate"
        )
        assert settings["seed"] == 1


@pytest.mark.parametrize(
    ("told", "strips"), [(True, True), (True, False), (False, True)], ids=["stripped", "kept", "stripped and not told"]
)
def test_the_page_works_behind_a_proxy_that_gives_it_a_prefix(
    browser, server: str, prefixed: str, told: bool, strips: bool
) -> None:
    with proxy(prefixed if told else server, strips) as address:
        *_, settings = Client(f"{address}/", verbose=False).predict(
            seed=1, steps=1, duration_s=2.56, api_name="/generate"
        )
        assert settings["seed"] == 1
        context = browser.new_context(reduced_motion="reduce")
        context.set_default_timeout(1000 * PATIENCE_S)
        page, lost = context.new_page(), []
        page.on("response", lambda each: lost.append(each.url) if each.status >= 400 else None)
        try:
            page.goto(f"{address}/")
            page.wait_for_selector("#generate:not([disabled])")
            page.wait_for_selector(".play:not([disabled])")
            quick(page, 2, 7)
            page.click("#generate:not([disabled])")
            page.wait_for_function("document.querySelector('.canvas .message').textContent.includes('noise 7')")
            assert [each for each in lost if not each.endswith(NEEDLESS)] == []
        finally:
            context.close()
