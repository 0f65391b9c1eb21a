"""Links that make a clip again, their codes, and addresses that a phone can open."""

from __future__ import annotations

import io
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from serving import PATIENCE_S, free_port, serving
from small_models import music, save
from visitor import SEED, both_widths, finished, generate, message, number, player, quick, settings_of, wav

from diffusion.request import Request
from diffusion.studio import Studio, open_studio
from diffusion.ui.compose.links import filed, linked
from diffusion.ui.shared.reach import Reach, check_public_url, lan_address, qr_svg

ANYTHING = {"style": "any", "ensemble": "any"}


@pytest.fixture(scope="module")
def invented(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """A model with a label of its own."""
    labels = {"style": ["chorale"], "ensemble": ["piano"], "mood": ["calm"]}
    return open_studio(save(tmp_path_factory.mktemp("invented") / "model", music(labels)), "cpu")


def test_a_declared_address_wins() -> None:
    assert Reach(None, "https://music.example.org").address("http://127.0.0.1:7860/") == "https://music.example.org/"
    assert Reach("0.0.0.0", "http://hall.lan/a/").address("http://10.0.0.7:7860/") == "http://hall.lan/a/"


@pytest.mark.parametrize("origin", ["http://10.0.0.7:7860/", "https://name.hf.space/?stage=1", "http://hall:80/sub/x"])
def test_what_a_browser_elsewhere_sees_does_for_others(origin: str) -> None:
    address = Reach().address(origin)
    assert address == origin.partition("?")[0].rstrip("/") + "/"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "0.0.0.0", "page.localhost"])
def test_this_machine_is_never_named(name: str) -> None:
    for host in (None, "127.0.0.1", "localhost", "::1"):
        assert Reach(host).address(f"http://{name}:7860/") is None
    assert Reach("192.168.3.4").address(f"http://{name}:7860/?stage=1") == "http://192.168.3.4:7860/"
    everywhere = Reach("0.0.0.0").address(f"http://{name}:7860/")
    assert everywhere == (lan_address() and f"http://{lan_address()}:7860/")


def test_the_local_network_is_not_this_machine() -> None:
    address = lan_address()
    assert address is None or not ipaddress.ip_address(address).is_loopback


@pytest.mark.parametrize(
    "url", ["ftp://a.b", "a.b", "http://", "http://localhost:1", "https://127.0.0.1", "http://a?b"]
)
def test_an_address_that_no_phone_can_open_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="public_url"):
        check_public_url(url)


def test_nonsense_has_no_address() -> None:
    assert Reach("0.0.0.0").address("file:///tmp/page.html") is None


def test_a_query_without_settings_is_no_link_and_what_others_add_to_one_is_no_setting(studio: Studio) -> None:
    assert linked("", studio) is None
    assert linked("__theme=dark&stage=1&view=api&ref=news", studio) is None
    asked = Request(ANYTHING, 7, "ddim", 9, 2.5, 5.12, {"eta": 0.25}, model="0123456789ab")
    others = "view=api&utm_source=mail&fbclid=x&__sign=y&mc_cid=1&ref=%C3%A9&empty="
    assert linked(f"{others}&{asked.to_query()}&{others}", studio) == asked


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("seed=1&steps=", "steps: got '', allowed a number from 1 to 1000"),
        ("seed=1&duration_s=long", "duration_s: got 'long', allowed a number from 2.56 to 40.96"),
        ("seed=1&guidance_scale=", "guidance_scale: got ''"),
        ("seed=1&eta=2", "knobs: got eta = 2"),
        ("seed=1&style=jazz", "style: got 'jazz', allowed any"),
        ("seed=1&sampler=magic", "sampler: got 'magic'"),
        ("steps=3", "seed: got nothing"),
    ],
)
def test_a_wrong_value_of_ours_is_named(studio: Studio, query: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        studio.check(linked(f"style=any&ensemble=any&{query}&view=api", studio))


def test_labels_of_the_model_are_settings_and_those_of_others_are_not(invented: Studio) -> None:
    assert linked("seed=1&mood=calm&weather=rain", invented).labels["mood"] == "calm"
    with pytest.raises(ValueError, match="mood: got 'angry', allowed any, calm"):
        invented.check(linked("style=any&ensemble=any&seed=1&mood=angry", invented))


def test_a_link_with_the_parameters_of_others_is_followed(visit) -> None:
    asked = Request(ANYTHING, SEED, steps=3, duration_s=2.56)
    page = visit(f"?view=api&{asked.to_query()}&ref=news")
    page.wait_for_function("document.querySelector('.canvas .message').textContent.includes('the clip of the link')")
    assert page.locator("#seed input").input_value() == str(SEED)


def test_a_link_whose_length_no_clip_can_have_says_so(visit) -> None:
    page = visit("?" + Request(ANYTHING, SEED, steps=3, duration_s=3.0).to_query())
    page.wait_for_function("document.querySelector('.canvas .message').textContent.includes('with another length')")
    assert settings_of(wav(page))["duration_s"] == 3.008


@pytest.mark.parametrize("settings", [None, 7, "any", [], ["style"]])
def test_what_is_no_object_holds_no_settings(settings: object) -> None:
    with pytest.raises(ValueError, match="settings"):
        filed(settings)


@pytest.mark.parametrize("url", ["", "ftp://a.b/?x", "javascript:alert(1)", "https://a.b/?" + "x" * 1500])
def test_only_a_web_address_of_decent_length_becomes_a_code(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        qr_svg(url)


def test_a_code_is_for_the_address_that_others_can_open() -> None:
    assert Reach("192.168.3.4").link("http://127.0.0.1:7860/", "seed=1")["url"] == "http://192.168.3.4:7860/?seed=1"
    assert Reach(public_url="https://a.b/c").link("http://localhost:1/", "seed=1")["url"] == "https://a.b/c/?seed=1"
    near = Reach().link("http://localhost:1/", "seed=1")
    assert near["near"]
    assert near["url"] == "http://localhost:1/?seed=1"
    with pytest.raises(ValueError, match="page and query"):
        Reach().link(None, "seed=1")


@both_widths
def test_a_link_makes_its_clip_again_bit_for_bit_after_a_restart(
    browser, model: Path, tmp_path: Path, screen: tuple[int, int]
) -> None:
    port = free_port()
    with serving(model, tmp_path / "before.txt", port) as address, visiting(browser, address, screen) as page:
        quick(page, 3, SEED)
        number(page, "guidance_scale", 3.3)
        page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
        generate(page)
        finished(page, SEED)
        page.click(".link")
        page.wait_for_function("window.copied")
        link, file = page.evaluate("window.copied"), wav(page)
    with serving(model, tmp_path / "after.txt", port), visiting(browser, link, screen) as page:
        assert wav(page) == file  # it was made on arrival: one press plays it
        assert message(page).endswith("This is the clip of the link: press play.")
        assert not player(page, "playing")
        page.click(".play")
        page.wait_for_selector(".play[aria-label=Pause]")
        page.wait_for_function("document.querySelector('#keep input').checked")
        generate(page)
        finished(page, SEED)
        assert wav(page) == file


def test_a_link_to_a_model_that_is_not_here_says_so(visit, studio: Studio) -> None:
    asked = Request(ANYTHING, SEED, steps=3, duration_s=2.56, model="0123456789ab")
    page = visit("?" + asked.to_query())
    page.wait_for_selector(".canvas .message.error")
    assert "The link is for the model 0123456789ab, which is not here" in message(page)
    assert studio.digest in message(page)
    assert page.locator("#seed input").input_value() == str(SEED)
    page = visit(f"?{asked.changed(style='tango').to_query()}&mood=calm")  # labels that it alone knows
    page.wait_for_selector(".canvas .message.error")
    assert "It is for the model 0123456789ab, which is not here. style: got 'tango', allowed any" in message(page)


@contextmanager
def visiting(browser, address: str, screen: tuple[int, int]) -> Iterator[Any]:
    """A page of a browser that has never been here, ready to be played."""
    context = browser.new_context(reduced_motion="reduce", viewport=dict(zip(("width", "height"), screen, strict=True)))
    context.set_default_timeout(1000 * PATIENCE_S)
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("#generate:not([disabled])")
    page.wait_for_selector(".play:not([disabled])")
    yield page
    context.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_a_camera_reads_the_link_off_the_screen(visit, studio: Studio, scheme: str, width: int) -> None:
    zxing = pytest.importorskip("zxingcpp")
    asked = Request(ANYTHING, SEED, "ddim", 3, 2.5, 2.56, {"eta": 0.25}, studio.decoder, model=studio.digest)
    page = visit("?" + asked.to_query(), width=width, height=844, color_scheme=scheme)
    page.click(".show-qr")
    dialog = page.locator("dialog.qr")
    dialog.wait_for(state="visible")
    assert dialog.evaluate("each => each.matches(':modal')")
    box = dialog.bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    (code,) = zxing.read_barcodes(Image.open(io.BytesIO(page.screenshot())))
    assert code.text == dialog.locator(".link-text").inner_text()
    assert linked(code.text.partition("?")[2], studio) == linked(page.url.partition("?")[2], studio)
    assert code.text.partition("?")[0] == page.url.partition("?")[0]
    assert "Only this machine can open this address" in dialog.inner_text()
    page.keyboard.press("Escape")
    dialog.wait_for(state="hidden")
    assert page.evaluate("document.activeElement.className") == "show-qr"
