"""`python -m diffusion generate`: the clip that the page would make, without the page."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from diffusion.checkpoint import find_checkpoint
from diffusion.engine import Clip
from diffusion.files import check_file, write_text, written
from diffusion.film import Film
from diffusion.request import parse_knob
from diffusion.settings import ANY, SETTINGS, Choice, Label, Model, Number, Seed, Setting
from diffusion.studio import open_studio


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A flag for every setting of the table, read from it."""
    for setting in SETTINGS.values():
        if setting.name != "knobs":
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
    asked = {name: getattr(args, name) for name in SETTINGS if name != "knobs"}
    labels = dict(_pair("label", text) for text in args.label)
    knobs = {name: parse_knob(value) for name, value in (_pair("knob", text) for text in args.knob)}
    request = studio.request(**asked, **labels, knobs=knobs)
    film = Film(studio.codec, request)
    for each in studio.generate(request):
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
