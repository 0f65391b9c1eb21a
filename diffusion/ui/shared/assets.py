"""What the browser gets: each room's modules, style sheets and markup, from the folder of that room."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

ROOMS = Path(__file__).parent.parent
SUFFIXES = (".css", ".html", ".js", ".json")
SHEETS = (
    "shared/palette.css",
    "shared/page.css",
    "shared/keys.css",
    "compose/canvas.css",
    "compose/rail.css",
    "compose/takes.css",
    "compose/reveal.css",
    "compose/race.css",
    "hands/hands.css",
    "compare/comparison.css",
    "compare/compare.css",
    "lab/lab.css",
    "gallery/gallery.css",
    "stage/stage.css",
)
LOST = "The server does not answer."
MISSING = "The page is not complete: {file} did not come. Reload the page."
# Messages that come before the module has loaded wait for it.
_START = """
const events = @events;
const facts = JSON.parse(@facts);
let receive = (message) => early.push(message);
const early = [props.value];
watch("value", () => receive(props.value));
const file = new URL("page/@module", document.baseURI).href;
import(file).then(({ mount }) => {
  const part = mount({ element, trigger, server, upload, facts });
  receive = (message) => part.receive(message);
  early.forEach(receive);
}, (error) => {
  const line = element.querySelector(".message");
  if (line) {
    line.textContent = @missing[navigator.language.startsWith("fr") ? "fr" : "en"].replace("{file}", file);
    line.classList.add("error");
  }
  throw error;
});
"""
_NEEDED = re.compile(r'(?:\bfrom |\bimport |\bimport\(|new URL\()"(\.\.?/[^"]+|[^"]+(?=", import\.meta\.url))"')
_IMPORT = re.compile(r"^import .*\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?:default )?", re.MULTILINE)


def asset(name: str) -> str:
    """The text of a file of a room, such as "compose/canvas.html"."""
    return (ROOMS / name).read_text(encoding="utf-8")


def starting(module: str, events: Iterable[str], facts: Any = None) -> str:
    """The `js_on_load` of a gr.HTML that a module, such as "compose/compose.js", mounts itself on.

    The module may trigger the `events`: Gradio knows those whose names stand in this text between quotes. It reads the
    `facts`, any JSON value, as `host.facts`; no name inside them looks like an event's.
    """
    parts = {
        "@events": json.dumps(list(events)),
        "@facts": json.dumps(json.dumps(facts)),
        "@missing": both(MISSING),
        "@module": module,
    }
    return re.sub("|".join(parts), lambda mark: parts[mark[0]], _START)


def head() -> str:
    """What stands in the head of the page: the script that has patience with the network."""
    return f"<script>{asset('shared/network.js').replace('@lost', both(LOST))}</script>"


def both(sentence: str) -> str:
    """A sentence in both languages, as a script has it that comes before the modules do."""
    return json.dumps({"en": sentence, "fr": json.loads(asset("shared/french.json"))[sentence]})


def style_sheets() -> str:
    """All style sheets of the page in the order in which they build on one another, the palette first."""
    return "\n".join(asset(name) for name in SHEETS)


def colours() -> dict[str, str]:
    """The colours of the palette that are the same on every ground, such as "ink-50": "#f7f5f1"."""
    return dict(re.findall(r"--([\w-]+): (#\w+);", asset("shared/palette.css")))


def inlined(*modules: str) -> str:
    """Modules as one script that imports nothing, for a file that stands alone; each comes after what it imports."""
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", asset(name))) for name in modules)


def missing(rooms: Path = ROOMS) -> list[str]:
    """The files that a module imports, or that the page is styled with, and that are not there."""
    needed = {rooms / name for name in SHEETS}
    for module in rooms.glob("*/*.js"):
        needed.update(module.parent / name for name in _NEEDED.findall(module.read_text(encoding="utf-8")))
    lost = {os.path.relpath(file, rooms) for file in needed if not file.is_file()}
    return sorted(name.replace(os.sep, "/") for name in lost)


def routes() -> Mount:
    """What serves the browser's files of every room, and no others, below /page."""
    return Mount("/page", _Browser(directory=ROOMS))


class _Browser(StaticFiles):
    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        return super().lookup_path(path) if path.endswith(SUFFIXES) else ("", None)
