"""The rail: a component for every setting of a request, made of what the studio says about it."""

from __future__ import annotations

from typing import Any

import gradio as gr

ARGUMENTS = ("style", "ensemble", "sampler", "steps", "guidance_scale", "seed", "duration_s")


def build_controls(options: dict[str, Any]) -> tuple[dict[str, Any], gr.Checkbox, gr.Button]:
    """One component for each argument, the checkbox that keeps the seed and the button that draws one."""

    def choices(name: str) -> dict[str, Any]:
        pairs = [(options[name]["titles"][value], value) for value in options[name]["choices"]]
        return {"choices": pairs, "value": options[name]["default"], "info": options[name]["help"], "elem_id": name}

    def slider(name: str, label: str, step: float) -> gr.Slider:
        allowed = options[name]
        return gr.Slider(
            allowed["minimum"],
            allowed["maximum"],
            allowed["default"],
            step=step,
            label=label,
            info=allowed["help"],
            elem_id=name,
            buttons=[],
        )

    controls: dict[str, Any] = {}
    with gr.Column(elem_classes="wide"):
        controls["style"] = gr.Radio(label="Style", **choices("style"))
    with gr.Column(elem_classes="wide"):
        controls["ensemble"] = gr.Radio(label="Ensemble", **choices("ensemble"))
    with gr.Column():
        sampler = choices("sampler")
        sampler["info"] = options["sampler"]["summaries"][sampler["value"]]
        controls["sampler"] = gr.Dropdown(label="Sampler", filterable=False, **sampler)
    with gr.Column():
        steps = options["steps"]
        controls["steps"] = gr.Number(
            steps["default"], label="Steps", info=f"{steps['help']} 1 to 1000.", step=1, elem_id="steps"
        )
    with gr.Column():
        controls["guidance_scale"] = slider("guidance_scale", "Guidance", 0.1)
    with gr.Column():
        controls["duration_s"] = slider("duration_s", "Length", options["duration_s"]["minimum"])
    with gr.Column(elem_id="seed-group"):
        controls["seed"] = gr.Number(label="Seed", info=options["seed"]["help"], precision=0, elem_id="seed")
        with gr.Row(elem_id="seed-tools"):
            dice = gr.Button("Draw another", size="sm", elem_id="dice")
            keep = gr.Checkbox(False, label="Keep for the next clip", elem_id="keep", container=False)
    return controls, keep, dice


def build_knobs(options: dict[str, Any]) -> tuple[dict[tuple[str, str], Any], dict[str, gr.Group]]:
    """A component for each (sampler, knob), and the group of each sampler; only the chosen one's is to be seen."""
    knobs: dict[tuple[str, str], Any] = {}
    groups: dict[str, gr.Group] = {}
    for sampler, own in options["knobs"].items():
        with gr.Group(visible=sampler == options["sampler"]["default"]) as groups[sampler]:
            if not own:
                gr.Markdown(f"{options['sampler']['titles'][sampler]} has no knobs: it is fine as it is.")
            for name, knob in own.items():
                knobs[sampler, name] = _knob(sampler, name, knob)
    return knobs, groups


def _knob(sampler: str, name: str, knob: dict[str, Any]) -> Any:
    common = {
        "value": knob["default"],
        "label": name.replace("_", " "),
        "info": knob["help"],
        "elem_id": f"{sampler}-{name}",
    }
    if knob["choices"]:
        return gr.Radio(choices=list(knob["choices"]), **common)
    if isinstance(knob["default"], bool):
        return gr.Checkbox(**common)
    if knob["range"]:
        low, high = knob["range"]
        step = 1 if isinstance(knob["default"], int) else (high - low) / 100
        return gr.Slider(low, high, step=step, buttons=[], **common)
    return gr.Number(**common)
