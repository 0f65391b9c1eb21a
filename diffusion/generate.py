"""`python -m diffusion generate`: the clip that the page would make, without the page."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from diffusion.audio.mel import MelParameters
from diffusion.checkpoint import find_checkpoint
from diffusion.data.sources import read_source
from diffusion.edits import Source, bins_of, mask_of
from diffusion.engine import Clip
from diffusion.files import check_file, read_json, write_text, written
from diffusion.film import Film
from diffusion.request import parse_knob
from diffusion.settings import (
    ANY,
    LONGEST_S,
    SETTINGS,
    Choice,
    Edits,
    Knobs,
    Label,
    Model,
    Number,
    Seed,
    Setting,
    seed_of,
)
from diffusion.studio import open_studio

KEEP_S = 5.12
"""How much of a source a clip that goes on from it begins with, at most half of the clip."""
STRENGTH = 0.6
FLAGS = tuple(name for name, each in SETTINGS.items() if not isinstance(each, (Knobs, Edits)))
"""The settings that have a flag of their name."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A flag for every setting of the table, read from it, and those of the edits."""
    for setting in SETTINGS.values():
        if setting.name in FLAGS:
            kind = {"type": int if setting.whole else float} if type(setting) is Number else {}
            parser.add_argument(setting.flag, help=_help(setting), **kind)  # type: ignore[arg-type]
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a label that only this model has, such as one of your own recordings",
    )
    parser.add_argument(
        "--knob", action="append", default=[], metavar="NAME=VALUE", help="a knob of the sampler, such as eta=0.5"
    )
    _add_edits(parser.add_argument_group("edits", "Work with music that is there, or with a run on its way."))
    parser.add_argument("--out", type=Path, required=True, help="WAV file to write, with the settings inside")
    parser.add_argument("--film", type=Path, help="JSON file for the pictures of the run, as the page shows them")
    parser.add_argument("--checkpoint", type=Path, help="checkpoint folder (default: the one in checkpoints/)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")


def run(args: argparse.Namespace) -> None:
    """Write the clip; steps go to standard error, the settings to standard output."""
    check_file("out", args.out, ".wav")
    if args.film is not None:
        check_file("film", args.film, ".json")
    studio = open_studio(args.checkpoint or find_checkpoint(), args.device)
    _ = studio.mel  # refuses a model that makes no sound
    flags = {name: getattr(args, name) for name in FLAGS}
    asked = {name: value for name, value in flags.items() if value is not None}
    labels = dict(_pair("label", text) for text in args.label)
    knobs = {name: parse_knob(value) for name, value in (_pair("knob", text) for text in args.knob)}
    edits, sources = _edits(args, studio.mel, round(studio.step_s * studio.mel.frames_per_s))
    request = studio.request(**asked, **labels, knobs=knobs, edits=edits)
    if rounding := studio.rounding(args.duration_s, request):
        print(rounding, file=sys.stderr)
    film = Film(studio.codec, request)
    for each in studio.generate(request, sources=sources):
        if isinstance(each, Clip):
            with written(args.out) as partial:
                partial.write_bytes(each.to_wav())
            if args.film is not None:
                write_text(args.film, json.dumps(film.story(each)))
            print(json.dumps({**each.settings, "seconds": round(each.seconds, 2)}))
            break
        print(f"step {each.index}/{each.total}  {each.seconds:.1f} s", file=sys.stderr)
        if args.film is not None:
            film.add(each)


def _add_edits(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--continue", dest="continued", type=Path, metavar="FILE", help="go on from a recording's end")
    group.add_argument("--keep-s", type=float, help=f"how much of it the clip begins with (default: {KEEP_S:g})")
    group.add_argument("--from", dest="source", type=Path, metavar="FILE", help="a recording to transform or to mend")
    group.add_argument(
        "--strength", type=float, help=f"how much of it is composed anew: above 0 to 1 (default: {STRENGTH:g})"
    )
    group.add_argument(
        "--mask",
        type=Path,
        metavar="JSON",
        help="compose only these parts of it: a list of objects with from_s, to_s, low_hz, high_hz, each of which may "
        "be missing",
    )
    group.add_argument("--loop", action="store_true", help="compose a loop, whose end goes on into its beginning")
    group.add_argument("--fork-at", type=int, metavar="STEP", help="after so many steps of the run named by --parent")
    group.add_argument(
        "--parent",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting that the run has otherwise until then, such as style=jig",
    )
    group.add_argument("--blend", action="append", default=[], metavar="SEED", help="blend in the noise of this seed")
    group.add_argument(
        "--place",
        action="append",
        type=float,
        default=[],
        help="how far towards it, 0 to 1; with three seeds two of it",
    )
    group.add_argument(
        "--section",
        action="append",
        default=[],
        metavar="SECONDS,NAME=VALUE",
        help="from there on another label, such as 5.12,style=jig,key=D",
    )


def _edits(args: argparse.Namespace, mel: MelParameters, step_frames: int) -> tuple[dict[str, Any], list[Source]]:
    """What the flags ask for, and the sources that it needs."""
    for flag, file, path in (
        ("strength", "from", args.source),
        ("mask", "from", args.source),
        ("keep_s", "continue", args.continued),
    ):
        if path is None and getattr(args, flag) is not None:
            raise ValueError(f"{flag}: got {getattr(args, flag)}, need --{file} FILE with it")
    if args.parent and args.fork_at is None:
        raise ValueError(f"parent: got {args.parent[0]!r}, need --fork-at STEP with it")
    edits: dict[str, Any] = {}
    sources: list[Source] = []
    if args.continued is not None:
        sources.append(read_source(args.continued, mel, step_frames))
        edits["continue"] = _continue(args, sources[-1], mel)
    if args.source is not None:
        sources.append(read_source(args.source, mel, step_frames))
        edits |= _transform_or_inpaint(args, sources[-1], mel, step_frames)
    if args.loop:
        edits["loop"] = {}
    if args.fork_at is not None:
        edits["fork"] = {"at": args.fork_at, "parent": dict(_parsed(text) for text in args.parent)}
    if args.blend:
        edits["blend"] = {"seeds": [seed_of(text) for text in args.blend], "place": args.place or [0.5]}
    if args.section:
        edits["timeline"] = {"sections": [_section(text) for text in args.section]}
    return edits, sources


def _continue(args: argparse.Namespace, source: Source, mel: MelParameters) -> dict[str, Any]:
    named = source.named(mel.frames_per_s)
    whole_s = SETTINGS["duration_s"].default if args.duration_s is None else args.duration_s
    keep_s = min(KEEP_S, named["source_s"], whole_s / 2) if args.keep_s is None else args.keep_s
    return {**named, "keep_s": keep_s}


def _transform_or_inpaint(
    args: argparse.Namespace, source: Source, mel: MelParameters, step_frames: int
) -> dict[str, Any]:
    named = source.named(mel.frames_per_s)
    if args.mask is None:
        return {"transform": {**named, "strength": STRENGTH if args.strength is None else args.strength}}
    length_s = min(named["source_s"], LONGEST_S) if args.duration_s is None else args.duration_s
    frames = round(length_s * mel.frames_per_s / step_frames) * step_frames
    bins = bins_of(read_json(args.mask), mel.frequencies_hz, mel.frames_per_s, frames)
    return {"inpaint": {**named, "mask": mask_of(bins)}}


def _section(text: str) -> dict[str, Any]:
    first, *labels = text.split(",")
    try:
        return {"from_s": float(first), "labels": dict(_pair("section", each) for each in labels)}
    except ValueError as error:
        raise ValueError(f"section: got {text!r}, need SECONDS,NAME=VALUE") from error


def _parsed(text: str) -> tuple[str, Any]:
    """A setting and its value."""
    name, value = _pair("parent", text)
    return name, SETTINGS[name].parsed(value) if name in SETTINGS else value


def _help(setting: Setting) -> str:
    """The sentence of the table, what is allowed, and the default."""
    default: Any = "the model's own" if setting.default in ("", None) else setting.default
    allowed = ""
    if isinstance(setting, Label):
        allowed, default = "one of the model's words, or any", ANY if setting.open else "the model's first"
    elif isinstance(setting, Choice):
        allowed = ", ".join(setting.catalogue)
    elif isinstance(setting, Seed):
        allowed, default = f"{setting.range[0]} to {setting.range[1]} or any word", "drawn"
    elif isinstance(setting, Number):
        allowed = f"{setting.range[0]:g} to {setting.range[1]:g}"
    elif isinstance(setting, Model):
        default = "whichever is loaded"
    parts = [setting.help.removesuffix("."), f": {allowed}" if allowed else "", f" (default: {default})"]
    return "".join(parts).replace("%", "%%")


def _pair(flag: str, text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"{flag}: got {text!r}, need NAME=VALUE")
    return name, value
