"""`python -m diffusion train`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from .config import TrainingConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that `data` wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; a run found there goes on")
    parser.add_argument("--init", type=Path, help="checkpoint folder whose weights a new run starts from")
    parser.add_argument("--cpu", action="store_true", help="stay on the CPU where there is a GPU")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="torch.compile the network (default: on a GPU)",
    )
    for each in fields(TrainingConfig):
        assert each.default is not MISSING
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=type(each.default), default=each.default)


def configuration(args: argparse.Namespace) -> TrainingConfig:
    """ValueError for a setting out of its range."""
    return TrainingConfig.from_dict({each.name: getattr(args, each.name) for each in fields(TrainingConfig)})


def run(args: argparse.Namespace, deadline: float = math.inf, on_save: Callable[[], None] = lambda: None) -> None:
    """Train as the arguments say; `deadline` and `on_save` as in `train`."""
    import torch

    from .loop import compiler_available, train

    on_gpu = torch.cuda.is_available() and not args.cpu
    compile_network = (on_gpu and compiler_available()) if args.compile is None else args.compile

    def report(record: dict[str, Any]) -> None:
        print("  ".join(f"{name} {value}" for name, value in record.items()), flush=True)

    train(
        configuration(args),
        args.data,
        args.out,
        init=args.init,
        compile_network=compile_network,
        cpu=args.cpu,
        report=report,
        deadline=deadline,
        on_save=on_save,
    )
