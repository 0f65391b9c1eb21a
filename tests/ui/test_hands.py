"""Hands on the music: what may be asked of the clip on show, whose sources are whose, and the tools in a browser."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_access import violations
from visitor import (
    SEED,
    both_widths,
    choose,
    finished,
    generate,
    message,
    player,
    quick,
    settings_of,
    wav,
    write_seed,
)

from diffusion.edits import Source, mask_of, read_mask
from diffusion.engine import Clip
from diffusion.request import Request
from diffusion.studio import Studio
from diffusion.ui.compose.visits import AGAIN, Visits
from diffusion.ui.hands.hands import SOURCES, Shelf, asked
from diffusion.ui.messages import Edit
from diffusion.ui.shared import naming

SHORT: dict[str, Any] = {"duration_s": 2.56, "steps": 4}
BANDS, FRAMES = 128, 160


def painted(low: int = 20, high: int = 60, begin: int = 40, end: int = 80) -> np.ndarray:
    bins = np.zeros((BANDS, FRAMES), bool)
    bins[low:high, begin:end] = True
    return bins


def sent(bins: np.ndarray) -> dict[str, Any]:
    """A mask as a browser sends it."""
    bits = base64.b64encode(np.packbits(bins).tobytes()).decode()
    return {"bands": bins.shape[0], "frames": bins.shape[1], "bits": bits}


@pytest.fixture
def visits(studio: Studio) -> Visits:
    return Visits(studio)


def made(visits: Visits, visitor: str, **settings: Any) -> Any:
    """The message of a clip."""
    *_, clip = visits.answer(visits.studio.request(**{**SHORT, "seed": 5, **settings}), visitor)
    return clip


def edited(visits: Visits, visitor: str, shown: Mapping[str, Any], **wish: Any) -> list[Any]:
    """All messages of an edit of the clip in the message `shown`."""
    return list(visits.edit(Edit(shown["settings"], source=shown.get("source"), **wish), visitor))


def features(visits: Visits, visitor: str, clip: Mapping[str, Any]) -> np.ndarray:
    source = visits.shelf.get(visitor, clip["source"]["source"])
    assert source is not None
    return source.features


def test_repainting_keeps_every_bin_outside_the_mask_and_changes_those_inside(visits: Visits) -> None:
    bins, shown = painted(), made(visits, "a")
    *_, clip = edited(visits, "a", shown, edits={"inpaint": {"mask": sent(bins)}}, changes={"seed": 6})
    before, after = features(visits, "a", shown)[0], features(visits, "a", clip)[0]
    assert np.array_equal(before[~bins], after[~bins])
    assert (before[bins] != after[bins]).mean() > 0.9
    inpaint = clip["settings"]["edits"]["inpaint"]
    assert {name: inpaint[name] for name in ("source", "source_s")} == shown["source"]
    assert np.array_equal(read_mask(inpaint["mask"]), bins)
    assert clip["edited"]["en"] == ["Repainted 0.6–1.3 s"]
    assert "repeint de 0.6 à 1.3 s" in clip["title"]["fr"]


def test_a_fork_that_changes_nothing_is_the_same_clip(visits: Visits) -> None:
    shown = made(visits, "a")
    *_, clip = edited(visits, "a", shown, edits={"fork": {"at": 2}}, rail=True)
    assert clip["source"] == shown["source"]
    assert clip["settings"]["edits"] == {"fork": {"at": 2, "parent": {}}}


def test_a_fork_says_in_what_its_parent_differs(studio: Studio) -> None:
    shown = studio.request(**SHORT, seed=5, style="chorale", sampler="ddim")
    rail = studio.request(**{**SHORT, "steps": 6}, seed=9, style="fiddle", ensemble="any", sampler="unipc")
    settings = {**shown.to_dict(), "drawn": {"key": "D"}}
    request = asked(studio, Edit(settings, {"fork": {"at": 2}}, rail=True), rail)
    assert (request.seed, request.steps, request.label("style"), request.label("key")) == (5, 6, "fiddle", "D")
    parent = request.edits["fork"]["parent"]
    assert parent.keys() == {"style", "key", "sampler", "knobs", "steps"}
    assert request.parent == studio.complete(shown)
    noise = asked(studio, Edit(settings, {"fork": {"at": 2}}, {"seed": 6}))
    assert noise.edits["fork"] == {"at": 2, "parent": {"seed": 5}}


def test_a_fork_of_a_fork_is_one_of_their_parent_up_to_where_they_part(studio: Studio) -> None:
    first = asked(studio, Edit(studio.request(**SHORT, seed=5).to_dict(), {"fork": {"at": 2}}, {"seed": 6}))
    second = asked(studio, Edit(first.to_dict(), {"fork": {"at": 1}}, {"seed": 7}))
    assert second.edits["fork"] == {"at": 1, "parent": {"seed": 5}}
    with pytest.raises(ValueError, match="at: got 3, allowed 0 to 2, since the clip on show is a fork from there"):
        asked(studio, Edit(first.to_dict(), {"fork": {"at": 3}}, {"seed": 7}))


def test_of_the_edits_of_a_clip_only_what_lasts_stays_beside_a_source(studio: Studio) -> None:
    shown = studio.request(**SHORT, seed=5, edits={"loop": {}, "blend": {"seeds": [3], "place": [0.5]}}).to_dict()
    repainted = asked(studio, Edit({**shown, "drawn": {"key": "D"}}, {"inpaint": {"mask": sent(painted())}}))
    assert repainted.edits.keys() == {"inpaint", "loop"}
    assert repainted.label("key") == "D"  # which nobody draws beside a source
    assert asked(studio, Edit(shown, {"fork": {"at": 1}}, {"seed": 8})).edits.keys() == {"loop", "fork", "blend"}
    assert asked(studio, Edit(shown, {"loop": None})).edits.keys() == {"blend"}


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (3, "edits: inpaint: mask: got '3', need the text of a mask"),
        ({}, "mask: got None bands and None frames, allowed up to 1048576 bins in all"),
        ({"bands": BANDS, "frames": 2**30, "bits": ""}, "mask: got 128 bands and 1073741824 frames"),
        ({**sent(painted()), "bits": "AAAA"}, "mask: got 'AAAA', need 2560 bytes in base64, a bit for each bin"),
        ({**sent(painted()), "bits": "?" * 9999}, "need 2560 bytes in base64"),
        (sent(painted(0, 0)), "mask: got nothing, need a part"),
        (sent(np.ones((BANDS, FRAMES), bool)), "mask: got everything, need a part"),
        (sent(painted()[:, :100]), r"mask: got one of \(128, 100\) bands and frames, need \(128, 160\), as the clip"),
        (sent(np.random.default_rng(0).random((BANDS, FRAMES)) < 0.5), "draw it less finely"),
    ],
)
def test_a_bad_mask_is_refused_in_words(studio: Studio, mask: Any, said: str) -> None:
    settings = studio.request(**SHORT, seed=5).to_dict()
    with pytest.raises(ValueError, match=said):
        asked(studio, Edit(settings, {"inpaint": {"mask": mask}}))


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Edit(None, {"loop": {}}), "settings: got 'None', need an object"),
        (Edit({}, {"loop": {}}), "seed: got nothing"),
        (Edit({"seed": 5}, 3), "edits: got '3', need an object"),
        (Edit({"seed": 5}, {"x": {}}), "edits: got 'x', allowed inpaint"),
        (Edit({"seed": 5}, {"fork": {"at": 99}}, {"seed": 6}), "at: got 99, allowed 0 to 19"),
        (Edit({"seed": 5}, {"fork": {"at": 1, "parent": {}}}), "fork = .*, need an object with at"),
        (Edit({"seed": 5}, {"loop": {}}, {"edits": {}}), "changes: got 'edits', allowed style, ensemble, sampler"),
        (Edit({"seed": 5}, {"loop": {}}, {"self": {}}), "changes: got 'self', allowed style"),
        (Edit({"seed": 5, "edits": {"fork": {"at": 1, "parent": {"self": "a"}}}}, {"loop": {}}), "self: got 'a'"),
        (Edit({"seed": 5}, {"loop": {}}, {"ending": "ends"}), "a loop has no end"),
        (Edit({"seed": 5, "model": "0123456789ab"}, {"loop": {}}), "model: got '0123456789ab'"),
    ],
)
def test_a_bad_wish_is_refused_in_words(studio: Studio, wish: Edit, said: str) -> None:
    any_music = {"style": "any", "ensemble": "any"}
    if isinstance(wish.settings, dict) and "seed" in wish.settings:
        wish = replace(wish, settings={**any_music, **wish.settings})
    with pytest.raises(ValueError, match=said):
        asked(studio, wish)


def test_a_source_is_its_visitors_alone(visits: Visits) -> None:
    """Another visitor may know the digest, from a link or a file, and still does not get the features."""
    shown = made(visits, "a")
    edits = {"transform": {**shown["source"], "strength": 0.5}}
    request = visits.studio.request(**SHORT, seed=6, edits=edits)
    missing = f"need the source {shown['source']['source']} of 2.56 s, which is not here"
    for ask in (
        lambda: visits.answer(request, "b"),
        lambda: edited(visits, "b", made(visits, "b", seed=7), edits=edits),
    ):
        with pytest.raises(ValueError, match=missing):
            ask()
    assert visits.doubt({"visitor": "b", "source": shown["source"]["source"]}) is None
    *_, clip = visits.answer(request, "a")
    assert clip["kind"] == "clip"
    assert request.identity not in visits.clips  # which comparisons of all visitors read


def test_what_the_server_has_lost_of_a_clip_is_made_again(visits: Visits) -> None:
    bins, shown = painted(), made(visits, "a")
    before = features(visits, "a", shown)[0]
    wish = {"edits": {"inpaint": {"mask": sent(bins)}}, "changes": {"seed": 6}}
    *_, direct = edited(visits, "a", shown, **wish)
    visits.shelf.drop("a")
    note, *_, again = edited(visits, "a", shown, **wish)
    assert (note["kind"], note["text"]) == ("note", AGAIN)
    assert np.array_equal(features(visits, "a", again)[0][~bins], before[~bins])
    assert again["audio"] == direct["audio"]
    unnamed = {"settings": shown["settings"]}  # as an example of the gallery, which the server has never made
    visits.shelf.drop("a")
    assert edited(visits, "a", unnamed, **wish)[-1]["audio"] == direct["audio"]


def test_what_cannot_be_made_again_is_named(visits: Visits) -> None:
    shown = made(visits, "a")
    wish = {"edits": {"inpaint": {"mask": sent(painted())}}}
    stopped = {**shown, "settings": {**shown["settings"], "stopped_at": 2}}
    visits.shelf.drop("a")
    _, error = edited(visits, "a", stopped, **wish)
    assert error["kind"] == "error"
    assert f"need the source {shown['source']['source']} of 2.56 s, which is not here" in error["text"]
    transformed = {**shown["settings"], "edits": {"transform": {**shown["source"], "strength": 0.5}}}
    _, error = edited(visits, "a", {"settings": transformed}, **wish)
    assert f"need the source {shown['source']['source']} of 2.56 s" in error["text"]


def test_the_shelf_is_bounded_and_emptied_when_its_visitor_leaves() -> None:
    shelf = Shelf()
    sources = [Source.of(np.full((1, 2, 3), float(i))) for i in range(SOURCES + 2)]
    for each in sources:
        shelf.keep("a", each)
    assert [shelf.get("a", sources[i].digest) is not None for i in (0, 1, 2, -1)] == [False, False, True, True]
    shelf.keep("ab", sources[0])
    shelf.drop("a")
    assert shelf.get("a", sources[-1].digest) is None
    assert shelf.get("ab", sources[0].digest) is not None


def test_the_doubt_of_a_clip_comes_in_decibels(visits: Visits) -> None:
    deviation = np.linspace(0, 0.5, 6, dtype=np.float32).reshape(1, 2, 3)
    source = Source.of(np.array([[[0, 0, -2], [0, 0, 0]]]))
    visits.shelf.keep("a", source, deviation)
    doubt = visits.doubt({"visitor": "a", "source": source.digest})
    assert doubt is not None
    assert (doubt["bands"], doubt["frames"]) == (2, 3)
    values = np.frombuffer(base64.b64decode(doubt["values"]), np.uint8)
    found_db = values.reshape(2, 3) * doubt["most_db"] / 255
    heard = np.array([[1, 1, 0], [1, 1, 1]])  # nobody hears what is so far below the rest
    assert found_db == pytest.approx(heard * deviation[0] * visits.studio.mel.unit_db, abs=0.1)
    for other in (None, 3, {"visitor": "b", "source": source.digest}, {"visitor": "a", "source": [1]}):
        assert visits.doubt(other) is None


def test_every_edit_has_its_words_in_both_languages() -> None:
    source = {"source": "0" * 16, "source_s": 2.56}
    edits: list[dict[str, Any]] = [
        {"inpaint": {**source, "mask": mask_of(painted())}},
        {"continue": {**source, "keep_s": 1.28}},
        {"transform": {**source, "strength": 0.5}},
        {"loop": {}},
        {"fork": {"at": 1, "parent": {}}},
        {"blend": {"seeds": [3], "place": [0.5]}},
        {"timeline": {"sections": [{"from_s": 1.28, "labels": {}}]}},
    ]
    for each in edits:
        names = naming.edited(Request({}, 5, **SHORT, edits=each).to_dict())
        assert len(names["en"]) == len(names["fr"]) == 1
        assert names["en"] != names["fr"]
    assert naming.edited(Request({}, 5).to_dict()) == {"en": [], "fr": []}


# In a browser.


def compose(page, seed: int = SEED) -> dict[str, Any]:
    quick(page, 4, seed)
    generate(page)
    return finished(page, seed)


def tool(page, name: str):
    return page.locator(".hands .bar").get_by_role("button", name=name, exact=True)


def press(page, name: str) -> dict[str, Any]:
    """Press a button of the hands that composes, and wait for what comes."""
    page.evaluate("window.before = document.querySelector('.canvas').dataset.clip")
    page.locator(".hands").get_by_role("button", name=name).click()
    page.wait_for_function("document.querySelector('.canvas').dataset.clip !== window.before")
    page.wait_for_selector("#generate:not([disabled])")
    return settings_of(wav(page))


def drag(page, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """Paint from one place to another, in shares of width and height from the top left."""
    box = page.locator(".paper").bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (begin, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=4)
    page.mouse.up()


def again(studio: Studio, settings: dict[str, Any], *sources: Source) -> Clip:
    *_, clip = studio.generate(Request.from_dict(settings), sources=sources)
    assert isinstance(clip, Clip)
    return clip


def says(page, text: str) -> None:
    page.wait_for_function("text => document.querySelector('.canvas .message').textContent.includes(text)", arg=text)


def cards(page):
    return page.locator(".takes .card")


@both_widths
def test_a_part_is_painted_and_composed_anew(visit, studio: Studio, screen: tuple[int, int]) -> None:
    page = visit()
    parent = again(studio, compose(page))
    tool(page, "Repaint").click()
    go = page.get_by_role("button", name="Recompose this")
    assert go.is_disabled()
    assert go.get_attribute("title") == "Paint on the picture first."
    page.locator(".paper").scroll_into_view_if_needed()
    drag(page, (0.25, 0.25), (0.5, 0.75))
    page.get_by_text("6 evaluations").wait_for()
    settings = press(page, "Recompose this")
    source, inpaint = Source.of(parent.features), settings["edits"]["inpaint"]
    assert inpaint["source"] == source.digest
    bins = read_mask(inpaint["mask"])
    bands, frames = np.flatnonzero(bins.any(1)), np.flatnonzero(bins.any(0))
    assert [bands[0], bands[-1]] == pytest.approx([32, 96], abs=2)
    assert [frames[0], frames[-1]] == pytest.approx([40, 80], abs=4)
    assert bins.sum() == len(bands) * len(frames)
    child = again(studio, settings, source)
    assert wav(page) == child.to_wav()
    assert np.array_equal(child.features[0][~bins], parent.features[0][~bins])
    assert not np.array_equal(child.features[0][bins], parent.features[0][bins])
    assert "repainted 0." in message(page)
    assert "Repainted 0." in cards(page).nth(1).inner_text()  # beneath its parent
    assert "grown" in cards(page).nth(1).get_attribute("class")
    assert page.evaluate("document.documentElement.scrollWidth") <= screen[0]
    small = page.evaluate(
        """[...document.querySelectorAll('.hands button')].filter((each) => each.offsetParent)
            .filter((each) => { const box = each.getBoundingClientRect(); return box.height < 36 || box.width < 36; })
            .map((each) => each.textContent)"""
    )
    assert small == []
    assert "\n".join(violations(page)) == ""


def test_brush_harmonics_eraser_undo_and_keyboard(visit) -> None:
    page = visit()
    compose(page)
    tool(page, "Repaint").click()

    def share() -> float:
        """Of the picture so much is painted."""
        return page.evaluate(
            """() => {
                const { width, height } = document.querySelector('.paper');
                const data = document.querySelector('.paper').getContext('2d').getImageData(0, 0, width, height).data;
                return data.filter((value, i) => i % 4 === 3 && value).length / (width * height);
            }"""
        )

    def use(name: str) -> None:
        page.locator(".hands").get_by_role("button", name=name, exact=True).click()

    use("Brush")
    drag(page, (0.2, 0.5), (0.8, 0.5))
    brushed = share()
    assert 0.02 < brushed < 0.2
    use("Erase")
    drag(page, (0.2, 0.5), (0.5, 0.5))
    assert 0.2 < share() / brushed < 0.8
    use("Undo")
    assert share() == brushed
    use("Clear")
    assert share() == 0
    use("Harmonics")
    drag(page, (0.2, 0.95), (0.6, 0.95))
    bands = page.evaluate(
        """() => {
            const paper = document.querySelector('.paper'), x = Math.round(0.4 * paper.width);
            const { data } = paper.getContext('2d').getImageData(x, 0, 1, paper.height);
            const column = data.filter((_, i) => i % 4 === 3);
            return [...column].filter((value, y) => value && !column[y - 1]).length;
        }"""
    )
    assert 4 <= bands <= 10  # the lowest of ten touch one another
    use("Clear")
    use("Rectangle")
    paper = page.locator(".paper")
    paper.focus()
    for key in ("Space", "Shift+ArrowRight", "Shift+ArrowUp", "Space"):
        paper.press(key)
    assert 0.002 < share() < 0.02
    assert page.locator(".announcement").inner_text() == "Painted."
    paper.press("Control+z")
    assert share() == 0
    doubts = page.get_by_role("button", name="Where the model doubts")
    assert doubts.is_disabled()
    assert doubts.get_attribute("title") == "This model has not learned how sure it is."
    paper.press("Escape")
    assert paper.is_hidden()
    assert page.evaluate("document.activeElement.textContent") == "Repaint"


def test_where_the_doubt_is_greatest_is_painted(visit) -> None:
    painted, packed = visit().evaluate(
        """async () => {
            const { Mask } = await import('/page/hands/mask.js'), mask = new Mask(128, 160);
            const doubt = (band, frame) => (frame < 80 ? (band % 40 < 8 ? 9 : 1) : 0); // the second half is silent
            mask.take(mask.bins.map((_, i) => doubt(Math.floor(i / 160), i % 160)), 0.25);
            return [[...mask.bins], mask.packed];
        }"""
    )
    bins = np.zeros((BANDS, FRAMES), bool)
    for band in (0, 40, 80, 120):
        bins[band : band + 8, :80] = True
    assert np.array_equal(np.array(painted, bool).reshape(BANDS, FRAMES), bins)
    assert packed == sent(bins)


def test_octaves_are_equally_tall_on_the_musical_axis(visit) -> None:
    page = visit()
    compose(page)

    def places() -> list[float]:
        return page.evaluate(
            """[...document.querySelectorAll('[data-picture=belief] .notes span')]
                .map((each) => parseFloat(each.style.bottom))"""
        )

    def picture() -> str:
        return page.locator("[data-picture=belief] img").get_attribute("src")

    before, mel = picture(), places()
    tool(page, "Equal octaves").click()
    page.wait_for_function("src => document.querySelector('[data-picture=belief] img').src !== src", arg=before)
    octaves = np.diff(places())
    assert octaves == pytest.approx(octaves.mean(), abs=0.01)
    assert octaves.mean() > 10
    tool(page, "Repaint").click()
    drag(page, (0.25, 0.5), (0.5, 0.75))
    page.get_by_text("6 evaluations").wait_for()
    bands = np.flatnonzero(read_mask(press(page, "Recompose this")["edits"]["inpaint"]["mask"]).any(1))
    assert bands[-1] < 40  # the middle of the axis is near C6, and not in the middle of the bands
    tool(page, "Equal octaves").click()
    assert places() == pytest.approx(mel, abs=0.1)


@both_widths
def test_futures_stand_beneath_their_parent(visit, studio: Studio) -> None:
    page = visit()
    choose(page, "style", studio.labels["style"][1])
    before = compose(page)
    file = wav(page)
    tool(page, "Another future").click()
    page.get_by_label("From this step on").fill("2")
    assert page.locator(".hands .from .number").inner_text() == "step 2 of 4"
    page.get_by_role("button", name="The settings below").click()
    same = press(page, "Compose this future")  # the settings below are those of the clip
    assert same["edits"] == {"fork": {"at": 2, "parent": {}}}
    assert again(studio, same).features.tobytes() == again(studio, before).features.tobytes()
    page.locator(".takes .put").first.click()
    page.wait_for_function("document.querySelector('.takes .card').classList.contains('on')")
    assert wav(page) == file
    page.get_by_role("button", name="Other noise").click()
    page.get_by_label("From this step on").fill("1")
    other = press(page, "Compose this future")
    assert other["edits"] == {"fork": {"at": 1, "parent": {"seed": SEED}}}
    assert other["seed"] != SEED
    classes = [cards(page).nth(i).get_attribute("class").split() for i in range(3)]
    assert ["grown" in each for each in classes] == [False, True, True]
    assert "Another future from step 1" in cards(page).nth(2).inner_text()
    write_seed(page, 7)
    generate(page)
    assert "edits" not in finished(page, 7)  # what comes of noise alone has no edits
    assert "seed 7" in cards(page).first.inner_text()


def test_a_loop_plays_and_comes_back_with_its_settings(visit, studio: Studio) -> None:
    page = visit()
    compose(page)
    page.evaluate("async () => { (await import('/page/shared/player.js')).player.loop = false; }")
    settings = press(page, "Make a loop")
    assert settings["edits"] == {"loop": {}}
    assert player(page, "loop")
    page.wait_for_function("async () => (await import('/page/shared/player.js')).player.playing")
    file = wav(page)
    assert file == again(studio, settings).to_wav()
    assert tool(page, "Make a loop").is_disabled()
    assert tool(page, "Make a loop").get_attribute("title") == "This clip is a loop already."
    page.locator(".takes .card.on .restore").click()
    page.get_by_text("With the edits of that clip:").wait_for()
    assert "A loop" in page.locator("#edits").inner_text()
    generate(page)
    finished(page, SEED)
    assert wav(page) == file
    page.get_by_role("button", name="Leave them out").click()
    page.locator("#edits").wait_for(state="hidden")
    generate(page)
    assert "edits" not in finished(page, SEED)


def test_a_link_makes_an_edit_again_and_names_a_source_that_is_missing(visit, studio: Studio) -> None:
    fork = studio.request(**SHORT, seed=6, edits={"fork": {"at": 2, "parent": {"seed": 5}}})
    page = visit(f"?{fork.to_query()}")
    page.wait_for_function(
        "document.querySelector('.canvas .message').textContent.includes('another future from step 2')"
    )
    assert wav(page) == again(studio, fork.to_dict()).to_wav()
    source = {"source": "0123456789abcdef", "source_s": 2.56}
    missing = studio.request(**SHORT, seed=6, edits={"transform": {**source, "strength": 0.5}})
    page = visit(f"?{missing.to_query()}")
    page.wait_for_selector(".canvas .message.error")
    assert "need the source 0123456789abcdef of 2.56 s, which is not here" in message(page)


def test_nothing_can_be_pressed_while_a_run_is_under_way(visit) -> None:
    page = visit()
    compose(page)
    tool(page, "Another future").click()
    quick(page, 1000, SEED, 10.24)
    page.click("#generate:not([disabled])")
    page.wait_for_selector(".sampling")
    for name in ("Repaint", "Make a loop", "Compose this future"):
        button = page.locator(".hands").get_by_role("button", name=name)
        assert button.is_disabled()
        assert button.get_attribute("title") == "One thing at a time: this works once the clip is composed."
    page.click("#stop")
    page.wait_for_selector("#generate:not([disabled])")
    page.wait_for_function("!document.querySelector('.hands .tool').disabled")


def test_hands_speak_french(visit) -> None:
    page = visit(locale="fr-FR")
    compose(page)
    for name in ("Repeindre", "Un autre avenir"):
        tool(page, name).click()
    page.get_by_role("button", name="Composer cet avenir").click()
    page.wait_for_function(
        "document.querySelector('.canvas .message').textContent.includes('autre avenir à partir du pas')"
    )
    page.wait_for_selector("#generate:not([disabled])")
