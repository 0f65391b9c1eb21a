"""`python -m diffusion lab list | run NAME | train NAME`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from diffusion.console import interruptible
from diffusion.data.images import read
from diffusion.files import check_folder
from diffusion.hub import fetch_pictures
from diffusion.settings import Choice, Number, Setting, draw_seed, seed_of

from . import EXPERIMENTS
from .experiment import Experiment, Measured
from .pictures import OfPictures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", title="actions")
    actions.add_parser("list", help="name every experiment, what it claims and its knobs (the default)")
    run_parser = actions.add_parser("run", help="run an experiment and write its figures, its film and its numbers")
    names = run_parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, experiment in EXPERIMENTS.items():
        of_one = names.add_parser(name, help=experiment.summary, description=experiment.summary)
        for knob in experiment.knobs.values():
            of_one.add_argument(knob.flag, dest=f"knob_{knob.name}", metavar="VALUE", help=_help(knob))
        for kind in experiment.own:
            help = f"a {kind} of your own, for --subject {kind}"
            of_one.add_argument(f"--{kind}", type=Path, metavar="FILE", help=help)
        of_one.add_argument("--seed", default="1", help="a number or any word; empty draws one (default: 1)")
        of_one.add_argument("--out", type=Path, required=True, help="folder for figures, film, sounds and numbers")
        if experiment.trains:
            of_one.add_argument("--train", action="store_true", help="train from the start in place of what ships")
        if experiment.trains and isinstance(experiment, OfPictures):
            of_one.add_argument(
                "--data",
                help="train on these pictures: a folder with the files of MNIST (IDX) or CIFAR-10 (binary version), "
                "plain or .gz, or a Hub id owner/dataset of one",
            )
    train_parser = actions.add_parser("train", help="train again what ships for an experiment")
    train_parser.add_argument("name", choices=[name for name, each in EXPERIMENTS.items() if each.trains])
    train_parser.add_argument("--out", type=Path, required=True, help="folder in which each model gets a folder")


def run(args: argparse.Namespace) -> None:
    """Do as the arguments say; what was measured is printed."""
    if args.action in (None, "list"):
        print("\n\n".join(_described(name, each) for name, each in EXPERIMENTS.items()))
        return
    experiment = EXPERIMENTS[args.name]
    training = getattr(args, "train", False)
    if data := getattr(args, "data", None):
        if not training:
            raise ValueError(f"data: got {data} without --train, but what ships knows other pictures")
        assert isinstance(experiment, OfPictures)
        experiment = replace(experiment, pictures=read(fetch_pictures(data)))
    for kind, read_own in experiment.own.items():
        if (path := getattr(args, kind, None)) is not None:
            if not path.is_file():
                raise ValueError(f"{kind}: got {path}, which is no file")
            experiment = replace(experiment, **{kind: read_own(path.read_bytes())})  # type: ignore[type-var]
    if args.action == "train":
        check_folder("out", args.out)
        for line in experiment.make(args.out):
            print(line, flush=True)
        return
    from .figures import write

    given = {name: getattr(args, f"knob_{name}") for name in experiment.knobs}
    parsed = {name: experiment.knobs[name].parsed(text) for name, text in given.items() if text is not None}
    knobs, seed = experiment.asked(parsed), seed_of(args.seed)
    check_folder("out", args.out)
    begin = experiment.train if training else experiment.run
    with interruptible() as stop:
        frames = list(begin(knobs, draw_seed() if seed < 0 else seed, stop))
    measured = [] if stop.is_set() else experiment.holds(frames)
    for each in measured:
        print(_said(each))
    for path in write(args.out, frames, measured):
        print(path)


def _described(name: str, experiment: Experiment) -> str:
    knobs = "\n".join(f"  {knob.flag}: {_help(knob)}" for knob in experiment.knobs.values())
    return f"{name}: {experiment.summary} ({experiment.source.document})\n  Claim: {experiment.claim}\n{knobs}"


def _help(knob: Setting) -> str:
    allowed = ""
    if isinstance(knob, Choice):
        allowed = "; ".join([*knob.catalogue])
    elif isinstance(knob, Number):
        allowed = f"{knob.range[0]:g} to {knob.range[1]:g}"
    return f"{knob.help} ({allowed}; default: {knob.default})".replace("%", "%%")


def _said(measured: Measured) -> str:
    ending = {True: ": holds", False: ": does not hold", None: ""}[measured.holds]
    said = f" (the document: {measured.said})" if measured.said else ""
    return f"{measured.name}: {measured.value:.4g} {measured.unit}".rstrip() + said + ending
