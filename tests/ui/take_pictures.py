"""Takes the README's pictures of the page: `PYTHONPATH=. python tests/ui/take_pictures.py`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from conftest import FLAGS
from playwright.sync_api import Page, sync_playwright
from serving import PATIENCE_S, free_port, serving
from visitor import choose, finished, generate, write_seed

from diffusion.checkpoint import find_checkpoint

PICTURES = Path(__file__).parent / "pictures"
DESKTOP, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def compose(page: Page) -> None:
    choose(page, "style", "reel")
    choose(page, "ensemble", "harpsichord")
    write_seed(page, "Ada")
    generate(page)
    finished(page)
    page.evaluate("async () => (await import('/page/shared/player.js')).player.seek(3.2)")
    page.click(".play")


def compare(page: Page) -> None:
    choose(page, "ensemble", "harpsichord")
    page.get_by_role("link", name="Compare").click()
    page.get_by_role("button", name="Compose the cells").click()
    page.get_by_text("cells are there: click one").wait_for()
    page.locator("#compare [role=gridcell]").nth(4).click()


def stage(page: Page) -> None:
    compose(page)
    page.get_by_role("button", name="Stage").first.click()
    page.locator("#stage svg").first.wait_for()


SHOTS = {
    "desktop-dark": (DESKTOP, "dark", compose),
    "desktop-light": (DESKTOP, "light", compose),
    "phone-light": (PHONE, "light", compose),
    "phone-dark": (PHONE, "dark", compose),
    "compare": (DESKTOP, "dark", compare),
    "stage": (DESKTOP, "dark", stage),
}


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    log, port = Path(tempfile.mkdtemp()) / "log.txt", free_port()
    phones = ("--public-url", "https://out-of-noise.example")
    with serving(find_checkpoint(), log, port, *phones) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium-headless-shell"), args=FLAGS.split()
        )
        for name, (viewport, scheme, show) in SHOTS.items():
            context = browser.new_context(viewport=viewport, color_scheme=scheme, reduced_motion="reduce")
            context.set_default_timeout(1000 * PATIENCE_S)
            page = context.new_page()
            page.goto(address)
            page.wait_for_selector(".play:not([disabled])")
            show(page)
            page.mouse.move(0, 0)
            if viewport is DESKTOP:
                page.evaluate("scrollTo(0, 0)")
            page.wait_for_function("document.getAnimations().length === 0")
            page.screenshot(path=PICTURES / f"{name}.jpg", quality=82)
            context.close()


if __name__ == "__main__":
    main()
