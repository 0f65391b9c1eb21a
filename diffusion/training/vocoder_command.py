"""`python -m diffusion train-vocoder`."""

from __future__ import annotations

import argparse
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from diffusion.console import interruptible
from diffusion.files import check_folder

from .vocoder_config import VocoderTraining


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--audio", type=Path, required=True, help="folder of WAV or FLAC files at 32 kHz")
    parser.add_argument("--held-out", type=Path, help="folder of such files to measure on, beside Griffin-Lim")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; a run found there goes on")
    for each in fields(VocoderTraining):
        assert each.default is not MISSING
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=type(each.default), default=each.default)


def run(args: argparse.Namespace) -> None:
    from .vocoder import train_vocoder

    config = VocoderTraining(**{each.name: getattr(args, each.name) for each in fields(VocoderTraining)})

    def report(record: dict[str, Any]) -> None:
        print("  ".join(f"{name} {value}" for name, value in record.items()), flush=True)

    check_folder("out", args.out)
    with interruptible() as stop:
        train_vocoder(config, args.audio, args.out, held_out=args.held_out, report=report, stop=stop)
