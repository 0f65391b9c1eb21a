"""Which denoiser learns most in the same time: `PYTHONPATH=. python tests/benchmarks/ablations.py --help`.

Every variant differs from the first in one thing. Their steps are timed in turns, in one process, so that a noisy
machine is as noisy for all, and each gets the number of steps that fits the same minutes. What counts is the error of
the belief on held-out clips. Run again, it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from diffusion.data.dataset import Features
from diffusion.networks.precision import fast_dtype
from diffusion.training.config import TrainingConfig
from diffusion.training.loop import describe, draw, objective_of
from diffusion.training.optimizer import build_optimizers

COMMON: dict[str, object] = {"warmup_steps": 50, "save_minutes": 1e6, "log_steps": 20, "lr": 1.5e-3}
DONE = "state-of-the-whole-run.pt"
VARIANTS: dict[str, dict[str, object]] = {
    "as it is": {},
    "patch of 2 frames": {"patch_frames": 2},
    "patch of 8 frames": {"patch_frames": 8},
    "refinement, 16 channels": {"refinement": 16},
    "shallow and wide": {"depth": 5, "width": 480, "heads": 8, "hidden": 1440},
    "deep and narrow": {"depth": 14, "width": 288, "heads": 4, "hidden": 864},
    "half the depth": {"depth": 4},
    "predicts x0": {"prediction": "x0"},
    "predicts v": {"prediction": "v"},
    "no learned variance": {"prediction": "moments"},
    "weights capped at 5": {"weight_cap": 5.0},
    "weights capped at 100": {"weight_cap": 100.0},
    "more noise (shift -1)": {"shift": -1.0},
    "less noise (shift 1)": {"shift": 1.0},
    "levels moved by 6 dB": {"gain_db": 6.0},
    "AdamW": {"optimizer": "adamw"},
    "batches of 64": {"batch": 64},
}


def flags(settings: dict[str, object]) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]


def seconds_a_step(data: Path, rounds: int = 5) -> dict[str, float]:
    """The median over `rounds` turns of every variant."""
    features, machines = Features(data, "train"), {}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = fast_dtype(device)
    for name, changes in VARIANTS.items():
        config = TrainingConfig(steps=1, **{**COMMON, **changes})  # type: ignore[arg-type]
        configuration = describe(config, features)
        network = configuration.build().to(device)
        objective = objective_of(config, configuration.features)
        machines[name] = (config, objective, configuration.denoiser(network), build_optimizers(network, config))
    taken: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for turn in range(-1, rounds):  # the first is not counted
        for name, (config, objective, denoiser, optimizers) in machines.items():
            start = time.perf_counter()
            for step in (0, 1, 2, 3):  # both lengths of clips
                x0, t, eps, cond = draw(features, config, step, 0)
                labels = {label: value.to(device) for label, value in cond.items()}
                with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                    loss = objective(denoiser, x0.to(device), t.to(device), eps.to(device), labels).mean()
                loss.backward()
                for optimizer in optimizers:
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)
            if turn >= 0:
                taken[name].append((time.perf_counter() - start) / 4)
    return {name: statistics.median(times) for name, times in taken.items()}


def held_out(run: Path) -> dict[str, float]:
    """The last errors in a run's log, by noise level."""
    records = [json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    errors: dict[str, float] = [each["held_out_error"] for each in records if "held_out_error" in each][-1]
    return errors


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=4.0, help="of training for each variant (default: 4)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    timing = args.out / "seconds.json"
    if not timing.exists():
        timing.write_text(json.dumps(seconds_a_step(args.data), indent=1), encoding="utf-8")
    seconds = json.loads(timing.read_text(encoding="utf-8"))
    rows: list[list[str]] = []
    first: dict[str, float] = {}
    for name, changes in VARIANTS.items():
        steps = round(60 * args.minutes / seconds[name])
        run = args.out / f"{re.sub(r'[^a-zA-Z0-9-]+', '-', name).strip('-')}-{steps}"
        settings = flags({"steps": steps, **COMMON, **changes})
        if not (run / DONE).exists():
            command = [sys.executable, "-m", "diffusion", "train", f"--data={args.data}", f"--out={run}"]
            subprocess.run([*command, "--no-compile", *settings], check=True, stdout=subprocess.DEVNULL)
            (run / "state.pt").rename(run / DONE)
        errors = held_out(run)
        first = first or errors
        change = math.exp(statistics.mean(math.log(errors[level] / first[level]) for level in errors)) - 1
        rows.append(
            [
                name,
                str(steps),
                *(f"{each:.4f}" for each in errors.values()),
                f"{change:+.1%}",
                f"`{' '.join(flags(changes))}`" if changes else "",
            ]
        )
        print("  ".join(rows[-1]), flush=True)
        head = ["variant", "steps", *(f"σ {level}" for level in errors), "mean", "flags"]
        lines = [head, ["---"] * len(head), *rows]
        common = " ".join(["python -m diffusion train --no-compile", *flags(COMMON), "--steps=…"])
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        text = f"Every run: `{common}` and its own flags.\n\n{table}\n"
        (args.out / "ablations.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
