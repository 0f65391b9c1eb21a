"""The API: what programs call. Unlike the page's own events it takes anything, and says what is wrong in words.

The arguments of `/generate` and `/compare`, their defaults and what the API and its MCP tools say of them are made of
the settings that the studio has.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from diffusion.compare import CELLS, CONVERGED, Cell, Comparison, in_order, to_csv
from diffusion.compare import compare as compose_cells
from diffusion.edits import EDITS, SOURCED
from diffusion.engine import Clip
from diffusion.request import Request
from diffusion.settings import DRAWN, Choice, Edits, Knobs, Label, Number, Seed, Setting
from diffusion.studio import Studio
from diffusion.ui.compare.report import report
from diffusion.ui.shared.events import MODEL
from diffusion.ui.shared.latest import Latest
from diffusion.ui.shared.naming import file_name

AXES = ("axis_x", "values_x", "axis_y", "values_y")
LAST_FIRST = "decoder"  # the setting after which /compare asks for the distances, once the last one

GENERATE = """Compose a clip of music with a diffusion model.
Returns the WAV file and, as JSON, all settings of the clip.

The same settings make the same clip. `/options` has every choice and range."""
COMPARE = f"""Compose a comparison: up to {CELLS} clips that differ in two settings.
Returns an HTML report that plays them all, the numbers as a CSV file, and the cells as JSON.

Each cell has its settings, evaluations, seconds and, in dB, its distance to the converged clip of its seed. A setting
that is on an axis does not matter as a base."""
OPTIONS = "Every choice, range and default of the settings of `/generate`, with a sentence about each."


@dataclass(frozen=True)
class Argument:
    """An argument of an endpoint: its name, what is said of it, and the component that has its type and default."""

    name: str
    help: str
    component: Any


class Api:
    """`/generate`, `/compare` and `/options` of a studio. Built where it is made, inside `gr.Blocks`.

    Comparisons find finished clips in `clips`, and keep theirs there.
    """

    def __init__(self, studio: Studio, clips: Latest[Clip]) -> None:
        self.studio, self.clips = studio, clips
        self.known = studio.options()
        with gr.Group(visible=False):
            self._settings = [_argument(studio, each) for each in studio.settings.values()]
            first = list(studio.settings).index(LAST_FIRST) + 1
            distances = Argument(
                "distances",
                f"Whether to measure distances too: another {CONVERGED['steps']} evaluations for each seed, labels and "
                "guidance.",
                gr.Checkbox(True, label="distances"),
            )
            self._compared = [*_axes(studio), *self._settings[:first], distances, *self._settings[first:]]
            self._audio, listing = gr.Audio(label="clip", type="filepath"), gr.JSON(label="options")
            self._page, table = gr.File(label="report"), gr.File(label="table")
            clip = [self._audio, gr.JSON(label="settings")]
            cells = [self._page, table, gr.JSON(label="cells")]
            self._serve("generate", self.generate, GENERATE, self._settings, clip, **MODEL)
            self._serve("compare", self.compare, COMPARE, self._compared, cells, **MODEL)
            self._serve("options", self.options, OPTIONS, [], [listing], queue=False)

    def generate(self, *values: Any) -> tuple[str, dict[str, Any]]:
        """A clip as a file, and its settings."""
        with in_words():
            request = self._request(_named(self._settings, values))
            clip = deque(self.studio.generate(request), maxlen=1)[0]
        assert isinstance(clip, Clip)
        path = save_bytes_to_cache(clip.to_wav(), file_name(clip.settings), cache_dir=self._audio.GRADIO_CACHE)
        return path, {**clip.settings, "seconds": round(clip.seconds, 2)}

    def compare(self, *values: Any) -> tuple[str, str, list[dict[str, Any]]]:
        """A comparison as a report and as a table, which are files, and as cells."""
        given = _named(self._compared, values)
        distances = given.pop("distances")
        axis_x, values_x, axis_y, values_y = (given.pop(name) for name in AXES)
        with in_words():
            base = self._request(given)
            own = tuple(self.studio.labels)
            comparison = Comparison(base, axis_x, values_x, axis_y, values_y, own)
            run = compose_cells(self.studio, comparison, cache=self.clips, distances=distances)
            cells = in_order({each.place: each for each in run if isinstance(each, Cell)}.values())
        files = {"html": report(self.studio, comparison, cells), "csv": to_csv(cells)}
        html, rows = (
            save_bytes_to_cache(text.encode(), f"out-of-noise-comparison.{ending}", cache_dir=self._page.GRADIO_CACHE)
            for ending, text in files.items()
        )
        return html, rows, [cell.to_dict() for cell in cells]

    def options(self) -> dict[str, Any]:
        """What can be asked for."""
        return self.known

    def _request(self, given: dict[str, Any]) -> Request:
        """What the arguments ask for; a length that is rounded is said in a message beside the answer."""
        request = self.studio.request(**given)
        if rounding := self.studio.rounding(given.get("duration_s"), request):
            gr.Info(rounding)
        return request

    def _serve(
        self,
        name: str,
        function: Callable[..., Any],
        summary: str,
        arguments: Sequence[Argument],
        outputs: Sequence[Any],
        **queue: Any,
    ) -> None:
        """Let a function that takes the values of `arguments` answer at a name, and say what they are.

        Gradio reads names and sentences from a function's signature and docstring.
        """
        told: Any = partial(function)
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        told.__signature__ = inspect.Signature([inspect.Parameter(each.name, kind) for each in arguments])
        said = [f"    {each.name}: {each.help}" for each in arguments]
        told.__doc__ = "\n".join([summary, "", "Args:", *said]) if said else summary
        told.__name__ = name
        inputs = [each.component for each in arguments]
        gr.Button().click(told, inputs=inputs, outputs=list(outputs), api_name=name, **queue)


@contextmanager
def in_words() -> Iterator[None]:
    """What is wrong with a request is answered in words, and is no failure of the server's."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _named(arguments: Sequence[Argument], values: Sequence[Any]) -> dict[str, Any]:
    return {each.name: value for each, value in zip(arguments, values, strict=True)}


def _axes(studio: Studio) -> list[Argument]:
    """Which two settings differ, and in what."""
    names = ", ".join(name for name, each in studio.settings.items() if each.axis)
    said = {
        "axis_x": (f"What differs across the columns: {names}.", "steps"),
        "values_x": ("Its values, with commas between them, such as 5, 10, 20.", "5, 10, 20"),
        "axis_y": ("What differs down the rows: another one of these.", "sampler"),
        "values_y": ("Its values, with commas between them, such as unipc, ddim.", "unipc, ddim, ddpm"),
    }
    return [Argument(name, help, gr.Textbox(text, label=name)) for name, (help, text) in said.items()]


def _argument(studio: Studio, setting: Setting) -> Argument:
    """A setting as an argument."""
    name, default = setting.name, studio.default(setting.name)
    if isinstance(setting, (Label, Choice)):
        allowed = f" Allowed: {', '.join(studio.values(name))}."
        return Argument(name, setting.help + allowed, gr.Textbox(default, label=name))
    if isinstance(setting, Seed):
        drawn = f" {DRAWN} draws one; the settings that come back hold the one that was used."
        return Argument(name, setting.help + drawn, gr.Textbox(str(default), label=name))
    if isinstance(setting, Number):
        allowed = " Allowed: {:g} to {:g}.".format(*setting.range)
        if name == "duration_s":
            allowed += f" Rounded to a multiple of {studio.step_s:g}."
        return Argument(name, setting.help + allowed, gr.Number(default, label=name))
    if isinstance(setting, Edits):
        known = {name: ", ".join(each.name for each in fields(EDITS[name])) for name in EDITS if name not in SOURCED}
        help = setting.help + " Allowed: " + "; ".join(f"{name} with {{{each}}}" for name, each in known.items()) + "."
        return Argument(name, help, _object(name))
    if isinstance(setting, Knobs):
        return Argument(name, setting.help, _object(name))
    return Argument(name, setting.help, gr.Textbox(default, label=name))


def _object(name: str) -> Any:
    """A component for a JSON object."""
    component: Any = gr.JSON({}, label=name)
    component.api_info = lambda: {"type": "object"}  # MCP's validation refuses the schema of gr.JSON
    return component
