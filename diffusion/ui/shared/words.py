"""What the page says, in the visitor's language. English sentences are the keys of the French ones."""

from __future__ import annotations

import json
from typing import Any

import gradio as gr

from diffusion.ui.shared.assets import asset

FRENCH: dict[str, str] = json.loads(asset("shared/french.json"))
TRANSLATIONS = gr.I18n(en={sentence: sentence for sentence in FRENCH}, fr=FRENCH)


def tr(sentence: str) -> Any:
    """A sentence for a Gradio component, which shows it in the language of the browser."""
    return TRANSLATIONS(sentence) if sentence in FRENCH else sentence


def prefers_french(accept_language: str) -> bool:
    """Whether a browser that sends this header likes French best; what they like best comes first."""
    return accept_language.strip().lower().startswith("fr")


def said(sentence: str, french: bool, **values: object) -> str:
    """A sentence of a page that Gradio does not serve, with each {name} replaced by its value."""
    text = FRENCH.get(sentence, sentence) if french else sentence
    return text.format(**values) if values else text


def sentence(text: object) -> str:
    """An error, or what it says, with a full stop."""
    return f"{text}".removesuffix(".") + "."
