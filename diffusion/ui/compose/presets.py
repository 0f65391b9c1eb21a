"""The presets: buttons that set a few settings of the rail at once, and one that starts a race."""

from __future__ import annotations

from typing import Any

import gradio as gr

from diffusion.samplers import SAMPLERS
from diffusion.settings import PRESETS, SETTINGS
from diffusion.ui.compose.race import RACE
from diffusion.ui.messages import PRESETS_EVENTS, PresetFact
from diffusion.ui.shared.assets import asset, starting

AGREED = ("sampler", "steps")  # settings by which a preset is recognised


def preset_facts() -> list[PresetFact]:
    """The presets in the order of their buttons."""
    return [
        {
            "name": name,
            "steps": preset["steps"],
            "method": SAMPLERS[preset["sampler"]].title,
            "race": name == RACE,
        }
        for name, preset in PRESETS.items()
    ]


def presets_view() -> gr.HTML:
    """The buttons."""
    return gr.HTML(
        html_template=asset("compose/presets.html"),
        js_on_load=starting("compose/presets.js", PRESETS_EVENTS, preset_facts()),
        value=preset_of(*(SETTINGS[name].default for name in AGREED)),
        elem_id="presets",
        apply_default_css=False,
        padding=False,
    )


def preset_of(*agreed: Any) -> str | None:
    """The preset that has these values of AGREED; none is the race."""
    asked = dict(zip(AGREED, agreed, strict=True))
    return next((name for name, preset in PRESETS.items() if preset == asked and name != RACE), None)
