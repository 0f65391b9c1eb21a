"""The API: what programs call. Unlike the page's own events it takes anything, and says what is wrong in words."""

from __future__ import annotations

from collections import deque
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from diffusion.studio import Clip
from diffusion.ui.visits import Visits, file_name


def build_endpoints(visits: Visits, concurrency_limit: int) -> None:
    """`/generate` and `/options`."""
    options = visits.studio.options()
    with gr.Group(visible=False):
        inputs: list[Any] = [
            gr.Textbox(options[name]["default"], label=name) for name in ("style", "ensemble", "sampler")
        ]
        inputs += [gr.Number(options[name]["default"], label=name) for name in ("steps", "guidance_scale")]
        inputs.append(gr.Textbox(str(options["seed"]["default"]), label="seed"))
        inputs.append(gr.Number(options["duration_s"]["default"], label="duration_s"))
        inputs.append(gr.JSON({}, label="knobs"))
        audio = gr.Audio(label="clip", type="filepath")
        settings = gr.JSON(label="settings")
        listing = gr.JSON(label="options")
        compose, describe = gr.Button(), gr.Button()

    def generate(
        style: str,
        ensemble: str,
        sampler: str,
        steps: int,
        guidance_scale: float,
        seed: str,
        duration_s: float,
        knobs: dict[str, Any],
        http: gr.Request,
    ) -> tuple[str, dict[str, Any]]:
        """Compose a clip. The seed is a whole number or any word, and -1 draws one; the settings hold what was used."""
        try:
            request = visits.studio.request(
                style=style,
                ensemble=ensemble,
                sampler=sampler,
                steps=steps,
                guidance_scale=guidance_scale,
                seed=seed,
                duration_s=duration_s,
                knobs=knobs,
            )
            clip = deque(visits.studio.generate(request), maxlen=1)[0]
        except ValueError as error:
            raise gr.Error(str(error), print_exception=False) from error
        assert isinstance(clip, Clip)
        path = save_bytes_to_cache(clip.to_wav(), file_name(clip.settings), cache_dir=audio.GRADIO_CACHE)
        return path, {**clip.settings, "seconds": round(clip.seconds, 2)}

    compose.click(
        generate,
        inputs=inputs,
        outputs=[audio, settings],
        api_name="generate",
        concurrency_limit=concurrency_limit,
        concurrency_id="model",
    )
    describe.click(lambda: options, outputs=listing, api_name="options", queue=False)
