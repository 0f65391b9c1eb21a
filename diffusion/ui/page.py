"""The page: the rooms under one roof, and the server that shows them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "100")  # each event sums up all that are kept, 10000 without this

import gradio as gr
from starlette.middleware import Middleware

from diffusion.audio.wav import FILE_BYTES
from diffusion.studio import Studio
from diffusion.ui.api import Api
from diffusion.ui.compare.room import CompareRoom
from diffusion.ui.compose.race import Races, is_public
from diffusion.ui.compose.room import ComposeRoom
from diffusion.ui.compose.visits import Visits
from diffusion.ui.gallery.wall import Wall
from diffusion.ui.lab.room import LabRoom
from diffusion.ui.phone.handouts import Handouts
from diffusion.ui.shared import assets
from diffusion.ui.shared.latest import latest_clips
from diffusion.ui.shared.reach import Reach
from diffusion.ui.shared.serving import Prefixed
from diffusion.ui.shared.theme import theme
from diffusion.ui.shared.words import TRANSLATIONS
from diffusion.ui.welcome import read_welcome

SESSIONS = 64  # whose components Gradio remembers, at about 400 kB each; for an older one they are as at first
WAITING = 32
FILE_AGE_S = 3600


def check_sound(studio: Studio) -> None:
    """ValueError for a model whose output is no sound: the page plays nothing else."""
    medium = studio.codec.medium
    if medium != "sound":
        raise ValueError(
            f"checkpoint: got {studio.name}, whose output is of the kind {medium}, but the page plays sound"
        )


class Page:
    """The page of a studio with its rooms, `compose`, `compare` and `lab`, and its API.

    `welcome` is a WAV file beside the film (.json) of its run, `reach` what is known of the page's address, for links
    that travel, and `gallery` that of the studio's model. ValueError for a model whose output is no sound.
    """

    def __init__(
        self, studio: Studio, welcome: Path | None = None, reach: Reach | None = None, gallery: Wall | None = None
    ) -> None:
        check_sound(studio)
        self.gallery, self.handouts = gallery, Handouts(reach)
        clips = latest_clips()
        with gr.Blocks(
            title="Out of Noise",
            analytics_enabled=False,
            delete_cache=(FILE_AGE_S, FILE_AGE_S),
            fill_width=True,
        ) as self.blocks:
            gr.HTML(assets.asset("shared/header.html"), elem_id="header", padding=False)
            self.compare = CompareRoom(studio, clips)
            visits = Visits(studio, read_welcome(welcome) if welcome else None, clips, self.handouts)
            self.compose = ComposeRoom(self.blocks, visits, Races(studio, is_public()))
            self.compare.connect(self.blocks, self.compose.rail.inputs, self.compose.rail.base)
            self.lab = LabRoom(self.blocks)
            if gallery:
                gallery.view()
            Api(studio, clips)
        self.blocks.queue(max_size=WAITING)

    def launch(self, **arguments: Any) -> None:
        """Serve the page, as `gr.Blocks.launch` has it: nothing is fetched from or sent to anywhere else."""
        routes = [assets.routes(), *self.handouts.routes(), *(self.gallery.routes() if self.gallery else [])]
        self.blocks.launch(
            app_kwargs={"routes": routes, "middleware": [Middleware(Prefixed)]},
            theme=theme(),
            css=assets.style_sheets(),
            head=assets.head(),
            footer_links=["api"],
            run_history=False,
            mcp_server=True,
            i18n=TRANSLATIONS,
            max_file_size=FILE_BYTES,
            state_session_capacity=SESSIONS,
            ssr_mode=False,
            **arguments,
        )
