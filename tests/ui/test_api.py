"""What scripts may rely on: /generate and /options."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from serving import PATIENCE_S

from diffusion.audio.wav import read_settings
from diffusion.engine import Clip
from diffusion.request import Request
from diffusion.samplers import SAMPLERS
from diffusion.settings import seed_of
from diffusion.studio import Studio


@pytest.fixture(scope="module")
def client(server: str) -> Client:
    return Client(server, verbose=False)


def test_options_are_those_of_the_studio(client: Client, studio: Studio) -> None:
    options = client.predict(api_name="/options")
    assert options["style"]["choices"] == ["any", *studio.labels["style"]]
    assert options["sampler"]["choices"] == list(SAMPLERS)
    assert (options["steps"]["minimum"], options["steps"]["maximum"]) == (1, 1000)
    assert options["model"]["digest"] == studio.digest


def test_a_clip_comes_with_its_settings(client: Client, studio: Studio) -> None:
    style, ensemble = studio.labels["style"][0], "any"
    *_, path, settings = client.predict(style, ensemble, "ddim", 3, 2.0, 77, 2.56, {"eta": 1}, api_name="/generate")
    assert path.endswith(".wav")
    assert settings["seed"] == 77
    assert settings["seconds"] > 0
    del settings["seconds"]
    assert read_settings(path) == settings
    labels = {"style": style, "ensemble": ensemble}
    request = Request(
        labels, 77, "ddim", 3, 2.0, 2.56, {"eta": 1.0}, studio.decoder, "leap", "moving", -4.5, studio.digest
    )
    assert Request.from_dict(settings) == request
    *_, clip = studio.generate(request)
    assert isinstance(clip, Clip)
    with open(path, "rb") as file:
        assert file.read() == clip.to_wav()


def test_every_argument_has_a_default_and_the_seed_is_drawn(client: Client) -> None:
    seeds = [client.predict(steps=1, duration_s=2.56, api_name="/generate")[-1]["seed"] for _ in range(2)]
    assert seeds[0] != seeds[1]
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_seed_may_be_a_word(client: Client) -> None:
    seeds = [
        client.predict(steps=1, seed=seed, duration_s=2.56, api_name="/generate")[-1]["seed"] for seed in ("Ada", 7)
    ]
    assert seeds == [seed_of("ada"), 7]


@pytest.mark.parametrize(
    ("name", "more"), [("generate", {}), ("compare", {"values_x": "1", "values_y": "unipc", "distances": False})]
)
def test_a_length_off_the_raster_is_rounded_and_said(server: str, name: str, more: dict[str, Any]) -> None:
    chosen = {"steps": 1, "duration_s": 3, **more}
    with httpx.Client(base_url=server, timeout=PATIENCE_S) as http:
        config = http.get("config").json()
        props = {each["id"]: each["props"] for each in config["components"]}
        (event,) = [each for each in config["dependencies"] if each["api_name"] == name]
        data = [chosen.get(props[each]["label"], props[each].get("value")) for each in event["inputs"]]
        asked = {"fn_index": event["id"], "data": data, "session_hash": name}
        http.post("gradio_api/queue/join", json=asked).raise_for_status()
        messages = []
        with http.stream("GET", "gradio_api/queue/data", params={"session_hash": name}) as answer:
            for line in answer.iter_lines():
                messages += [json.loads(line.removeprefix("data:"))] if line.startswith("data:") else []
                if messages and messages[-1]["msg"] == "process_completed":
                    break
    said = [(each["log"], each["level"]) for each in messages if each["msg"] == "log"]
    assert said == [("duration_s: got 3, rounded to 3.008, a multiple of 0.064", "info")]
    answer = messages[-1]["output"]["data"][-1]
    assert (answer if name == "generate" else answer[0])["duration_s"] == 3.008


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"steps": 0}, ["steps", "0", "1 to 1000"]),
        ({"steps": 10**9}, ["steps", "1000000000", "1 to 1000"]),
        ({"steps": "many"}, ["steps", "'many'", "1 to 1000"]),
        ({"style": "jazz"}, ["style", "'jazz'", "any"]),
        ({"ensemble": ""}, ["ensemble", "''", "any"]),
        ({"mode": "blue"}, ["mode", "'blue'", "any"]),
        ({"sampler": "magic"}, ["sampler", "'magic'", "dpmpp-2m"]),
        ({"guidance_scale": 99}, ["guidance_scale", "99", "1.0 to 15.0"]),
        ({"seed": -2}, ["seed", "-2", "0 to 4294967295"]),
        ({"seed": 2**32}, ["seed", "4294967296"]),
        ({"seed": 2.5}, ["seed", "2.5", "whole number", "word"]),
        ({"duration_s": 1e6}, ["duration_s", "2.56 to 40.96"]),
        ({"steps": None}, ["steps: got nothing, allowed 1 to 1000"]),
        ({"guidance_scale": None}, ["guidance_scale: got nothing, allowed 1.0 to 15.0"]),
        ({"duration_s": None}, ["duration_s: got nothing, allowed 2.56 to 40.96"]),
        ({"duration_s": ""}, ["duration_s: got '', allowed 2.56 to 40.96"]),
        ({"knobs": {"eta": 1}}, ["knobs", "eta"]),
        ({"knobs": "none"}, ["knobs", "none"]),
    ],
    ids=str,
)
def test_a_bad_value_is_refused_in_words(client: Client, wrong: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(AppError) as error:
        client.predict(**wrong, api_name="/generate")
    assert all(word in str(error.value) for word in words), str(error.value)


def test_nothing_else_is_public(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)
    assert set(endpoints["named_endpoints"]) == {"/generate", "/compare", "/options"}
    assert not endpoints["unnamed_endpoints"]
