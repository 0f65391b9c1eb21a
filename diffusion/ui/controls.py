"""The rail: a component for every setting of a request, made of what the studio says about it."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import Any

import gradio as gr

from diffusion.studio import LABELS, Request, Studio, seed_of
from diffusion.ui.words import tr

NUMBERS = ("steps", "guidance_scale", "guidance_from", "duration_s")
FINE = ("key", "beat", "ending")  # labels that most leave open
EXPLAINED = {"grid": "Time grid", "guidance_rule": "Guidance rule"}  # radios with a sentence on each choice
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


class Rail:
    """The rail on the page: its components, and the requests that they stand for.

    Built where it is made, inside `gr.Blocks`. `controls` has a component for each setting that can be chosen, `knobs`
    one for each (sampler, knob), `settings` shows the JSON of the clip on show.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio, self.options = studio, studio.options()
        self.controls: dict[str, Any] = {}
        with gr.Row(elem_id="rail"):
            self._build_first()
            with gr.Row(elem_id="folds"):
                with gr.Accordion(tr("Advanced"), open=False, elem_id="advanced"):
                    self._build_more()
                with gr.Accordion(tr("Settings of this clip"), open=False, elem_id="settings"):
                    everything = tr("All that makes this clip again; the WAV carries it too")
                    self.settings = gr.JSON(label=everything, elem_id="recipe")
        self.used = gr.State("")  # what the seed field held when a clip was last asked for
        self.inputs = [*self.controls.values(), *self.knobs.values()]
        self.outputs = [self.keep, *self.inputs, *self.groups.values()]

    def _build_first(self) -> None:
        """What is always in sight."""
        options, controls = self.options, self.controls
        for name in LABELS:
            if name in self.studio.labels and name not in FINE:
                with gr.Column(elem_id=f"{name}-group", min_width=0):
                    controls[name] = gr.Radio(label=tr(name.capitalize()), **_choices(options, name))
        with gr.Column(elem_id="sampler-group", min_width=0):
            controls["sampler"] = gr.Dropdown(label=tr("Sampler"), filterable=False, **_explained(options, "sampler"))
        with gr.Column(elem_id="steps-group", min_width=0):
            default, words = options["steps"]["default"], {"label": tr("Steps"), "info": tr(options["steps"]["help"])}
            controls["steps"] = gr.Number(default, step=1, elem_id="steps", **words)
        with gr.Column(min_width=0):
            controls["guidance_scale"] = _slider(options, "guidance_scale", "Guidance", 0.1)
        with gr.Column(elem_id="seed-group", min_width=0):
            words = {"label": tr("Seed"), "info": tr(options["seed"]["help"])}
            controls["seed"] = gr.Textbox(max_lines=1, elem_id="seed", **words)
            with gr.Row(elem_id="seed-tools"):
                self.dice = gr.Button(tr("Draw another seed"), size="sm", elem_id="dice")
                lock = tr("Keep this seed for the next clip")
                self.keep = gr.Checkbox(False, label=lock, elem_id="keep", container=False)
            self.meaning = gr.HTML(elem_id="meaning", padding=False)  # the number that a word stands for

    def _build_more(self) -> None:
        """What is seldom changed."""
        options, controls = self.options, self.controls
        with gr.Row(elem_id="more"):
            with gr.Column():  # what is played
                for name in FINE:
                    if name in self.studio.labels:
                        controls[name] = gr.Radio(label=tr(name.capitalize()), **_choices(options, name))
                controls["duration_s"] = _slider(options, "duration_s", "Length", options["duration_s"]["minimum"])
            with gr.Column():  # how it is made
                for name, label in EXPLAINED.items():
                    controls[name] = gr.Radio(label=tr(label), **_explained(options, name))
                controls["guidance_from"] = _slider(options, "guidance_from", "Guidance from", 0.5)
                controls["decoder"] = gr.Radio(label=tr("Sound"), **_choices(options, "decoder"))
                self.knobs, self.groups = build_knobs(options)

    def asked(self, kept: bool, before: str, values: tuple[Any, ...]) -> tuple[Request, dict[Any, Any]]:
        """The request of the `inputs`, and what the seed field shows then; ValueError if it cannot be asked.

        Unless the seed is `kept`, one that was heard `before` is drawn anew.
        """
        arguments = dict(zip(self.controls, values, strict=False))
        given = dict(zip(self.knobs, values[len(arguments) :], strict=True))
        for name in NUMBERS:
            if arguments[name] is None:
                allowed = self.options[name]
                raise ValueError(f"{name}: got nothing, allowed {allowed['minimum']} to {allowed['maximum']}")
        sampler = arguments["sampler"]
        knobs = {name: given[sampler, name] for name in self.options["knobs"].get(sampler, {})}
        text = (arguments["seed"] or "").strip()
        if text == before and not kept:
            text = ""
        request = self.studio.request(**arguments | {"seed": text, "knobs": knobs})
        text = text if seed_of(text) == request.seed else str(request.seed)
        return request, {self.controls["seed"]: text, self.used: text}

    def restored(self, request: Request) -> dict[Any, Any]:
        """Every control as the request has it, its seed locked; ValueError if it cannot be asked of this model."""
        self.studio.check(replace(request, model=""))
        values = {control: getattr(request, name) for name, control in self.controls.items()}
        values[self.controls["decoder"]] = request.decoder or self.studio.decoder
        own = {self.knobs[request.sampler, name]: value for name, value in request.knobs.items()}
        words = {self.controls[name]: self.explained(name, getattr(request, name)) for name in EXPLAINED}
        return values | own | {self.keep: True} | self.shown(request.sampler) | words

    def shown(self, sampler: str) -> dict[Any, Any]:
        """The sampler chosen, with its sentence and its knobs in sight."""
        groups = {group: gr.Group(visible=name == sampler) for name, group in self.groups.items()}
        return {self.controls["sampler"]: gr.Dropdown(**_chosen(self.options, "sampler", sampler)), **groups}

    def explained(self, name: str, value: str) -> Any:
        """A radio of EXPLAINED with its choice made, and what that means."""
        return gr.Radio(**_chosen(self.options, name, value))

    def preset(self, name: str) -> dict[Any, Any]:
        """The sampler and the steps of a preset."""
        preset = self.options["presets"][name]
        return {self.controls["steps"]: preset["steps"], **self.shown(preset["sampler"])}


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


def _explained(options: dict[str, Any], name: str) -> dict[str, Any]:
    """Choices under which the chosen one's own sentence stands."""
    return _choices(options, name) | _chosen(options, name, options[name]["default"])


def _chosen(options: dict[str, Any], name: str, value: str) -> dict[str, Any]:
    return {"value": value, "info": tr(options[name]["summaries"][value])}


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
