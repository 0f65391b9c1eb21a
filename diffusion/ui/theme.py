"""The page's colours and type, for Gradio's own components; the style sheets do the rest."""

from __future__ import annotations

import gradio as gr

INK = gr.themes.Color(
    c50="#f7f5f1",
    c100="#efece6",
    c200="#e0dcd3",
    c300="#c9c4ba",
    c400="#a39da6",
    c500="#7b7684",
    c600="#5c5766",
    c700="#37333f",
    c800="#1f1c25",
    c900="#16141b",
    c950="#0e0c12",
    name="ink",
)
AMBER = gr.themes.Color(
    c50="#fff6e8",
    c100="#ffe9c7",
    c200="#ffd591",
    c300="#ffbf5c",
    c400="#ffac33",
    c500="#fb9a14",
    c600="#b35f00",
    c700="#8a4700",
    c800="#623300",
    c900="#3d2000",
    c950="#221200",
    name="amber",
)


def theme() -> gr.themes.Base:
    """One accent, one neutral, and the fonts that the visitor's system has: none is fetched."""
    return gr.themes.Base(
        primary_hue=AMBER,
        neutral_hue=INK,
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
    )
