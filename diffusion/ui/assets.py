"""What the browser gets: the folder of its files, and the start of the modules among them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

BROWSER = Path(__file__).parent / "browser"
# Messages that come before the module has loaded wait for it.
_START = """
const events = @events;
let receive = (message) => early.push(message);
const early = [props.value];
watch("value", () => receive(props.value));
import(new URL("page/@module", document.baseURI)).then(({ mount }) => {
  receive = mount({ element, trigger, server, upload });
  early.forEach(receive);
});
"""


def starting(module: str, events: Iterable[str]) -> str:
    """The `js_on_load` of a gr.HTML that a module of the browser mounts itself on.

    The module may trigger the `events`: Gradio knows those whose names stand in this text.
    """
    return _START.replace("@events", json.dumps(list(events))).replace("@module", module)
