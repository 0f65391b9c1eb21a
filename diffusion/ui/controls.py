"""The rail: a component for every setting of a request, made of what the studio says about it."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from diffusion.ui.words import tr

ARGUMENTS = ("style", "ensemble", "sampler", "steps", "guidance_scale", "seed", "duration_s", "decoder")
NUMBERS = ("steps", "guidance_scale", "duration_s")
RACE = "2020"  # the preset that is raced against another, and no setting of the rail
KEYS = '<button type="button" class="show-keys" aria-label="Keys"><kbd>?</kbd></button>'
# `value` is the preset that the rail agrees with.
PRESETS_JS = """
const mark = () => {
  for (const button of element.querySelectorAll("[aria-pressed]")) {
    button.setAttribute("aria-pressed", button.dataset.preset === props.value);
  }
};
watch("value", mark);
mark();
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-preset]");
  if (button) trigger(button.hasAttribute("aria-pressed") ? "choose" : "race", { preset: button.dataset.preset });
});
"""


def build_presets(options: dict[str, Any]) -> gr.HTML:
    """The buttons of the presets; fires `choose` or `race`, with the name of the `preset`."""
    buttons = "".join(_preset(options, name) for name in options["presets"])
    return gr.HTML(
        html_template=f'<div role="group" aria-label="Presets">{buttons}</div>{KEYS}',
        js_on_load=PRESETS_JS,
        value=preset_of(options, options["sampler"]["default"], options["steps"]["default"]),
        elem_id="presets",
        apply_default_css=False,
        padding=False,
    )


def _preset(options: dict[str, Any], name: str) -> str:
    preset = options["presets"][name]
    sampler, steps = options["sampler"]["titles"][preset["sampler"]], f"{preset['steps']} <span>steps</span>"
    watch = "<span>: watch the race</span>" if name == RACE else ""
    more = f"<i> <span>of</span> {escape(sampler)}{watch}</i>"
    state = "" if name == RACE else ' aria-pressed="false"'
    return f'<button type="button" data-preset="{name}"{state}><b>{name}</b> <small>{steps}{more}</small></button>'


def preset_of(options: dict[str, Any], sampler: str, steps: float | None) -> str | None:
    """The preset that these settings are."""
    asked = {"sampler": sampler, "steps": steps}
    return next((name for name, preset in options["presets"].items() if preset == asked and name != RACE), None)


def build_controls(options: dict[str, Any]) -> tuple[dict[str, Any], gr.Checkbox, gr.Button, gr.HTML]:
    """What is always in sight: a component for each argument but the length, by name; the lock of the seed, the button
    that draws one, and the place for the number that a word stands for."""
    controls: dict[str, Any] = {}
    with gr.Column(elem_classes="choices", min_width=0):
        controls["style"] = gr.Radio(label=tr("Style"), **_choices(options, "style"))
    with gr.Column(elem_classes="choices", min_width=0):
        controls["ensemble"] = gr.Radio(label=tr("Ensemble"), **_choices(options, "ensemble"))
    with gr.Column(min_width=0):
        sampler = _choices(options, "sampler")
        sampler["info"] = tr(options["sampler"]["summaries"][sampler["value"]])
        controls["sampler"] = gr.Dropdown(label=tr("Sampler"), filterable=False, **sampler)
    with gr.Column(min_width=0):
        steps = options["steps"]
        controls["steps"] = gr.Number(
            steps["default"], label=tr("Steps"), info=tr(steps["help"]), step=1, elem_id="steps"
        )
    with gr.Column(min_width=0):
        controls["guidance_scale"] = _slider(options, "guidance_scale", "Guidance", 0.1)
    with gr.Column(elem_id="seed-group", min_width=0):
        controls["seed"] = gr.Textbox(label=tr("Seed"), info=tr(options["seed"]["help"]), max_lines=1, elem_id="seed")
        with gr.Row(elem_id="seed-tools"):
            dice = gr.Button(tr("Draw another seed"), size="sm", elem_id="dice")
            keep = gr.Checkbox(False, label=tr("Keep this seed for the next clip"), elem_id="keep", container=False)
        meaning = gr.HTML(elem_id="meaning", padding=False)
    return controls, keep, dice, meaning


def build_more(options: dict[str, Any]) -> dict[str, Any]:
    """The components of the arguments that are seldom changed, by name."""
    decoder = _choices(options, "decoder") | {"info": tr(options["decoder"]["help"])}
    return {
        "duration_s": _slider(options, "duration_s", "Length", options["duration_s"]["minimum"]),
        "decoder": gr.Radio(label=tr("Sound"), **decoder),
    }


def build_knobs(options: dict[str, Any]) -> tuple[dict[tuple[str, str], Any], dict[str, gr.Group]]:
    """A component for each (sampler, knob), and the group of each sampler; only the chosen one's is to be seen."""
    knobs: dict[tuple[str, str], Any] = {}
    groups: dict[str, gr.Group] = {}
    for sampler, own in options["knobs"].items():
        with gr.Group(visible=sampler == options["sampler"]["default"], elem_classes="knobs") as groups[sampler]:
            if not own:
                gr.Markdown(tr("This sampler has no knobs of its own."))
            for name, knob in own.items():
                knobs[sampler, name] = _knob(sampler, name, knob)
    return knobs, groups


def _choices(options: dict[str, Any], name: str) -> dict[str, Any]:
    pairs = [(tr(options[name]["titles"][value]), value) for value in options[name]["choices"]]
    return {"choices": pairs, "value": options[name]["default"], "info": tr(options[name]["help"]), "elem_id": name}


def _slider(options: dict[str, Any], name: str, label: str, step: float) -> Any:
    allowed = options[name]
    bounds = allowed["minimum"], allowed["maximum"], allowed["default"]
    return _checked_later(
        gr.Slider(*bounds, step=step, label=tr(label), info=tr(allowed["help"]), elem_id=name, buttons=[])
    )


def _checked_later(slider: Any) -> Any:
    """Let the studio check the number of a slider: it says in words, on the score, what is wrong."""
    slider.preprocess = lambda payload: payload
    return slider


def _knob(sampler: str, name: str, knob: dict[str, Any]) -> Any:
    common = {
        "value": knob["default"],
        "label": tr(name.replace("_", " ").capitalize()),
        "info": tr(knob["help"]),
        "elem_id": f"{sampler}-{name}",
    }
    if knob["choices"]:
        return gr.Radio(choices=list(knob["choices"]), **common)
    if isinstance(knob["default"], bool):
        return gr.Checkbox(**common)
    if knob["range"]:
        low, high = knob["range"]
        step = 1 if isinstance(knob["default"], int) else (high - low) / 100
        return _checked_later(gr.Slider(low, high, step=step, buttons=[], **common))
    return gr.Number(**common)
