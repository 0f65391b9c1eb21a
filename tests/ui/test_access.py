"""The page for everybody: axe-core finds nothing serious, in both themes, at both widths and in every state."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from visitor import finished, generate, quick

SERIOUS = {"serious", "critical"}


def violations(page) -> list[str]:
    """What axe-core calls serious, with the elements it means."""
    page.wait_for_function("document.getAnimations().length === 0")  # colours on their way are nobody's
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:160]} {node['failureSummary'][:200]}"
        for each in found
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


def compose(page) -> None:
    quick(page)
    generate(page)
    finished(page)


def unfold(page) -> None:
    page.click("#advanced button")
    page.click("#settings button")


def both(page) -> None:
    page.click(".views [data-view=both]")


def stage(page) -> None:
    page.get_by_role("button", name="Stage").first.click()


def leave_stage(page) -> None:
    page.keyboard.press("Escape")
    page.wait_for_selector("#stage", state="hidden")


def compare(page) -> None:
    page.get_by_role("link", name="Compare").click()
    page.locator("#compare").get_by_role("button", name="Compose the cells").wait_for()


def lab(page) -> None:
    page.get_by_role("link", name="Lab", exact=True).click()
    page.wait_for_selector("#lab .numbers tbody tr")


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_stands_in_the_way(visit, scheme: str, width: int) -> None:
    page = visit(width=width, height=900, color_scheme=scheme)
    found = {}
    for state in (compose, unfold, both, stage, leave_stage, compare, lab):
        state(page)
        found[state.__name__] = violations(page)
    assert not any(found.values()), found
