"""A real server in its own process and a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serving import PATIENCE_S, free_port, serving

from diffusion.cli import main
from diffusion.studio import Studio, open_studio

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-background-networking --no-first-run "
    "--disable-component-update --disable-sync"
)


@pytest.fixture(scope="session")
def model(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint of a network too small to know music, with a welcome as the shipped one has it."""
    folder = tmp_path_factory.mktemp("models") / "small"
    shutil.copytree(small_checkpoint, folder)
    out, film = str(folder / "welcome.wav"), str(folder / "welcome.json")
    main(["generate", "--checkpoint", str(folder), "--device", "cpu", "--seed", "0", "--out", out, "--film", film])
    return folder


@pytest.fixture(scope="session")
def studio(model: Path) -> Studio:
    return open_studio(model, "cpu")


@pytest.fixture(scope="session")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a running page."""
    with serving(model, tmp_path_factory.mktemp("server") / "log.txt", free_port()) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium-headless-shell")
    if chromium is None:
        pytest.skip("no chromium-headless-shell")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture
def screen(request: pytest.FixtureRequest) -> tuple[int, int]:
    """Width and height of a visitor's window, unless a test asks for another; `visitor.both_widths` sets it."""
    return getattr(request, "param", (1440, 900))


@pytest.fixture
def visit(browser, server: str, screen: tuple[int, int]) -> Iterator[Callable]:
    """Open the page as a new visitor and wait until it can be used and played; no request may leave the machine."""
    contexts, abroad, errors = [], [], []

    def open_page(query: str = "", width: int = screen[0], height: int = screen[1], **options):
        context = browser.new_context(
            viewport={"width": width, "height": height}, reduced_motion="reduce", accept_downloads=True, **options
        )
        context.set_default_timeout(1000 * PATIENCE_S)
        contexts.append(context)
        page = context.new_page()
        local = (server, "data:", "blob:")
        page.on("request", lambda request: abroad.append(request.url) if not request.url.startswith(local) else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{server}/{query}")
        page.wait_for_selector("#generate:not([disabled])")
        page.wait_for_selector(".play:not([disabled])")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not abroad
    assert not errors
