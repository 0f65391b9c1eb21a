"""python -m diffusion evaluate: a checkpoint's clips, heard by a classifier, beside real ones and controls.

Run again with the same settings, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="folder that `data` wrote")
    parser.add_argument(
        "--train-classifier", type=Path, metavar="DIR", help="train the classifier on the ear split, write it and stop"
    )
    parser.add_argument("--classifier", type=Path, metavar="DIR", help="folder of a trained classifier")
    parser.add_argument("--checkpoint", type=Path, metavar="DIR", help="checkpoint (default: judge real clips alone)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the report")
    parser.add_argument(
        "--guidance-scale", type=float, nargs="+", default=[4.0], metavar="W", help="one or more (default: 4)"
    )
    parser.add_argument("--clips", type=int, default=4, help="clips for each style on each ensemble (default: 4)")
    parser.add_argument("--control-clips", type=int, default=2, help="controls of each kind, likewise (default: 2)")
    parser.add_argument("--steps", type=int, default=20, help="steps of the sampler (default: 20)")
    parser.add_argument("--batch", type=int, default=8, help="clips generated together (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything drawn (default: 0)")
    parser.add_argument("--cpu", action="store_true", help="stay on the CPU where there is a GPU")


def run(args: argparse.Namespace) -> None:
    """Train a classifier, or write a report. ValueError or FileNotFoundError for what is missing or does not fit."""
    for name in ("clips", "control_clips", "steps", "batch"):
        if getattr(args, name) < 1:
            raise ValueError(f"{name}: got {getattr(args, name)}, need at least 1")
    if args.seed < 0:
        raise ValueError(f"seed: got {args.seed}, need at least 0")
    if any(not (math.isfinite(scale) and scale >= 1) for scale in args.guidance_scale):
        raise ValueError(f"guidance_scale: got {args.guidance_scale}, need numbers from 1 (off)")
    if args.train_classifier is not None:
        train_classifier(args.data, args.train_classifier, args.seed)
        return
    if args.classifier is None or args.out is None:
        raise ValueError("classifier, out: name a folder for each, or a new classifier with --train-classifier")
    print(
        evaluate(
            args.data,
            args.classifier,
            args.checkpoint,
            args.out,
            guidance_scales=args.guidance_scale,
            clips=args.clips,
            control_clips=args.control_clips,
            steps=args.steps,
            batch=args.batch,
            seed=args.seed,
            cpu=args.cpu,
        )
    )


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


def evaluate(
    data: Path,
    classifier: Path,
    checkpoint: Path | None,
    out: Path,
    *,
    guidance_scales: Sequence[float] = (4.0,),
    clips: int = 4,
    control_clips: int = 2,
    steps: int = 20,
    batch: int = 8,
    seed: int = 0,
    cpu: bool = False,
) -> str:
    """Make or find the clips in `out`/clips, judge them, and write the report into `out`; returns its text."""
    import torch

    from diffusion import checkpoint as checkpoints
    from diffusion.audio.codec import LogMelCodec, MelParameters
    from diffusion.data.dataset import Features
    from diffusion.evaluation import report
    from diffusion.evaluation.classifier import load_ear
    from diffusion.evaluation.clips import CONTROLS, control, gather, generated, real

    ear = load_ear(classifier)
    names = {"style": list(ear.config.styles), "ensemble": list(ear.config.ensembles)}
    codec = LogMelCodec(ear.config.mel)
    recipes, title, frames = [], "Real clips and controls, as a classifier hears them", ear.config.frames
    if checkpoint is not None:
        device = torch.device("cuda" if torch.cuda.is_available() and not cpu else "cpu")
        model = checkpoints.load(checkpoint, device)
        for name, known in names.items():
            if model.configuration.labels.get(name) != known:
                raise ValueError(
                    f"checkpoint: {checkpoint} has the labels {name} {model.configuration.labels.get(name)}, "
                    f"the classifier knows {known}"
                )
        if MelParameters(**model.configuration.codec) != ear.config.mel:
            raise ValueError(f"checkpoint: {checkpoint} makes other features than the classifier hears")
        frames = model.configuration.frames
        title = f"Evaluation of {Path(checkpoint).resolve().name} ({model.digest}), {steps} steps"
        recipes = [
            generated(model, clips, guidance_scale=scale, steps=steps, seed=seed, bounds=codec.bounds)
            for scale in guidance_scales
        ]
    splits = {split: Features(data, split) for split in ("test", "train")}
    for split, features in splits.items():
        if {name: features.settings["labels"][name] for name in names} != names:
            raise ValueError(f"data: split {split!r} has other labels than the classifier's {names}")
    test = real(splits["test"], clips, frames, seed)
    recipes += [test, real(splits["train"], clips, frames, seed)]
    recipes += [control(kind, real(splits["test"], control_clips, frames, seed)) for kind in CONTROLS]
    sets = {}
    for recipe in recipes:
        sets[recipe.name] = gather(
            recipe, codec, out / "clips", batch=batch, progress=_bar(recipe.name, f"batch of {batch}")
        )
    reference = sets[test.name]
    rows = report.measure(list(sets.values()), reference, ear)
    return report.write(out, rows, ear, title, reference)
