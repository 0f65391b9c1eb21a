"""The stage without an audience: every preset once, and everything else that a talk stands on."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from gradio.utils import get_upload_folder

from diffusion.engine import Clip, Preview
from diffusion.settings import PRESETS
from diffusion.studio import Studio
from diffusion.ui.shared.assets import ROOMS, missing
from diffusion.ui.shared.reach import Reach, qr_svg
from diffusion.ui.shared.serving import HERE, open_port
from diffusion.ui.stage.wish import STALL_S
from diffusion.ui.welcome import read_welcome

FREE_BYTES = 2**30


@dataclass(frozen=True)
class Finding:
    """One line of the report. What is `missing` keeps the stage from being ready, a `note` does not."""

    subject: str
    text: str
    missing: bool = False
    note: bool = False


def rehearse(
    studio: Studio,
    welcome: Path,
    reach: Reach | None = None,
    port: int | None = None,
    *,
    presets: Mapping[str, Mapping[str, Any]] = PRESETS,
    most_steps: int | None = None,
    rooms: Path = ROOMS,
) -> bool:
    """Print what was measured, and at last `ready` or what is missing; whether it is ready. Needs no network.

    For a rehearsal of the rehearsal there may be other `presets`, `most_steps` may cut the long ones short, and `rooms`
    may be another folder with the browser's files.
    """
    lost = []
    for finding in chain(
        _model(studio),
        _presets(studio, presets, most_steps),
        _welcome(studio, welcome),
        _files(rooms),
        _disk(),
        _reach(reach or Reach(), port),
    ):
        mark = "MISSING" if finding.missing else "note" if finding.note else "ok"
        print(f"{finding.subject:<18} {mark:<8} {finding.text}", flush=True)
        if finding.missing:
            lost.append(finding)
    print()
    if lost:
        print("not ready; missing: " + "; ".join(f"{each.subject.lower()} ({each.text})" for each in lost))
    else:
        print("ready")
    return not lost


def _model(studio: Studio) -> Iterator[Finding]:
    start = time.perf_counter()
    studio.prepare()
    seconds = time.perf_counter() - start
    yield Finding("Model", f"{studio.name} ({studio.digest}) on {studio.device}, warm after {seconds:.1f} s")
    titles = [studio.settings["decoder"].titled(each) for each in studio.values("decoder")]
    yield Finding("Decoder", f"{titles[0]}, of {', '.join(titles)}")


def _presets(studio: Studio, presets: Mapping[str, Mapping[str, Any]], most_steps: int | None) -> Iterator[Finding]:
    for title, preset in presets.items():
        steps = min(preset["steps"], most_steps or preset["steps"])
        subject = f"Preset {title}"
        try:
            request = studio.request(**{**preset, "steps": steps}, seed=0)
            first_s, gap_s, clip = _run(subject, studio.generate(request))
        except Exception as error:  # noqa: BLE001 - whatever it is, the presenter has to hear of it now
            yield Finding(subject, f"{type(error).__name__}: {error}", missing=True)
            continue
        text = f"{steps} steps in {clip.seconds:.1f} s, first picture after {first_s:.2f} s, longest wait {gap_s:.2f} s"
        silent = not np.isfinite(clip.wave).all() or float(np.abs(clip.wave).max()) < 1e-3
        if silent:
            yield Finding(subject, "its clip is silent", missing=True)
        elif max(first_s, gap_s) > STALL_S:
            yield Finding(subject, f"{text}: too long, the pre-sampled clip would step in", note=True)
        else:
            yield Finding(subject, text)


def _run(subject: str, steps: Iterator[Preview | Clip]) -> tuple[float, float, Clip]:
    """Seconds to the first belief, the longest between two steps, and the clip; a progress line where one is seen."""
    begun = last = time.perf_counter()
    first_s = gap_s = 0.0
    for each in steps:
        now = time.perf_counter()
        if isinstance(each, Clip):
            if sys.stdout.isatty():
                print("\r\033[K", end="", flush=True)
            return first_s, gap_s, each
        if each.x0 is not None and not first_s:
            first_s = now - begun
        gap_s, last = max(gap_s, now - last), now
        if sys.stdout.isatty():
            print(f"\r{subject}: step {each.index} of {each.total}", end="", flush=True)
    raise RuntimeError("the run ended without a clip")


def _welcome(studio: Studio, path: Path) -> Iterator[Finding]:
    """The clip that steps in where a run stalls."""
    subject = "Pre-sampled clip"
    try:
        clip = read_welcome(path)
    except (ValueError, KeyError, OSError, RuntimeError) as error:
        yield Finding(subject, f"{path.name} cannot be read: {error}", missing=True)
        return
    if clip is None:
        film = path.with_suffix(".json").name
        yield Finding(subject, f"no {path.name} with {film} in {path.parent}", missing=True)
        return
    made = clip["settings"]["model"]
    text = f"{path.name}, {clip['settings']['duration_s']:g} s, {len(clip['film'])} pictures"
    if made != studio.digest:
        yield Finding(subject, f"{text}, but made with the model {made}", note=True)
    else:
        yield Finding(subject, text)


def _files(rooms: Path) -> Iterator[Finding]:
    """What the browser needs: every module with what it imports, and the style sheets."""
    lost = missing(rooms)
    if lost:
        yield Finding("Page", f"not in {rooms}: {', '.join(lost)}", missing=True)
    else:
        yield Finding("Page", "every module and every style sheet is here; its fonts are the browser's own")


def _disk() -> Iterator[Finding]:
    """Where Gradio keeps the files of the API."""
    folder = Path(get_upload_folder())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            file.write(b"\0" * 2**20)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield Finding("Disk", f"{folder} cannot be written: {error.strerror}", missing=True)
        return
    yield Finding("Disk", f"{folder}, {free / 2**30:.1f} GiB free", note=free < FREE_BYTES)


def _reach(reach: Reach, port: int | None) -> Iterator[Finding]:
    host = reach.host or HERE
    try:
        free = open_port(host, port)
    except ValueError as error:
        yield Finding("Port", str(error), missing=True)
        return
    yield Finding("Port", f"{free} is free on {host}")
    address = reach.address(f"http://{HERE}:{free}/")
    if address is None:
        text = "none, so no QR code is shown: start with --host 0.0.0.0 or --public-url"
        yield Finding("Phones' address", text, note=True)
        return
    qr_svg(f"{address}clip/{'0' * 16}")
    yield Finding("Phones' address", address)
