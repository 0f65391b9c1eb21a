"""The API: what programs call. Unlike the page's own events it takes anything, and says what is wrong in words."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from diffusion.compare import Cell, Grid, in_order, to_csv
from diffusion.compare import compare as compose_grid
from diffusion.studio import LATER, Clip
from diffusion.ui.compare import report
from diffusion.ui.events import MODEL
from diffusion.ui.visits import Visits, file_name

AXES = {"axis_x": "steps", "values_x": "5, 10, 20", "axis_y": "sampler", "values_y": "unipc, ddim, ddpm"}


@contextmanager
def in_words() -> Iterator[None]:
    """What is wrong with a request is answered in words, and is no failure of the server's."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from error


def build_endpoints(visits: Visits) -> None:
    """`/generate`, `/compare` and `/options`."""
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
        inputs.append(gr.Textbox(known["decoder"]["default"], label="decoder"))
        later: list[Any] = [
            gr.Textbox(known[name]["default"], label=name) for name in (*LATER, "grid", "guidance_rule")
        ]
        later.append(gr.Number(known["guidance_from"]["default"], label="guidance_from"))
        later.append(gr.Textbox("", label="model"))
        audio = gr.Audio(label="clip", type="filepath")
        settings = gr.JSON(label="settings")
        listing = gr.JSON(label="options")
        pair = [gr.Textbox(text, label=name) for name, text in AXES.items()]
        distances = gr.Checkbox(True, label="distances")
        page, table = gr.File(label="report"), gr.File(label="table")
        numbers = gr.JSON(label="cells")
        compose, describe, lay = gr.Button(), gr.Button(), gr.Button()

    def generate(
        style: str,
        ensemble: str,
        sampler: str,
        steps: int,
        guidance_scale: float,
        seed: str,
        duration_s: float,
        knobs: dict[str, Any],
        decoder: str,
        mode: str,
        tempo: str,
        key: str,
        beat: str,
        ending: str,
        grid: str,
        guidance_rule: str,
        guidance_from: float,
        model: str,
        http: gr.Request,
    ) -> tuple[str, dict[str, Any]]:
        """Compose a clip of music with a diffusion model. Returns the WAV file and, as JSON, all settings of the clip.

        The same settings make the same clip. `/options` has every choice and range.

        Args:
            style: The kind of music, such as chorale, or any.
            ensemble: Who plays it, such as organ, or any.
            sampler: The method that walks from noise to music, such as unipc (the best of few steps), ddim or ddpm.
            steps: How many steps it takes, 1 to 1000; 20 are enough for unipc.
            guidance_scale: How strictly to follow style and beat, 1 to 15; 1 is no guidance.
            seed: A whole number or any word; -1 draws one. The settings that come back hold the one that was used.
            duration_s: The length in seconds, 2.56 to 40.96 in steps that `/options` names.
            knobs: The sampler's own settings by name, such as {"eta": 0.5} for ddim; what is missing takes its default.
            decoder: What turns the picture into sound, vocoder or griffin-lim.
            mode: Major, minor or any; a model that does not know one of these has only any, as `/options` says.
            tempo: Slow, medium, fast or any, in the same way.
            key: The tonic, such as C, Db or F#, or any.
            beat: Beats a minute, between 60 and 120 as `/options` has them, or any.
            ending: Whether the music comes to its end within the clip: goes_on, ends or any.
            grid: Where the steps lie between noise and music: leap, early, uniform, log-snr, karras or trailing.
            guidance_rule: What guidance makes more of: moving, plain, rescaled or projected.
            guidance_from: From which log-SNR on guidance counts, -15 (from the first step) to 15.
            model: The digest of the model that is meant, refused if another one is here; empty for whichever is.
        """
        with in_words():
            request = visits.studio.request(
                style=style,
                ensemble=ensemble,
                sampler=sampler,
                steps=steps,
                guidance_scale=guidance_scale,
                seed=seed,
                duration_s=duration_s,
                decoder=decoder,
                knobs=knobs,
                mode=mode,
                tempo=tempo,
                key=key,
                beat=beat,
                ending=ending,
                grid=grid,
                guidance_rule=guidance_rule,
                guidance_from=guidance_from,
                model=model,
            )
            clip = deque(visits.studio.generate(request), maxlen=1)[0]
        assert isinstance(clip, Clip)
        path = save_bytes_to_cache(clip.to_wav(), file_name(clip.settings), cache_dir=audio.GRADIO_CACHE)
        return path, {**clip.settings, "seconds": round(clip.seconds, 2)}

    def compare(
        axis_x: str,
        values_x: str,
        axis_y: str,
        values_y: str,
        style: str,
        ensemble: str,
        sampler: str,
        steps: int,
        guidance_scale: float,
        seed: str,
        duration_s: float,
        knobs: dict[str, Any],
        decoder: str,
        distances: bool,
        mode: str,
        tempo: str,
        key: str,
        beat: str,
        ending: str,
        grid: str,
        guidance_rule: str,
        guidance_from: float,
        model: str,
    ) -> tuple[str, str, list[dict[str, Any]]]:
        """Compose a grid of up to 25 clips that differ in two settings. Returns an HTML report that plays them all, the
        numbers as a CSV file, and the cells as JSON.

        Each cell has its settings, evaluations, seconds and, in dB, its distance to the converged clip of its seed. A
        setting that is on an axis does not matter as a base.

        Args:
            axis_x: What differs across the columns: sampler, steps, grid, guidance_scale, guidance_rule, guidance_from,
                seed, style, ensemble, mode, tempo, key, beat, ending.
            values_x: Its values, with commas between them, such as 5, 10, 20.
            axis_y: What differs down the rows: another one of these.
            values_y: Its values, with commas between them, such as unipc, ddim.
            style: The kind of music of all clips, such as chorale, or any.
            ensemble: Who plays them, such as organ, or any.
            sampler: The method that walks from noise to music.
            steps: How many steps it takes, 1 to 1000.
            guidance_scale: How strictly to follow style and beat, 1 to 15; 1 is no guidance.
            seed: A whole number or any word; -1 draws one for the whole grid.
            duration_s: The length of each clip in seconds, 2.56 to 40.96 in steps that `/options` names.
            knobs: The sampler's own settings by name; other samplers of the grid have theirs at the defaults.
            decoder: What turns the picture into sound, vocoder or griffin-lim.
            distances: Whether to measure distances too: another 100 evaluations for each seed, label and guidance.
            mode: Major, minor or any, where the model knows them.
            tempo: Slow, medium, fast or any, where the model knows them.
            key: The tonic, such as C, Db or F#, or any, where the model knows them.
            beat: Beats a minute as `/options` has them, or any, where the model knows them.
            ending: Whether the music comes to its end within the clip: goes_on, ends or any.
            grid: Where the steps lie between noise and music: leap, early, uniform, log-snr, karras or trailing.
            guidance_rule: What guidance makes more of: moving, plain, rescaled or projected.
            guidance_from: From which log-SNR on guidance counts, -15 (from the first step) to 15.
            model: The digest of the model that is meant, refused if another one is here; empty for whichever is.
        """
        studio = visits.studio
        with in_words():
            request = studio.request(
                style=style,
                ensemble=ensemble,
                sampler=sampler,
                steps=steps,
                guidance_scale=guidance_scale,
                seed=seed,
                duration_s=duration_s,
                decoder=decoder,
                knobs=knobs,
                mode=mode,
                tempo=tempo,
                key=key,
                beat=beat,
                ending=ending,
                grid=grid,
                guidance_rule=guidance_rule,
                guidance_from=guidance_from,
                model=model,
            )
            pairs = Grid(request, axis_x, values_x, axis_y, values_y)  # type: ignore[arg-type]  # text becomes values
            run = compose_grid(studio, pairs, cache=visits.clips, distances=distances)
        cells = in_order({each.place: each for each in run if isinstance(each, Cell)}.values())
        files = {"html": report(studio, pairs, cells), "csv": to_csv(cells)}
        html, rows = (
            save_bytes_to_cache(text.encode(), f"out-of-noise-comparison.{ending}", cache_dir=page.GRADIO_CACHE)
            for ending, text in files.items()
        )
        return html, rows, [cell.to_dict() for cell in cells]

    def options() -> dict[str, Any]:
        """Every choice, range and default of the settings of `/generate`, with a sentence about each."""
        return known

    compose.click(
        generate,
        inputs=[*inputs, *later],
        outputs=[audio, settings],
        api_name="generate",
        **MODEL,
    )
    lay.click(
        compare,
        inputs=[*pair, *inputs, distances, *later],
        outputs=[page, table, numbers],
        api_name="compare",
        **MODEL,
    )
    describe.click(options, outputs=listing, api_name="options", queue=False)
