"""Panels as files: figures by matplotlib, a film by Pillow, numbers as CSV. Both libraries are imported when needed."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffusion.audio.wav import write_wav
from diffusion.files import written

from .experiment import Arrows, Bars, Curve, Frame, Heat, Images, Measured, Panel, Points, Sound

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DPI = 100
SIZE_IN = (5.0, 4.0)
FILM_PX = 480
FRAME_MS = 80
HOLD_MS = 1500
DOT = (31, 119, 180)
MOST_FRAMES = 100
"""Frames of a film; of longer runs they are spread evenly."""


def figure(panel: Panel) -> bytes:
    """A panel as a PNG file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawing = Figure(figsize=SIZE_IN, dpi=DPI, layout="constrained")
    FigureCanvasAgg(drawing)
    if isinstance(panel, Images):
        _pictures(drawing, panel)
    else:
        axes = drawing.add_subplot()
        _draw(axes, panel)
        axes.set_title(panel.title)
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png")
    return buffer.getvalue()


def film(frames: Sequence[Frame], path: Path) -> bool:
    """The moving panel of a run as an animated WebP: points or pictures; whether there was one."""
    from PIL import Image

    name = _moving(frames)
    if name is None:
        return False
    shown = [frame for frame in frames if name in frame.panels]
    places = np.unique(np.linspace(0, len(shown) - 1, min(len(shown), MOST_FRAMES)).round().astype(int))
    stills = [_still(shown[place].panels[name]) for place in places]
    # A run may begin with fewer pictures side by side than it ends with; a film has one size.
    pictures = [Image.fromarray(still) for still in stills if still.shape == stills[-1].shape]
    durations = [FRAME_MS] * (len(pictures) - 1) + [HOLD_MS]
    with written(path) as partial:
        pictures[0].save(
            partial, "WEBP", save_all=True, append_images=pictures[1:], duration=durations, loop=0, quality=80
        )
    return True


def write(folder: Path, frames: Sequence[Frame], measured: Sequence[Measured]) -> list[Path]:
    """Everything of a run: each panel as it was last, the film, the sounds and the numbers. The paths, in order."""
    paths: list[Path] = []
    panels = {name: panel for frame in frames for name, panel in frame.panels.items()}
    for name, panel in panels.items():
        path = folder / f"{name}.{'wav' if isinstance(panel, Sound) else 'png'}"
        if isinstance(panel, Sound):
            write_wav(path, panel.wave, panel.rate_hz)
        else:
            with written(path) as partial:
                partial.write_bytes(figure(panel))
        paths.append(path)
    if film(frames, folder / "film.webp"):
        paths.append(folder / "film.webp")
    for name, rows in (("numbers.csv", _numbers(measured)), ("curves.csv", _lines(panels))):
        if len(rows) > 1:
            with written(folder / name) as partial, partial.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
            paths.append(folder / name)
    return paths


def _draw(axes: Axes, panel: Panel) -> None:
    match panel:
        case Points():
            axes.scatter(panel.at[:, 0], panel.at[:, 1], s=2, alpha=0.5)
            _boxed(axes, panel.box)
        case Arrows():
            if panel.exact is not None:
                axes.quiver(*panel.at.T, *panel.exact.T, color="tab:orange", label="exact", width=0.006)
            axes.quiver(*panel.at.T, *panel.learned.T, color="tab:blue", label="learned", width=0.003)
            axes.legend(loc="upper right")
            _boxed(axes, panel.box)
        case Curve():
            for name, line in panel.y.items():
                axes.plot(panel.x, line, label=name)
            axes.set(xlabel=panel.x_title, ylabel=panel.y_title, yscale="log" if panel.logarithmic else "linear")
            axes.legend()
        case Bars():
            axes.bar(range(len(panel.values)), list(panel.values.values()))
            some = range(0, len(panel.values), -(-len(panel.values) // 12))
            names = list(panel.values)
            axes.set_xticks(list(some), [names[place] for place in some], rotation=60, ha="right")
            axes.set_ylabel(panel.unit)
        case Heat():
            drawn = axes.imshow(panel.values, aspect="auto", origin="lower", cmap="inferno")
            axes.figure.colorbar(drawn, ax=axes)
            axes.set(xlabel=panel.x_title, ylabel=panel.y_title)
        case Sound():
            axes.plot(np.arange(len(panel.wave)) / panel.rate_hz, panel.wave, linewidth=0.5)
            axes.set(xlabel="seconds", ylim=(-1, 1))


def _pictures(drawing: object, panel: Images) -> None:
    columns = min(len(panel.pixels), 8)
    rows = -(-len(panel.pixels) // columns)
    grid = drawing.subplots(rows, columns, squeeze=False)  # type: ignore[attr-defined]
    drawing.suptitle(panel.title)  # type: ignore[attr-defined]
    for place, axes in enumerate(grid.flat):
        axes.axis("off")
        if place < len(panel.pixels):
            axes.imshow(panel.pixels[place], cmap="gray", vmin=0, vmax=255)
            axes.set_title(panel.captions[place] if place < len(panel.captions) else "", fontsize=8)


def _boxed(axes: Axes, box: tuple[float, float, float, float]) -> None:
    axes.set(xlim=box[:2], ylim=box[2:], aspect="equal")


def _moving(frames: Sequence[Frame]) -> str | None:
    """The first panel of points or pictures that more than one frame has."""
    names = [name for frame in frames for name, panel in frame.panels.items() if isinstance(panel, Points | Images)]
    return next((name for name in names if names.count(name) > 1), None)


def _still(panel: Panel) -> np.ndarray:
    """RGB (height, width, 3) uint8: dots in their box, or pictures side by side."""
    if isinstance(panel, Points):
        left, right, bottom, top = panel.box
        canvas = np.full((FILM_PX, FILM_PX, 3), 255, np.uint8)
        x = ((panel.at[:, 0] - left) / (right - left) * FILM_PX).astype(int)
        y = ((top - panel.at[:, 1]) / (top - bottom) * FILM_PX).astype(int)
        for dx, dy in ((0, 0), (0, 1), (1, 0), (1, 1)):
            inside = ((x + dx).clip(0, FILM_PX - 1) == x + dx) & ((y + dy).clip(0, FILM_PX - 1) == y + dy)
            canvas[y[inside] + dy, x[inside] + dx] = DOT
        return canvas
    assert isinstance(panel, Images)
    pixels = panel.pixels if panel.pixels.ndim == 4 else np.repeat(panel.pixels[..., None], 3, axis=-1)
    row = np.concatenate(list(pixels), axis=1)
    times = max(1, FILM_PX // row.shape[0] // 2)
    return row.repeat(times, axis=0).repeat(times, axis=1)


def _numbers(measured: Sequence[Measured]) -> list[list[str]]:
    said = {True: "yes", False: "no", None: ""}
    rows = [[each.name, f"{each.value:.6g}", each.unit, each.said, said[each.holds]] for each in measured]
    return [["name", "value", "unit", "the document says", "holds"], *rows]


def _lines(panels: dict[str, Panel]) -> list[list[str]]:
    """Every point of every curve and every bar."""
    rows = [["panel", "line", "x", "y"]]
    for name, panel in panels.items():
        if isinstance(panel, Curve):
            for line, values in panel.y.items():
                rows += [[name, line, f"{x:.6g}", f"{y:.6g}"] for x, y in zip(panel.x, values, strict=True)]
        elif isinstance(panel, Bars):
            rows += [[name, bar, "", f"{value:.6g}"] for bar, value in panel.values.items()]
    return rows
