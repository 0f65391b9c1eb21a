"""`python -m diffusion listen report TRIAL.sqlite --out FOLDER`."""

from __future__ import annotations

import argparse
from contextlib import closing
from pathlib import Path

from diffusion.files import check_folder, read_json
from diffusion.listening.votes import Votes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", title="actions", required=True)
    report = actions.add_parser("report", help="write what came out of a trial: a sentence, tables and pictures")
    report.add_argument("trial", type=Path, metavar="TRIAL", help="file of a trial, which may still be open")
    report.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the report")
    report.add_argument(
        "--ears", type=Path, metavar="FILE", help="marks.json of `evaluate`: its distances beside the votes"
    )


def run(args: argparse.Namespace) -> None:
    """Write the report; the sentence that may be quoted is printed."""
    from diffusion.listening.report import write

    marks = None if args.ears is None else read_json(args.ears)
    with closing(Votes(args.trial)) as votes:
        check_folder("out", args.out)
        print(write(votes, args.out, marks).sentence)
    print(f"written to {args.out}")
