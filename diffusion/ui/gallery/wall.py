"""Examples that start at once: the gallery of the model, served as files beside the page."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from diffusion import gallery
from diffusion.studio import Studio
from diffusion.ui.shared import naming
from diffusion.ui.shared.assets import asset


class Wall:
    """The gallery in a `folder`, and its `index` with every clip's names, its title and the name of its file."""

    def __init__(self, folder: Path, index: dict[str, Any]) -> None:
        self.folder = folder
        self.index = {**index, "clips": [_named(each) for each in index["clips"]]}

    @classmethod
    def of(cls, studio: Studio, checkpoint: Path) -> Wall | None:
        """The gallery in a checkpoint's folder; None unless it is whole and this very model has made it.

        ValueError for one that cannot be read.
        """
        folder = checkpoint / gallery.FOLDER
        index = gallery.read(folder)
        if index is None or index["model"]["digest"] != studio.digest:
            return None
        whole = len(index["clips"]) == len(studio.labels["style"]) * len(studio.labels["ensemble"])
        return cls(folder, index) if whole else None

    def view(self) -> gr.HTML:
        """Where the browser hangs it."""
        return gr.HTML(asset("gallery/gallery.html"), elem_id="gallery", apply_default_css=False, padding=False)

    def routes(self) -> list[BaseRoute]:
        """What serves the index and the files."""
        mimetypes.add_type("image/webp", ".webp")  # which older systems do not know
        files = Mount("/gallery", StaticFiles(directory=self.folder))
        return [Route(f"/gallery/{gallery.INDEX}", self._index), files]

    async def _index(self, http: HttpRequest) -> JSONResponse:
        return JSONResponse(self.index)


def _named(clip: dict[str, Any]) -> dict[str, Any]:
    settings = clip["settings"]
    return {
        **clip,
        "names": naming.names(settings),
        "title": naming.title(settings),
        "name": naming.file_name(settings),
    }
