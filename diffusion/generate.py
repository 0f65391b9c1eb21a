"""`python -m diffusion generate`: the clip that the page would make, without the page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--style", help="style, or any (default: the model's first)")
    parser.add_argument("--ensemble", help="ensemble, or any (default: the model's first)")
    parser.add_argument("--mode", help="major or minor, where the model knows them, or any (default: any)")
    parser.add_argument("--tempo", help="slow, medium or fast, where the model knows them, or any (default: any)")
    parser.add_argument("--key", help="tonic, such as C, Db or F#, where the model knows them, or any (default: any)")
    parser.add_argument("--beat", help="beats a minute that the model knows, 60 to 120, or any (default: any)")
    parser.add_argument("--ending", help="goes_on or ends, where the model knows ends, or any (default: any)")
    parser.add_argument("--model", help="digest of the model that is meant, refused if another one is loaded")
    parser.add_argument("--sampler", help="sampler (default: unipc)")
    parser.add_argument("--steps", type=int, help="steps, 1 to 1000 (default: 20)")
    parser.add_argument("--grid", help="where steps lie: leap (default), early, uniform, log-snr, karras or trailing")
    parser.add_argument("--guidance-scale", type=float, help="guidance, 1 (off) to 15 (default: 1.8)")
    parser.add_argument("--guidance-rule", help="moving, plain, rescaled or projected (default: moving)")
    parser.add_argument("--guidance-from", type=float, help="log-SNR where guidance begins, -15 to 15 (default: -4.5)")
    parser.add_argument("--seed", help="seed, 0 to 2³² - 1 or any word (default: drawn)")
    parser.add_argument("--duration-s", type=float, help="length in seconds, 2.56 to 40.96 (default: 10.24)")
    parser.add_argument("--decoder", help="vocoder or griffin-lim (default: the model's best)")
    parser.add_argument(
        "--knob", action="append", default=[], metavar="NAME=VALUE", help="a knob of the sampler, such as eta=0.5"
    )
    parser.add_argument("--out", type=Path, required=True, help="WAV file to write, with the settings inside")
    parser.add_argument("--film", type=Path, help="JSON file for the pictures of the run, as the page shows them")
    parser.add_argument("--checkpoint", type=Path, help="checkpoint folder (default: the one in checkpoints/)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")


def run(args: argparse.Namespace) -> None:
    """Write the clip; steps go to standard error, the settings to standard output."""
    import json

    from diffusion.studio import Clip, Studio, find_checkpoint
    from diffusion.ui.film import Film

    for name, path in (("out", args.out), ("film", args.film)):
        if path is not None and not path.resolve().parent.is_dir():
            raise ValueError(f"{name}: got {path}, but {path.resolve().parent} is no folder")
    studio = Studio(args.checkpoint or find_checkpoint(), args.device)
    request = studio.request(
        style=args.style,
        ensemble=args.ensemble,
        mode=args.mode,
        tempo=args.tempo,
        key=args.key,
        beat=args.beat,
        ending=args.ending,
        model=args.model,
        sampler=args.sampler,
        steps=args.steps,
        grid=args.grid,
        guidance_scale=args.guidance_scale,
        guidance_rule=args.guidance_rule,
        guidance_from=args.guidance_from,
        seed=args.seed,
        duration_s=args.duration_s,
        decoder=args.decoder,
        knobs=dict(_knob(text) for text in args.knob),
    )
    film = Film(studio.mel, request)
    for each in studio.generate(request):
        if isinstance(each, Clip):
            args.out.write_bytes(each.to_wav())
            if args.film is not None:
                args.film.write_text(json.dumps(film.story(each)))
            print(json.dumps({**each.settings, "seconds": round(each.seconds, 2)}))
            break
        print(f"step {each.index}/{each.total}  {each.seconds:.1f} s", file=sys.stderr)
        if args.film is not None:
            film.add(each)


def _knob(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"knob: got {text!r}, need NAME=VALUE")
    try:
        return name, int(value)
    except ValueError:
        pass
    try:
        return name, float(value)
    except ValueError:
        return name, value
