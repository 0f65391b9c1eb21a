"""How the server runs what visitors and programs ask for: arguments of Gradio's events."""

from __future__ import annotations

from typing import Any

RUNS_AT_ONCE = 4  # more share the same cores, and each would wait longer for its first picture
MODEL: dict[str, Any] = {"concurrency_limit": RUNS_AT_ONCE, "concurrency_id": "model"}  # one queue for all that samples
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
AT_ONCE = QUIET | {"queue": False}
QUEUED = QUIET | MODEL
