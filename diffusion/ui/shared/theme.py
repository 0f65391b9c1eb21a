"""The page's colours and type, for Gradio's own components; the style sheets do the rest."""

from __future__ import annotations

import gradio as gr

from diffusion.ui.shared.assets import colours


def theme() -> gr.themes.Base:
    """One accent, one neutral, and the fonts that the visitor's system has: none is fetched."""
    return gr.themes.Base(
        primary_hue=_ramp("amber"),
        neutral_hue=_ramp("ink"),
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    )


def _ramp(name: str) -> gr.themes.Color:
    """A ramp of the palette, from its lightest colour (50) to its darkest (950)."""
    shades = {each.replace(f"{name}-", "c"): value for each, value in colours().items() if each.startswith(f"{name}-")}
    return gr.themes.Color(**shades, name=name)
