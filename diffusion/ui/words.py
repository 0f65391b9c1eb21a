"""What the page says, in the visitor's language. English sentences are the keys of the French ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr

FRENCH: dict[str, str] = json.loads((Path(__file__).parent / "browser" / "french.json").read_text(encoding="utf-8"))
TRANSLATIONS = gr.I18n(en={sentence: sentence for sentence in FRENCH}, fr=FRENCH)


def tr(sentence: str) -> Any:
    """A sentence for a Gradio component, which shows it in the language of the browser."""
    return TRANSLATIONS(sentence) if sentence in FRENCH else sentence
