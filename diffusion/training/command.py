"""`python -m diffusion train`."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from diffusion import checkpoint
from diffusion.console import interruptible
from diffusion.files import check_folder
from diffusion.theory import SCHEDULES

from .config import BETAS, CHAIN, SCHEDULE_NAMES, TrainingConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", type=Path, default=Path("data"), help="folder that `data` wrote (default: data)")
    source.add_argument(
        "--audio",
        type=Path,
        help="folder of recordings (WAV, FLAC, Ogg, MP3) at any depth, to train on instead: its first folders are "
        "styles, those in them ensembles, and what is in none is 'any'. They are encoded once, into OUT/data; one that "
        "cannot be read, or is shorter than a crop, is named and left out; a tenth is held out to test on",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        help="CSV with the labels of the recordings, instead of their folders: a column file (the path in the folder) "
        "and any of style, ensemble, mode, tempo, key, beat. An empty cell and a file without a row are 'any'; an "
        "unknown column and a file that is not there are errors",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; a run found there goes on")
    parser.add_argument(
        "--init",
        type=Path,
        help="checkpoint folder whose weights a new run starts from; with --audio also its settings and its labels",
    )
    parser.add_argument("--cpu", action="store_true", help="stay on the CPU where there is a GPU")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="torch.compile the network (default: on a GPU)",
    )
    meanings = {
        "schedule": " ".join(f"{name}: {SCHEDULES[name].summary}" for name in SCHEDULE_NAMES),
        "shift": SCHEDULES["shifted"].summary,
        "chain_steps": "T, the number of noising steps of a schedule of betas; 0 is its own.",
        "first_beta": "The variance of its first noising step, or of all of a constant one; 0 is its own.",
        "last_beta": "The variance of its last noising step; 0 is its own.",
    }
    for each in fields(TrainingConfig):
        assert each.default is not MISSING
        text = f"{meanings.get(each.name, '')} (default: {each.default})".strip()
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=type(each.default), help=text)


def configuration(args: argparse.Namespace) -> TrainingConfig:
    """What is not given is as in the checkpoint that recordings refine, or by default. ValueError for a wrong value."""
    names = {each.name for each in fields(TrainingConfig)}
    settings: dict[str, Any] = {}
    if args.audio is not None and (start := _start(args)) is not None:
        inner = start.schedule.get("inner", start.schedule)
        schedule = {"schedule": inner["name"], "shift": start.schedule.get("shift", 0.0)}
        theirs = zip(CHAIN, BETAS.get(inner["name"], ()), strict=False)
        schedule |= {name: inner[called] for name, called in theirs if called in inner}
        settings = {**start.network, **schedule, "prediction": start.prediction, "clip_frames": start.frames}
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return TrainingConfig.from_dict({name: settings[name] for name in names & settings.keys()} | given)


def _start(args: argparse.Namespace) -> checkpoint.Configuration | None:
    return None if args.init is None else checkpoint.load(args.init).configuration


def run(args: argparse.Namespace, deadline: float = math.inf, on_save: Callable[[], None] = lambda: None) -> None:
    """Train as the arguments say; `deadline` and `on_save` as in `train`."""
    import torch

    from diffusion.networks.compiled import compiler_available

    from .loop import train

    config = configuration(args)
    if args.labels is not None and args.audio is None:
        raise ValueError("labels: got a table without --audio, whose recordings it labels")
    check_folder("out", args.out)
    data = args.data if args.audio is None else _prepare(args, config)
    on_gpu = torch.cuda.is_available() and not args.cpu
    compile_network = (on_gpu and compiler_available()) if args.compile is None else args.compile

    def report(record: dict[str, Any]) -> None:
        print("  ".join(f"{name} {value}" for name, value in record.items()), flush=True)

    with interruptible() as stop:
        train(
            config,
            data,
            args.out,
            init=args.init,
            compile_network=compile_network,
            cpu=args.cpu,
            report=report,
            deadline=deadline,
            on_save=on_save,
            stop=stop,
        )


def _prepare(args: argparse.Namespace, config: TrainingConfig) -> Path:
    """Encode the recordings, in one process of several; the folder of their features."""
    import accelerate
    from tqdm import tqdm

    from diffusion.codecs import LogMel
    from diffusion.data.recordings import prepare

    from .run import STATE

    start = _start(args)
    codec = start.features if start else LogMel()
    if not isinstance(codec, LogMel):
        raise ValueError(f"init: {args.init} is a model of {codec.medium}s, need one of sound to refine on recordings")
    data: Path = args.out / "data"
    process = accelerate.PartialState(cpu=args.cpu)
    try:
        with process.main_process_first():
            prepare(
                args.audio,
                data,
                table=args.labels,
                vocabulary=start.labels if start else {},
                mel=codec.mel,
                frames=config.frames,
                clip_frames=config.clip_frames,
                begun=(args.out / STATE).exists(),
                say=tqdm.write if process.is_main_process else lambda line: None,
                progress=lambda found: tqdm(found, desc="encoding", unit="file", disable=not process.is_main_process),
            )
    except KeyboardInterrupt:
        sys.exit("stopped: what is encoded is kept, and the same command goes on with the rest")
    return data
