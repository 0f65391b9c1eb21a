"""`python -m diffusion evaluate`: the clips of a checkpoint held to marks, beside real ones and controls.

The same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diffusion.console import interruptible
from diffusion.evaluation.plan import NO_VOCODER, Plan
from diffusion.files import check_folder
from diffusion.settings import SETTINGS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    def several(
        flag: str, default: Sequence[str | float], metavar: str, of: str = "", kind: Callable[[str], Any] = str
    ) -> None:
        shown = " ".join(each if isinstance(each, str) else f"{each:g}" for each in default)
        text = f"{of} One or more (default: {shown})".strip().replace("%", "%%")
        parser.add_argument(flag, type=kind, nargs="+", default=default, metavar=metavar, help=text)

    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="folder that `data` wrote")
    parser.add_argument(
        "--train-classifier", type=Path, metavar="DIR", help="train the classifier on the ear split, write it and stop"
    )
    parser.add_argument("--classifier", type=Path, metavar="DIR", help="folder of a trained classifier")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="checkpoint (default: judge real clips alone)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the report")
    parser.add_argument(
        "--vocoder",
        metavar="DIR",
        help=f"what decodes every clip, or {NO_VOCODER} for Griffin-Lim (default: the one in checkpoints/ that fits)",
    )
    several("--sections", Plan.sections, "NAME", "Parts of the report.")
    parser.add_argument(
        "--clips", type=int, default=Plan.clips, help="clips for each style on each ensemble (default: %(default)s)"
    )
    parser.add_argument(
        "--control-clips", type=int, default=Plan.control_clips, help="controls of each kind, likewise (%(default)s)"
    )
    parser.add_argument(
        "--curve-clips", type=int, default=Plan.curve_clips, help="clips for each point of a curve (%(default)s)"
    )
    several("--evaluations", Plan.evaluations, "N", "Evaluations of the denoiser for each clip.", int)
    several("--guidance-scale", Plan.guidance_scales, "W", SETTINGS["guidance_scale"].help, float)
    several("--guidance-from", Plan.guidance_from, "L", SETTINGS["guidance_from"].help, float)
    several("--rules", Plan.rules, "NAME", SETTINGS["guidance_rule"].help)
    several("--samplers", Plan.samplers, "NAME", SETTINGS["sampler"].help)
    several("--grids", Plan.grids, "NAME", SETTINGS["grid"].help)
    several("--lengths", Plan.lengths, "L", "Lengths of clips, as multiples of that in training.", float)
    parser.add_argument("--batch", type=int, default=Plan.batch, help="clips generated together (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=Plan.seed, help="seed of everything drawn (default: %(default)s)")
    parser.add_argument("--compile", action="store_true", help="compile the network first: quicker after a minute")
    parser.add_argument("--cpu", action="store_true", help="stay on the CPU where there is a GPU")


def run(args: argparse.Namespace) -> None:
    """Train a classifier, or write a report. ValueError or FileNotFoundError for what is missing or does not fit."""
    plan = Plan(
        tuple(args.sections),
        args.clips,
        args.control_clips,
        args.curve_clips,
        tuple(sorted(set(args.evaluations))),
        tuple(sorted(set(args.guidance_scale))),
        tuple(sorted(set(args.guidance_from))),
        tuple(dict.fromkeys(args.rules)),
        tuple(dict.fromkeys(args.samplers)),
        tuple(dict.fromkeys(args.grids)),
        tuple(sorted(set(args.lengths))),
        args.batch,
        args.seed,
    )
    if args.train_classifier is not None:
        check_folder("train_classifier", args.train_classifier)
        train_classifier(args.data, args.train_classifier, args.seed)
        return
    if args.classifier is None or args.out is None:
        raise ValueError("classifier, out: name a folder for each, or a new classifier with --train-classifier")
    check_folder("out", args.out)
    from diffusion.evaluation.judge import evaluate

    text = evaluate(
        args.data,
        args.classifier,
        args.checkpoint,
        args.out,
        plan,
        vocoder=args.vocoder,
        cpu=args.cpu,
        compile_network=args.compile,
    )
    print(text.partition("\n## How to read")[0])
    print(f"written to {args.out}")


def _bar(label: str, unit: str) -> Callable[..., Any]:
    from tqdm import tqdm

    return lambda items: tqdm(items, desc=label, unit=unit)


def train_classifier(data: Path, out: Path, seed: int, *, frames: int = 640, width: int = 24, **training: Any) -> None:
    """Train on the `ear` split of `data`, test on real clips of its `test` split (another sound font), and save.

    Ctrl-C and SIGTERM end the training early; what has been learned is tested and saved.
    """
    from diffusion.data.dataset import Features
    from diffusion.evaluation.classifier import EarTraining, save_ear, train_ear
    from diffusion.evaluation.clips import real
    from diffusion.evaluation.measures import accuracy

    features, test = Features(data, "ear"), Features(data, "test")
    with interruptible() as stop:
        ear, record = train_ear(
            features,
            frames=frames,
            width=width,
            training=EarTraining(seed=seed, **training),
            progress=_bar("classifier", "step"),
            stop=stop,
        )
    recipe = real(test, 8, ear.config.frames, seed)
    result = accuracy(ear.judge(recipe.make(range(len(recipe.style)))), recipe.style, recipe.ensemble)
    record["test"] = {
        "clips": len(recipe.style),
        "style": result.style.value,
        "ensemble": result.ensemble.value,
        "style_confusion": result.style_confusion.tolist(),
        "ensemble_confusion": result.ensemble_confusion.tolist(),
    }
    save_ear(out, ear, record)
    print(f"real clips of the test split: ensemble {result.ensemble}, style {result.style}; written to {out}")
