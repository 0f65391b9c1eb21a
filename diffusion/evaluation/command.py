"""python -m diffusion evaluate: a checkpoint's clips held to marks, beside real ones and controls.

Run again with the same settings, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from diffusion.evaluation.plan import NO_VOCODER, Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    def several(values: Sequence[str | float]) -> str:
        return f"one or more (default: {' '.join(v if isinstance(v, str) else f'{v:g}' for v in values)})"

    def numbers(flag: str, default: Sequence[float], metavar: str, of: str = "") -> None:
        parser.add_argument(flag, type=float, nargs="+", default=default, metavar=metavar, help=of + several(default))

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
    parser.add_argument("--sections", nargs="+", default=Plan.sections, metavar="NAME", help=several(Plan.sections))
    parser.add_argument(
        "--clips", type=int, default=Plan.clips, help="clips for each style on each ensemble (default: %(default)s)"
    )
    parser.add_argument(
        "--control-clips", type=int, default=Plan.control_clips, help="controls of each kind, likewise (%(default)s)"
    )
    parser.add_argument(
        "--curve-clips", type=int, default=Plan.curve_clips, help="clips for each point of a curve (%(default)s)"
    )
    parser.add_argument(
        "--evaluations", type=int, nargs="+", default=Plan.evaluations, metavar="N", help=several(Plan.evaluations)
    )
    numbers("--guidance-scale", Plan.guidance_scales, "W")
    numbers("--guidance-from", Plan.guidance_from, "L", "log-SNR from which on guidance counts, ")
    parser.add_argument("--rules", nargs="+", default=Plan.rules, metavar="NAME", help=several(Plan.rules))
    parser.add_argument("--samplers", nargs="+", default=Plan.samplers, metavar="NAME", help=several(Plan.samplers))
    parser.add_argument("--grids", nargs="+", default=Plan.grids, metavar="NAME", help=several(Plan.grids))
    numbers("--lengths", Plan.lengths, "L", "of clips, in lengths of those that the checkpoint was trained on, ")
    parser.add_argument("--batch", type=int, default=Plan.batch, help="clips generated together (default: 8)")
    parser.add_argument("--seed", type=int, default=Plan.seed, help="seed of everything drawn (default: 0)")
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
        train_classifier(args.data, args.train_classifier, args.seed)
        return
    if args.classifier is None or args.out is None:
        raise ValueError("classifier, out: name a folder for each, or a new classifier with --train-classifier")
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
    """Train on the `ear` split of `data`, test on real clips of its `test` split (another sound font), and save."""
    from diffusion.data.dataset import Features
    from diffusion.evaluation.classifier import EarTraining, save_ear, train_ear
    from diffusion.evaluation.clips import real
    from diffusion.evaluation.measures import score

    features, test = Features(data, "ear"), Features(data, "test")
    ear, record = train_ear(
        features,
        frames=frames,
        width=width,
        training=EarTraining(seed=seed, **training),
        progress=_bar("classifier", "step"),
    )
    recipe = real(test, 8, ear.config.frames, seed)
    result = score(ear.judge(recipe.make(range(len(recipe.style)))), recipe.style, recipe.ensemble)
    record["test"] = {
        "clips": len(recipe.style),
        "style": result.style.value,
        "ensemble": result.ensemble.value,
        "style_confusion": result.style_confusion.tolist(),
        "ensemble_confusion": result.ensemble_confusion.tolist(),
    }
    save_ear(out, ear, record)
    print(f"real clips of the test split: ensemble {result.ensemble}, style {result.style}; written to {out}")
