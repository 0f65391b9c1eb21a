"""The rail: a field for every setting, made of the table, and the requests that its values stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from textwrap import shorten
from typing import Any

import gradio as gr

from diffusion.edits import SOURCED
from diffusion.request import BOOK_KNOBS, Request
from diffusion.settings import BY_THE_BOOK, Choice, Knobs, Label, Number, Seed, Setting, draw_seed, seed_of
from diffusion.studio import Studio
from diffusion.ui.shared.events import AT_ONCE
from diffusion.ui.shared.naming import edited
from diffusion.ui.shared.words import tr

CHIPS = 8  # a choice of more is a menu
ROUNDED = "Rounded to the next length that this model can make."
Updates = dict[Any, Any]
"""Components and what they become."""
# The studio checks the numbers of sliders, too, and says in words, on the canvas, what is wrong. It is said of all of
# them: Gradio makes a component anew whenever it is updated.
gr.Slider.preprocess = lambda self, payload: payload  # type: ignore[method-assign]


class Rail:
    """The rail on the page. Built where it is made, inside `gr.Blocks`.

    `fields` has a component for each setting that can be chosen, `knobs` one for each (sampler, knob) in the `groups`
    of the samplers, and `settings` shows the JSON of the clip on show. `keep` locks the seed; `used` is what the seed's
    field held when a clip was last asked for. The `edited` row is in sight while a clip's edits have come back with it.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.fields: dict[str, Any] = {}
        self.knobs: dict[tuple[str, str], Any] = {}
        self.groups: dict[str, Any] = {}
        self._build_edits()
        with gr.Row(elem_id="rail"):
            for setting in self._placed("first"):
                with gr.Column(elem_id=f"{setting.name}-group", min_width=0):
                    self._build(setting)
            with gr.Row(elem_id="folds"):
                with gr.Accordion(tr("Advanced"), open=False, elem_id="advanced"), gr.Row(elem_id="more"):
                    for place in ("music", "making"):
                        with gr.Column():
                            for setting in self._placed(place):
                                self._build(setting)
                with gr.Accordion(tr("Settings of this clip"), open=False, elem_id="settings"):
                    everything = tr("All that makes this clip again; the WAV carries it too")
                    self.settings = gr.JSON(label=everything, elem_id="recipe")
        self.used = gr.State("")
        self.answered = [self.fields["seed"], self.used, self.fields["duration_s"]]
        self.inputs = [*self.fields.values(), *self.knobs.values()]
        self.outputs = [self.keep, *self.inputs, *self.groups.values(), *self.edited]
        self._connect()

    def asked(self, kept: bool, before: str, values: Sequence[Any]) -> tuple[Request, Updates]:
        """The request of the `inputs`, and what the `answered` fields show then; ValueError if it cannot be asked.

        Unless the seed is `kept`, one that was heard `before` is drawn anew.
        """
        arguments = dict(zip(self.fields, values, strict=False))
        given = dict(zip(self.knobs, values[len(arguments) :], strict=True))
        knobs = {name: value for (sampler, name), value in given.items() if sampler == arguments["sampler"]}
        text = (arguments["seed"] or "").strip()
        if text == before and not kept:
            text = ""
        request = self.studio.request(**arguments | {"seed": text, "knobs": knobs})
        text = text if seed_of(text) == request.seed else str(request.seed)
        return request, {self.fields["seed"]: text, self.used: text} | self._length(arguments["duration_s"], request)

    def base(self, values: Sequence[Any]) -> Request:
        """The request of the `inputs` for a comparison: the seed stays; ValueError if it cannot be asked."""
        request = self.asked(True, "", values)[0]
        for name in request.edits:
            if name in SOURCED:
                raise ValueError(f"edits: got {name}, but a comparison composes from noise alone; leave it out")
        return request

    def restored(self, request: Request) -> Updates:
        """Every field as the request has it, its seed locked; ValueError if it cannot be asked of this model."""
        self.studio.check(request.changed(model=""))
        whole = self.studio.complete(request)
        values = {field: whole[name] for name, field in self.fields.items()}
        own = {self.knobs[whole.sampler, name]: value for name, value in whole.knobs.items()}
        words = {self.fields[name]: self.chosen(name, whole[name]) for name in self.explained}
        shown = self._length(request.duration_s, whole) | {self.keep: True} | self.sampler_shown(whole.sampler)
        return self._held(values | own | words | shown | self._edits_shown(whole), whole.booked)

    def booked(self, choice: str) -> Updates:
        """By the book or not: what the book decides as it has it, or at its default, and whether it can be chosen."""
        held = choice == "yes"
        values = BY_THE_BOOK if held else {name: self.studio.default(name) for name in BY_THE_BOOK}
        knobs = {key: BOOK_KNOBS[key[1]] if held else each.value for key, each in self._book_knobs.items()}
        shown = {self.fields[name]: self._said(name, value) for name, value in values.items()}
        shown |= {self.knobs[key]: value for key, value in knobs.items()}
        return self._held(shown | {self.fields["by_the_book"]: self.chosen("by_the_book", choice)}, held)

    def preset(self, settings: Mapping[str, Any]) -> Updates:
        """The settings of a preset."""
        values = {self.fields[name]: value for name, value in settings.items()}
        return values | self.sampler_shown(settings["sampler"])

    def _said(self, name: str, value: Any) -> Any:
        """A value for a field, with its sentence where there is one."""
        return self.chosen(name, value) if name in self.explained else value

    @property
    def _book_knobs(self) -> dict[tuple[str, str], Any]:
        """The knobs that the book decides."""
        return {key: each for key, each in self.knobs.items() if key[1] in BOOK_KNOBS}

    def _held(self, updates: Updates, held: bool) -> Updates:
        """The updates, and whether what the book decides can be chosen."""
        decided = [*(self.fields[name] for name in BY_THE_BOOK), *self._book_knobs.values()]
        return updates | {each: {**_update(updates.get(each)), "interactive": not held} for each in decided}

    def _length(self, duration_s: float | None, request: Request) -> Updates:
        """Shows what was made of a length, and says where that is not what was asked for."""
        field, setting = self.fields["duration_s"], self.studio.settings["duration_s"]
        help = ROUNDED if self.studio.rounding(duration_s, request) else setting.help
        return {field: gr.update(value=request.duration_s, info=tr(help))}

    @property
    def explained(self) -> list[str]:
        """The fields under which the sentence of the chosen value stands."""
        return [name for name in self.fields if isinstance(self.studio.settings[name], Choice)]

    def chosen(self, name: str, value: str) -> Any:
        """A field of `explained` with its choice made, and what that means."""
        setting = self.studio.settings[name]
        assert isinstance(setting, Choice)
        return gr.update(value=value, info=tr(setting.catalogue[value].summary))

    def sampler_shown(self, sampler: str) -> Updates:
        """The sampler chosen, with its sentence and its knobs in sight."""
        groups = {group: gr.update(visible=name == sampler) for name, group in self.groups.items()}
        return {self.fields["sampler"]: self.chosen("sampler", sampler), **groups}

    def _placed(self, place: str) -> list[Setting]:
        """The settings of a place: labels first, knobs last. A label of which the model knows nothing has no field."""
        known = [
            each
            for each in self.studio.settings.values()
            if each.place == place and (not isinstance(each, Label) or each.name in self.studio.labels)
        ]
        return sorted(known, key=lambda each: (not isinstance(each, Label), isinstance(each, Knobs)))

    def _build(self, setting: Setting) -> None:
        if isinstance(setting, Knobs):
            self._build_knobs()
        elif isinstance(setting, Seed):
            self._build_seed(setting)
        else:
            self.fields[setting.name] = self._field(setting)

    def _field(self, setting: Setting) -> Any:
        name, default = setting.name, self.studio.default(setting.name)
        words = {"label": tr(setting.title), "info": tr(setting.help), "elem_id": name}
        if isinstance(setting, Label):
            classes = ["setting", "label", *([] if setting.open else ["wide"])]
            return gr.Radio(self._pairs(setting), value=default, elem_classes=classes, **words)
        if isinstance(setting, Choice):
            words["info"] = tr(setting.catalogue[default].summary)
            pairs = self._pairs(setting)
            if len(pairs) > CHIPS:
                return gr.Dropdown(pairs, value=default, filterable=False, elem_classes=["setting"], **words)
            return gr.Radio(pairs, value=default, elem_classes=["setting"], **words)
        assert isinstance(setting, Number)
        if setting.step is None:
            return gr.Number(default, step=1, elem_classes=["setting"], **words)
        return gr.Slider(*setting.range, default, step=setting.step, buttons=[], elem_classes=["setting"], **words)

    def _pairs(self, setting: Setting) -> list[tuple[Any, str]]:
        return [(tr(setting.titled(value)), value) for value in self.studio.values(setting.name)]

    def _build_seed(self, setting: Seed) -> None:
        """The seed's field, with dice and a lock, and the number that a word stands for."""
        self.fields[setting.name] = gr.Textbox(
            label=tr(setting.title), info=tr(setting.help), max_lines=1, elem_id=setting.name, elem_classes=["setting"]
        )
        with gr.Row(elem_id="seed-tools"):
            self.dice = gr.Button(tr("Draw another seed"), size="sm", elem_id="dice")
            lock = tr("Keep this seed for the next clip")
            self.keep = gr.Checkbox(False, label=lock, elem_id="keep", container=False)
        self.meaning = gr.HTML(elem_id="meaning", padding=False)

    def _build_edits(self) -> None:
        """The edits that came back with a clip's settings, in words, and a button that leaves them out."""
        with gr.Row(visible=False, elem_id="edits") as row:
            said = gr.HTML(padding=False)
            self.plain = gr.Button(tr("Leave them out"), size="sm", elem_id="plain")
        self.fields["edits"], self.edited = gr.State({}), (row, said)

    def _edits_shown(self, request: Request) -> Updates:
        """The edits of a request, in words where there are any."""
        row, said = self.edited
        names = edited(request.to_dict())
        words = (
            f'<span lang="{language}">{escape(" · ".join(each))}</span>'
            for language, each in (("en", names["en"]), ("fr", names["fr"]))
        )
        html = f"<p><span>With the edits of that clip:</span> {''.join(words)}</p>"
        return {row: gr.update(visible=bool(request.edits)), said: html}

    def _build_knobs(self) -> None:
        """A component for each knob; only those of the chosen sampler are to be seen."""
        chosen = self.studio.default("sampler")
        for sampler, knobs in self.studio.options()["knobs"].items():
            with gr.Group(visible=sampler == chosen, elem_classes="knobs") as self.groups[sampler]:
                if not knobs:
                    gr.Markdown(tr("This sampler has no knobs of its own."))
                for name, knob in knobs.items():
                    self.knobs[sampler, name] = _knob(sampler, name, knob)

    def _connect(self) -> None:
        """What the fields say of one another."""
        sampler, seed = self.fields["sampler"], self.fields["seed"]
        self.dice.click(draw_seed, outputs=seed, **AT_ONCE)
        row, edits = self.edited[0], self.fields["edits"]
        self.plain.click(lambda: {edits: {}, row: gr.update(visible=False)}, outputs=[edits, row], **AT_ONCE)
        seed.change(_meaning, inputs=seed, outputs=self.meaning, trigger_mode="always_last", **AT_ONCE)
        sampler.input(self.sampler_shown, inputs=sampler, outputs=[sampler, *self.groups.values()], **AT_ONCE)
        book, decided = self.fields["by_the_book"], [self.fields[name] for name in BY_THE_BOOK]
        book.input(self.booked, inputs=book, outputs=[book, *decided, *self._book_knobs.values()], **AT_ONCE)
        for name in self.explained:
            if name not in ("sampler", "by_the_book"):
                field = self.fields[name]
                field.input(partial(self.chosen, name), inputs=field, outputs=field, **AT_ONCE)


def _update(value: Any) -> dict[str, Any]:
    """An update as Gradio has it of one, of a value alone, or of None, which changes nothing."""
    if isinstance(value, dict):
        return value
    return gr.update() if value is None else gr.update(value=value)


def _meaning(text: str | None) -> str:
    """What the seed field says, where it is no number: the number that it stands for, as HTML."""
    try:
        seed = seed_of(text or "")
    except ValueError:
        return ""
    word = " ".join((text or "").split())
    if seed < 0 or word == str(seed):
        return ""
    name = escape(shorten(word, 16, placeholder="…"))
    return f'<span data-seed="{seed}"><b>{name}</b> = <span>seed</span> {seed}</span>'  # which the page translates


def _knob(sampler: str, name: str, knob: Mapping[str, Any]) -> Any:
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
        return gr.Slider(low, high, step=step, buttons=[], **common)
    return gr.Number(**common)
