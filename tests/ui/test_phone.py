"""Finished clips for phones: kept by their settings, served in parts, forgotten in words."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from diffusion.audio.wav import read_settings, to_bytes
from diffusion.request import Request
from diffusion.ui.phone import handouts as phone
from diffusion.ui.phone.handouts import Handouts, byte_range, handout_id
from diffusion.ui.shared import naming
from diffusion.ui.shared.reach import Reach
from diffusion.ui.shared.words import FRENCH

RATE_HZ = 24_000


def message(seed: int = 7, stopped_at: int | None = None, seconds: float = 0.1, **settings: Any) -> dict[str, Any]:
    """A clip as the canvas takes it; of its sound nothing matters here but that it comes through."""
    asked = {
        **Request({"style": "<fiddle>", "ensemble": "music_box"}, seed, **settings).to_dict(),
        "stopped_at": stopped_at,
        "evaluations": 20,
    }
    wave = np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE_HZ)).astype(np.float32)
    return {
        "settings": asked,
        "audio": base64.b64encode(to_bytes(wave, RATE_HZ, asked)).decode(),
        "title": naming.title(asked),
        "picture": "data:image/png;base64,AAAA",
        "name": f"clip-{seed}.wav",
    }


def test_a_heading_says_every_label_that_was_chosen() -> None:
    settings = {"style": "any", "ensemble": "music_box", "seed": 7}
    assert naming.title(settings)["en"] == "Music box"
    air = {**settings, "style": "air", "mode": "minor", "tempo": "any"}
    assert naming.title(air)["en"] == "Air for music box, minor"
    assert naming.title({**settings, "ensemble": "any", "tempo": "slow"})["en"] == "Anything, slow"
    drawn = {"mode": "major", "key": "Db", "beat": "98"}
    drawn_too = {**settings, "key": "F#", "drawn": drawn}
    assert naming.title(drawn_too)["en"] == "Music box, in F♯ major, ♩ = 98"


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_label_of_ones_own_stays_as_it_is_written(language: Literal["en", "fr"]) -> None:
    assert naming.title({"style": "{x} Nuevo", "ensemble": "any", "seed": 7})[language] == "{x} Nuevo"


def test_a_heading_in_french() -> None:
    settings = {"style": "jig", "ensemble": "accordion", "seed": 7, "drawn": {"mode": "minor", "key": "D"}}
    assert naming.title(settings)["fr"] == "Gigue pour accordéon, en ré mineur"
    settings |= {"ensemble": "any", "tempo": "slow", "ending": "ends"}
    assert naming.title(settings)["fr"] == "Gigue, en ré mineur, lent, avec sa fin"


@pytest.fixture
def handouts() -> Handouts:
    return Handouts()


@pytest.fixture
def client(handouts: Handouts) -> TestClient:
    return TestClient(Starlette(routes=handouts.routes()))


def test_a_clip_is_a_page_and_a_file(handouts: Handouts, client: TestClient, tmp_path: Path) -> None:
    clip = message()
    name = handouts.keep(clip)["handout"]
    page = client.get(f"/clip/{name}")
    assert page.status_code == 200
    assert f'src="{name}.wav"' in page.text
    assert 'src="data:image/png;base64,AAAA"' in page.text
    assert "noise 7 by UniPC in 20 steps" in page.text
    assert "&lt;fiddle&gt; for music box" in page.text
    assert "<fiddle>" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    again = page.text.split('class="main" href="../?')[1].split('"')[0].replace("&amp;", "&")
    assert Request.from_query(again) == Request({"style": "<fiddle>", "ensemble": "music_box"}, 7)
    file = client.get(f"/clip/{name}.wav")
    assert file.headers["content-type"] == "audio/wav"
    assert file.content == base64.b64decode(clip["audio"])
    (tmp_path / "clip.wav").write_bytes(file.content)
    assert read_settings(tmp_path / "clip.wav") == clip["settings"]


@pytest.mark.parametrize(
    ("style", "name"),
    [
        ("танго", "танго"),
        ("音楽", "音楽"),
        ("Fu\u0308r Elise", "Für_Elise"),  # as archives made on a Mac have it
        ('"a/b\\c"\r\n', "a_b_c"),
        ("\u202egnp", "gnp"),  # written backwards from here on
        ("हिन्दी", "हिन्दी"),
    ],
)
def test_a_file_is_served_under_any_name(style: str, name: str, handouts: Handouts, client: TestClient) -> None:
    clip = message()
    settings = {**clip["settings"], "style": style}
    named = naming.file_name(settings)
    assert named == f"out-of-noise-{name}-music_box-7.wav"
    kept = handouts.keep({**clip, "settings": settings, "name": named})["handout"]
    for asked in ({}, {"Range": "bytes=0-1"}):
        header = client.get(f"/clip/{kept}.wav", headers=asked).headers["content-disposition"]
        match = re.fullmatch(r"""inline; filename="([\w.-]+)"; filename\*=UTF-8''([\w.%-]+)""", header)
        assert match[1].isascii()
        assert unquote(match[2]) == named
    assert f'download="{named}"' in client.get(f"/clip/{kept}").text


def test_a_french_phone_gets_french_words(handouts: Handouts, client: TestClient) -> None:
    french = {"accept-language": "fr-CA,fr;q=0.9,en;q=0.8"}
    name = handouts.keep(message(stopped_at=3, guidance_scale=2.5))["handout"]
    page = client.get(f"/clip/{name}", headers=french)
    assert '<html lang="fr">' in page.text
    assert "Né du bruit 7 par UniPC en 3 pas sur 20, guidage 2,5" in page.text
    assert "n’est plus là" in client.get("/clip/0123456789abcdef", headers=french).text
    german = client.get(f"/clip/{name}", headers={"accept-language": "de,fr;q=0.5"})
    assert '<html lang="en">' in german.text
    assert german.headers["vary"] == "Accept-Language"


def test_every_sentence_for_phones_has_its_french() -> None:
    sentences = {phone.GROWN, phone.GROWN_AND_STOPPED, phone.PICTURE, phone.WHY_GONE}
    literals = re.findall(r"""said\(("(?:[^"\\]|\\.)*")""", Path(phone.__file__).read_text(encoding="utf-8"))
    assert len(literals) > 5
    assert sentences | {json.loads(each) for each in literals} <= FRENCH.keys()


def test_the_same_settings_share_an_id_and_others_do_not(handouts: Handouts) -> None:
    name = handouts.keep(message())["handout"]
    assert handouts.keep(message())["handout"] == name
    assert handout_id({**message()["settings"], "version": "2.0"}) == name
    others = [message(8), message(stopped_at=3), message(steps=21), message(sampler="ddim", knobs={"eta": 0.5})]
    assert len({name, *(handout_id(each["settings"]) for each in others)}) == 5


def test_a_stopped_clip_says_so(handouts: Handouts, client: TestClient) -> None:
    name = handouts.keep(message(stopped_at=3))["handout"]
    assert "in 3 of 20 steps" in client.get(f"/clip/{name}").text


@pytest.mark.parametrize("path", ["/clip/0123456789abcdef", "/clip/0123456789abcdef.wav", "/clip/<b>"])
def test_what_is_gone_is_missed_in_words(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "no longer here" in answer.text
    assert "<b>" not in answer.text


def test_only_so_many_clips_are_kept_and_those_in_use_longest(handouts: Handouts, client: TestClient) -> None:
    names = [handouts.keep(message(seed, seconds=0.01))["handout"] for seed in range(phone.CLIPS)]
    assert client.get(f"/clip/{names[0]}.wav").status_code == 200  # somebody listens to the oldest
    handouts.keep(message(phone.CLIPS, seconds=0.01))
    assert client.get(f"/clip/{names[0]}").status_code == 200
    assert client.get(f"/clip/{names[1]}").status_code == 404
    assert client.get(f"/clip/{names[2]}").status_code == 200


def test_only_so_many_bytes_are_kept(handouts: Handouts, client: TestClient) -> None:
    seconds = 0.3 * phone.CLIP_BYTES / (2 * RATE_HZ)  # 16 bit
    names = [handouts.keep(message(seed, seconds=seconds))["handout"] for seed in range(4)]
    assert [client.head(f"/clip/{name}").status_code for name in names] == [404, 200, 200, 200]


def test_phones_get_the_file_in_parts(handouts: Handouts, client: TestClient) -> None:
    clip = message()
    wav, url = base64.b64decode(clip["audio"]), f"/clip/{handouts.keep(clip)['handout']}.wav"
    part = client.get(url, headers={"Range": "bytes=0-1"})
    assert (part.status_code, part.content) == (206, wav[:2])
    assert part.headers["content-range"] == f"bytes 0-1/{len(wav)}"
    rest = client.get(url, headers={"Range": "bytes=44-"})
    assert (rest.status_code, rest.content) == (206, wav[44:])
    assert client.get(url, headers={"Range": f"bytes={len(wav)}-"}).status_code == 416
    whole = client.get(url, headers={"Range": "frames=1-2"})
    assert (whole.status_code, whole.content) == (200, wav)
    assert whole.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None),
        ("bytes=-", None),
        ("bytes=5-4", None),
        ("bytes=0-1,4-5", None),
        ("bytes=-4", range(6, 10)),
        ("bytes=-40", range(0, 10)),
        ("bytes=-0", range(0)),
        ("bytes=9-100", range(9, 10)),
        ("bytes=10-", range(0)),
    ],
)
def test_ranges(header: str, expected: range | None) -> None:
    assert byte_range(header, 10) == expected


def test_a_link_is_made_for_what_is_kept_and_where_there_is_an_address(handouts: Handouts) -> None:
    name = handouts.keep(message())["handout"]
    asked = {"page": "http://127.0.0.1:7860/", "handout": name}
    assert handouts.link(asked) is None
    handouts.reach = Reach(public_url="https://music.example.org/")
    link = handouts.link(asked)
    assert link is not None
    assert link["url"] == f"https://music.example.org/clip/{name}"
    assert link["svg"].startswith("<svg")
    assert handouts.link({**asked, "handout": "gone"}) == {"url": "", "svg": ""}
    handouts.reach = Reach("0.0.0.0")
    for nonsense in (None, [], {}, {"page": 3, "handout": name}, {"page": "javascript:1", "handout": name}):
        assert handouts.link(nonsense) is None
