"""How Gradio runs what visitors and programs ask for: arguments of its events, and what its functions lack."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any

import gradio as gr

RUNS_AT_ONCE = 4  # more share the same cores, and each would wait longer for its first picture
MODEL: dict[str, Any] = {"concurrency_limit": RUNS_AT_ONCE, "concurrency_id": "model"}  # one queue for all that samples
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE = QUIET | {"queue": False}
QUEUED = QUIET | MODEL


def served(**functions: Callable[..., Any]) -> list[Callable[..., Any]]:
    """The `server_functions` of a gr.HTML by the names that the browser calls them.

    Gradio writes a mark on each, which a method refuses and a partial takes.
    """
    answers: list[Callable[..., Any]] = []
    for name, function in functions.items():
        answer = update_wrapper(partial(function), function)
        answer.__name__ = name
        answers.append(answer)
    return answers


def telling(event: str) -> str:
    """What the browser does to tell the page's modules of an event: they hear it at the document."""
    return f"() => document.dispatchEvent(new Event('{event}'))"


def session_of(http: gr.Request) -> str:
    """The name of a visitor's page."""
    return http.session_hash or ""


def places(blocks: gr.Blocks) -> list[str]:
    """The sessions whose runs wait for a turn, the next one first.

    Gradio tells a page its place only where it shows its own progress bar, so the queue itself is read.
    """
    model = blocks._queue.event_queue_per_concurrency_id.get(MODEL["concurrency_id"])
    return [event.session_hash for event in model.queue] if model else []


def is_full(blocks: gr.Blocks) -> bool:
    """Whether no more events may wait."""
    most = blocks._queue.max_size
    return most is not None and len(blocks._queue) >= most
