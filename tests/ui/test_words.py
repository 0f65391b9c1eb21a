"""The page in English and in French: nothing is left untranslated, and nothing is lost on the way."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from visitor import finished, generate, message, quick

from diffusion.corrections import ENDINGS
from diffusion.data.labels import BEATS, KEYS, LABELS
from diffusion.settings import LABELS as ASKED
from diffusion.settings import titled
from diffusion.studio import Studio
from diffusion.ui.shared.assets import ROOMS
from diffusion.ui.shared.words import FRENCH

NAMES = {
    "Out of Noise",
    "UniPC",
    "DDIM",
    "DDPM",
    "Heun",
    "Euler",
    "Griffin-Lim",
    "Karras",
    "JSON",
    "QR",
    "CSV",
    "log-SNR",
}
NOTATION = {titled(each) for each in (*KEYS, *BEATS)}  # a sentence has the key in words


class Words(HTMLParser):
    """What a piece of HTML says: texts and what screen readers read."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.said: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.said |= {value for name, value in attributes if value and name in ("aria-label", "title", "placeholder")}

    def handle_data(self, text: str) -> None:
        filled_in = re.search("[@$]", text)  # with what other tests look at
        if re.search("[A-Za-z]{2}", text) and not filled_in:
            self.said.add(" ".join(text.split()))


def placeholders(sentence: str) -> list[str]:
    return sorted(re.findall(r"\{\w+\}", sentence))


@pytest.mark.parametrize("module", sorted(ROOMS.glob("*/*.js")), ids=lambda path: path.name)
def test_every_sentence_of_a_module_has_its_french(module: Path) -> None:
    literals = re.findall(r"""\bt\(\s*("(?:[^"\\]|\\.)*")""", module.read_text(encoding="utf-8"))
    assert {json.loads(each) for each in literals} - FRENCH.keys() == set()


@pytest.mark.parametrize("page", sorted(ROOMS.glob("*/*.html")), ids=lambda path: path.name)
def test_every_sentence_of_the_markup_has_its_french(page: Path) -> None:
    assert Words(page.read_text(encoding="utf-8")).said - FRENCH.keys() - NAMES == set()


def test_every_setting_is_explained_in_french(studio: Studio) -> None:
    options = studio.options()
    said: set[str] = set()
    for name in options.keys() - {"knobs", "model", "edits", "presets"}:  # which the page does not explain
        said |= {options[name]["title"], options[name]["help"]}
        said |= set(options[name].get("summaries", {}).values()) | set(options[name].get("titles", {}).values())
    for knobs in options["knobs"].values():
        for name, knob in knobs.items():
            said |= {knob["help"], name.replace("_", " ").capitalize()}
    missing = said - FRENCH.keys()
    assert {each for each in missing if each not in NAMES | NOTATION and not each.startswith("DPM-Solver")} == set()


def test_every_label_has_its_french() -> None:
    known = {**LABELS, "ending": ENDINGS}
    words = {titled(word) for name in ASKED for word in (name, *known[name])}
    assert words - NOTATION | {f"in {titled(key)}" for key in KEYS} <= FRENCH.keys()


def test_french_sentences_keep_their_values() -> None:
    for english, french in FRENCH.items():
        assert placeholders(english) == placeholders(french), english
        assert french.strip(), english


def english_left(page) -> list[str]:
    """Keys on show whose French differs."""
    keys = [english for english, french in FRENCH.items() if english != french]
    return page.evaluate(
        """(keys) => {
            const english = new Set(keys), found = [];
            const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) {
                const text = walker.currentNode.data.trim();
                if (english.has(text) && walker.currentNode.parentElement.checkVisibility()) found.push(text);
            }
            for (const each of document.querySelectorAll('[aria-label]')) {
                if (english.has(each.getAttribute('aria-label'))) found.push(each.getAttribute('aria-label'));
            }
            return found;
        }""",
        keys,
    )


def test_a_french_visitor_reads_french(visit) -> None:
    page = visit(locale="fr-FR")
    assert page.locator("#generate").inner_text().startswith("Composer")
    assert page.evaluate("document.documentElement.lang") == "fr"
    quick(page)
    generate(page)
    finished(page)
    assert "bruit" in message(page)
    page.click("#advanced button")
    assert english_left(page) == []
    page.click(".rooms a[href='#compare']")
    page.wait_for_selector(".compare [data-axis=y] .values button")
    page.wait_for_function("document.querySelector('.compare .cost').textContent.includes('cases')")
    assert english_left(page) == []


def test_a_french_visitor_takes_a_french_report_along(visit, browser, tmp_path: Path) -> None:
    page = visit(locale="fr-FR")
    quick(page, 1)
    page.click(".rooms a[href='#compare']")
    page.locator(".compare [data-axis=x] .values input").fill("1, 2")
    page.locator(".compare .distances input").set_checked(False)
    page.click(".compare .run:not([disabled])")
    page.wait_for_selector(".compare .report:not([disabled])")
    with page.expect_download() as download:
        page.click(".compare .report")
    path = tmp_path / "rapport.html"
    download.value.save_as(path)
    report = browser.new_page()
    try:
        report.goto(path.as_uri())
        report.wait_for_selector("[role=gridcell][data-state=done]")
        assert report.title() == "Out of Noise : une comparaison"
        assert report.inner_text("h1").startswith("Échantillonneur")
        assert report.evaluate("document.documentElement.lang") == "fr"
        assert english_left(report) == []
    finally:
        report.close()


def test_others_read_english(visit) -> None:
    page = visit(locale="de-DE")
    assert page.locator("#generate").inner_text().startswith("Generate")
    assert "made of noise" in message(page)
