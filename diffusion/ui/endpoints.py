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
    known = visits.studio.options()
    with gr.Group(visible=False):
        inputs: list[Any] = [
            gr.Textbox(known[name]["default"], label=name) for name in ("style", "ensemble", "sampler")
        ]
        inputs += [gr.Number(known[name]["default"], label=name) for name in ("steps", "guidance_scale")]
        inputs.append(gr.Textbox(str(known["seed"]["default"]), label="seed"))
        inputs.append(gr.Number(known["duration_s"]["default"], label="duration_s"))
        inputs.append(gr.JSON({}, label="knobs"))
        inputs[-1].api_info = lambda: {"type": "object"}  # MCP's validation refuses the schema of gr.JSON
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
        """Compose a clip of music with a diffusion model. Returns the WAV file and, as JSON, all settings of the clip.

        The same settings make the same clip. `/options` has every choice and range.

        Args:
            style: The kind of music, such as chorale, or any.
            ensemble: Who plays it, such as organ, or any.
            sampler: The method that walks from noise to music, such as unipc (the best of few steps), ddim or ddpm.
            steps: How many steps it takes, 1 to 1000; 20 are enough for unipc.
            guidance_scale: How strictly to follow the style, 1 to 15; 1 is no guidance.
            seed: A whole number or any word; -1 draws one. The settings that come back hold the one that was used.
            duration_s: The length in seconds, 2.56 to 40.96 in steps that `/options` names.
            knobs: The sampler's own settings by name, such as {"eta": 0.5} for ddim; what is missing takes its default.
        """
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

    def options() -> dict[str, Any]:
        """Every choice, range and default of the settings of `/generate`, with a sentence about each."""
        return known

    compose.click(
        generate,
        inputs=inputs,
        outputs=[audio, settings],
        api_name="generate",
        concurrency_limit=concurrency_limit,
        concurrency_id="model",
    )
    describe.click(options, outputs=listing, api_name="options", queue=False)
