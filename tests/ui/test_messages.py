"""What passes between browser and server: messages.py and the modules name the same things."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import gradio as gr

from diffusion.studio import open_studio
from diffusion.ui import messages
from diffusion.ui.messages import (
    CANVAS_EVENTS,
    COMPARE_EVENTS,
    LAB_EVENTS,
    PRESETS_EVENTS,
    CanvasMessage,
    CompareMessage,
    LabMessage,
)
from diffusion.ui.page import Page
from diffusion.ui.shared.assets import ROOMS

MODULES = "\n".join(path.read_text(encoding="utf-8") for path in sorted(ROOMS.glob("*/*.js")))


def test_the_modules_know_every_kind_of_message() -> None:
    types = {*get_args(CanvasMessage), *get_args(CompareMessage), *get_args(LabMessage)}
    kinds = {get_args(get_type_hints(each)["kind"])[0] for each in types}
    known = set(re.findall(r'\bkind [!=]== "(\w+)"', MODULES))
    assert known | {"visitor"} == kinds  # the visitor's name is read off every message


def test_the_modules_trigger_the_events_that_there_are() -> None:
    triggered = {name for call in re.findall(r"\btrigger\(([^,)]+),", MODULES) for name in re.findall(r'"(\w+)"', call)}
    assert triggered == {*CANVAS_EVENTS, *PRESETS_EVENTS, *COMPARE_EVENTS, *LAB_EVENTS}


def test_the_modules_call_the_functions_that_are_served(small_checkpoint: Path) -> None:
    page = Page(open_studio(small_checkpoint, "cpu"))
    served = {
        name
        for each in (page.compose.canvas, page.compare.view, page.lab.view)
        for name in each.get_config()["server_fns"]
    }
    called = set(re.findall(r"\bserver\.(\w+)\(\{|\bserver\.(\w+)\((?:null|this)", MODULES))
    assert {first or second for first, second in called} | {"report", "table"} == served  # which one name stands for
    assert all(name in (messages.__doc__ or "") for name in served)


def test_a_payload_is_read_and_what_it_lacks_is_at_its_default() -> None:
    event = gr.EventData(None, {"settings": {"seed": 1}, "name": "mine.wav", "more": 3})
    assert messages.read(messages.Restore, event) == messages.Restore({"seed": 1}, "mine.wav", vary=False)


def test_messages_that_come_twice_differ() -> None:
    assert messages.note("Again.") != messages.note("Again.")
    assert messages.error("Again") != messages.error("Again")
    assert messages.error("Again")["text"] == "Again."
    assert len(messages.note("word " * 1000)["text"]) <= messages.NOTE_CHARACTERS
