"""`python -m diffusion kit`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from diffusion.data.fonts import DEFAULT_FONT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True)

    pack = actions.add_parser("pack", help="collect what travels in one folder")
    pack.add_argument("--data", type=Path, default=Path("data"), help="folder that `data` wrote (default: data)")
    pack.add_argument("--out", type=Path, required=True, metavar="KIT", help="folder to write")
    pack.add_argument("--init", type=Path, help="checkpoint or run whose weights the training starts from")
    pack.add_argument("--font", type=Path, default=DEFAULT_FONT, help=f"sound font (default: {DEFAULT_FONT})")
    pack.add_argument("--wheels", type=Path, help="folder of wheels (default: download them)")

    run = actions.add_parser("run", help="render and train, on the other machine: python KIT/run.py")
    run.add_argument("--kit", type=Path, required=True, help="folder that `pack` wrote")
    run.add_argument("--out", type=Path, required=True, help="folder of the work; what is found there goes on")
    run.add_argument(
        "--minutes", type=float, required=True, help="when all must be over, rendering and saving included"
    )
    run.add_argument("--hours", type=float, default=24.0, help="hours of training audio (default: 24)")
    run.add_argument("--test-hours", type=float, default=4.0, help="hours of held-out pieces (default: 4)")
    run.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes that render (default: all cores)"
    )
    run.add_argument("--began", type=float, help="when the minutes began, in seconds since the epoch (default: now)")
    run.add_argument("settings", nargs=argparse.REMAINDER, metavar="-- …", help="arguments of `train`")

    join = actions.add_parser("join", help="put the pieces back together into a run that `train` resumes")
    join.add_argument("pieces", type=Path, nargs="+", help="folders of pieces: OUT/pieces, in one load or several")
    join.add_argument("run", type=Path, help="folder to write")


def run(args: argparse.Namespace) -> None:
    """Run one action."""
    if args.action == "pack":
        from .pack import describe, pack

        sizes = pack(args.data, args.out, args.font, init=args.init, wheels=args.wheels)
        print(f"{args.out}: {describe(sizes)}. There: python {args.out.name}/run.py --minutes 25 --out OUT")
    elif args.action == "run":
        from .work import work

        settings = args.settings[1:] if args.settings[:1] == ["--"] else args.settings
        work(
            args.kit.resolve(),
            args.out.resolve(),
            args.minutes,
            hours=args.hours,
            test_hours=args.test_hours,
            workers=args.workers,
            settings=settings,
            began=args.began,
        )
    else:
        from .pieces import join

        print(f"{args.run}: {', '.join(join(args.pieces, args.run))}")
