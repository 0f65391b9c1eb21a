"""The room in which two settings are compared: what it is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr

from diffusion.compare import Comparison, to_csv
from diffusion.engine import Clip
from diffusion.film import finished_picture
from diffusion.request import Request
from diffusion.settings import ANY, Choice, Label, Number, Seed, Setting
from diffusion.studio import Studio
from diffusion.ui import messages
from diffusion.ui.compare.comparisons import Comparisons, Filled
from diffusion.ui.compare.report import report
from diffusion.ui.messages import COMPARE_EVENTS, Axis, Compare, CompareMessage, Media, encoded
from diffusion.ui.shared.assets import asset, starting
from diffusion.ui.shared.events import AT_ONCE, QUEUED, served, session_of, telling
from diffusion.ui.shared.latest import Latest

BEGIN_LABELS = 3  # an axis of labels begins with so many of them


class CompareRoom:
    """The room on the page. Built where it is made, inside `gr.Blocks`; it answers once it is connected to the rail."""

    base: Callable[[Sequence[Any]], Request]
    """What all cells begin with, made of the rail's values."""

    def __init__(self, studio: Studio, clips: Latest[Clip]) -> None:
        self.studio = studio
        self.comparisons = Comparisons(studio, clips)
        self.view = gr.HTML(
            html_template=asset("compare/compare.html"),
            js_on_load=starting("compare/compare.js", COMPARE_EVENTS),
            elem_id="compare",
            apply_default_css=False,
            padding=False,
            server_functions=served(choices=self.choices, cell=self.cell, report=self.report, table=self.table),
        )

    def connect(self, blocks: gr.Blocks, inputs: Sequence[Any], base: Callable[[Sequence[Any]], Request]) -> None:
        """Let the view ask, with the values of the rail's `inputs` beside what it says itself."""
        self.base = base
        # The newest comparison ends the one before.
        asked = {"inputs": list(inputs), "outputs": self.view, "trigger_mode": "multiple"}
        run = self.view.compare(self.on_compare, **asked, **QUEUED)
        run.failure(None, js=telling("unfilled"), api_visibility="private")
        self.view.cost(self.on_cost, **asked, **AT_ONCE)
        self.view.halt(self.on_halt, **AT_ONCE)
        blocks.unload(self.on_halt)

    def on_compare(self, event: gr.EventData, http: gr.Request, *values: Any) -> Iterator[CompareMessage]:
        """Compose the cells, and say how far they are."""
        try:
            asked = messages.read(Compare, event)
            yield from self.comparisons.perform(self._comparison(asked, values), asked.distances, session_of(http))
        except ValueError as error:
            yield messages.compare_error("compare", error)
        except Exception:
            yield messages.compare_error("compare", messages.FAILED)
            raise

    def on_cost(self, event: gr.EventData, *values: Any) -> CompareMessage:
        """Say what the cells would take."""
        try:
            asked = messages.read(Compare, event)
            return self.comparisons.cost(self._comparison(asked, values), asked.distances)
        except ValueError as error:
            return messages.compare_error("cost", error)

    def on_halt(self, http: gr.Request) -> None:
        """End what the visitor has under way."""
        self.comparisons.stop(session_of(http))

    def choices(self, _: Any) -> dict[str, Axis]:
        """The axes that there are: their titles, and the values to choose from or a text to begin with."""
        axes = {name: self._axis(setting) for name, setting in self.studio.settings.items() if setting.axis}
        return {name: axis for name, axis in axes.items() if axis.get("values") != [ANY]}

    def cell(self, asked: Any) -> Media | None:
        """The picture and the WAV file of the cell at {run, row, column}; None where it is not kept."""
        filled = self._kept(asked)
        cell = filled.cells.get((asked.get("row"), asked.get("column"))) if filled else None
        if cell is None:
            return None
        return {
            "picture": finished_picture(cell.clip.features, self.studio.codec),
            "audio": encoded(cell.clip.to_wav()),
        }

    def report(self, asked: Any) -> str | None:
        """The HTML file of a comparison {run, language}, or None where it is not kept."""
        filled = self._kept(asked)
        if filled is None:
            return None
        return report(self.studio, filled.comparison, filled.cells.values(), asked.get("language") == "fr")

    def table(self, asked: Any) -> str | None:
        """The CSV file of a comparison {run}, or None where it is not kept."""
        filled = self._kept(asked)
        return to_csv(filled.cells.values()) if filled else None

    def _kept(self, asked: Any) -> Filled | None:
        run = asked.get("run") if isinstance(asked, dict) else None
        return self.comparisons.kept.get(run) if isinstance(run, str) else None

    def _comparison(self, asked: Compare, values: Sequence[Any]) -> Comparison:
        base, own = self.base(values), tuple(self.studio.labels)
        return Comparison(base, asked.axis_x, asked.values_x, asked.axis_y, asked.values_y, own)

    def _axis(self, setting: Setting) -> Axis:
        if isinstance(setting, (Label, Choice)):
            values = self.studio.values(setting.name)
            begin = setting.begin if isinstance(setting, Choice) else ()
            return {
                "title": setting.title,
                "values": values,
                "titles": {value: setting.titled(value) for value in values},
                "chosen": list(begin) or values[1 : BEGIN_LABELS + 1],
            }
        assert isinstance(setting, Number)
        plain = setting.range[0] >= 0 and not isinstance(setting, Seed)  # no words and no minus
        return {"title": setting.title, "text": setting.begin, "input_mode": "decimal" if plain else "text"}
