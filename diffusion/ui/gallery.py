"""Examples that start at once: the gallery of the model, served as files beside the page."""

from __future__ import annotations

import mimetypes
from pathlib import Path

import gradio as gr
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles

from diffusion import gallery
from diffusion.studio import Studio
from diffusion.ui.assets import BROWSER


def gallery_of(studio: Studio, folder: Path) -> Path | None:
    """The gallery in a checkpoint's `folder`; None unless it is whole and this very model has made it."""
    index = gallery.read(folder / gallery.FOLDER)
    labels = studio.labels
    if index is None or index["model"]["digest"] != studio.digest:
        return None
    whole = len(index["clips"]) == len(labels["style"]) * len(labels["ensemble"])
    return folder / gallery.FOLDER if whole else None


def gallery_wall() -> gr.HTML:
    """Where the browser hangs the gallery."""
    return gr.HTML((BROWSER / "gallery.html").read_text(), elem_id="gallery", apply_default_css=False, padding=False)


def gallery_routes(folder: Path) -> list[BaseRoute]:
    """What serves the gallery's files."""
    mimetypes.add_type("image/webp", ".webp")  # which older systems do not know
    return [Mount("/gallery", StaticFiles(directory=folder))]
