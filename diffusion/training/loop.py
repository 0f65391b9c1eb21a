"""The training loop."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast as broadcast_to_processes
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from diffusion.audio.mel import MelParameters
from diffusion.checkpoint import Configuration, load, save
from diffusion.codecs import Codec, LogMel, settings_of
from diffusion.corrections import ENDING, ENDINGS
from diffusion.data import prior
from diffusion.data.dataset import Features, shards
from diffusion.denoisers import LEARNED_VARIANCES
from diffusion.networks.precision import fast_dtype
from diffusion.objectives import CleanError, ErrorAndSpread, Hybrid, Objective, VariationalBound, low_discrepancy
from diffusion.theory import broadcast, schedule_from
from diffusion.theory.grid import CHAIN_STEPS

from .config import TrainingConfig
from .negatives import find_negatives
from .optimizer import build_optimizers, warming_average
from .run import STATE, RunFolder
from .sheet import write_sheet
from .texture import find_texture
from .warm_start import warm_start

Batch = tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]
VALIDATION_SIGMAS = (0.13, 0.47, 0.86, 0.98)
GROWTH = 1.25  # features that are still being made are opened again when there are so many more of them


def train(
    config: TrainingConfig,
    data: Path,
    out: Path,
    *,
    init: Path | None = None,
    compile_network: bool = False,
    cpu: bool = False,
    report: Callable[[dict[str, Any]], None] = lambda record: None,
    deadline: float = math.inf,
    on_save: Callable[[], None] = lambda: None,
    stop: threading.Event | None = None,
) -> None:
    """Train on `data` and write to `out`: a checkpoint of the averaged weights, the state to resume from and log.jsonl.

    A run found in `out` goes on where its state was saved, bit for bit on one machine: every step draws from
    generators of its own, seeded by (seed, step, process). `init` starts a new run from the weights of a checkpoint,
    which may have other labels and parts (`warm_start`). Features that are still being made are used as they come; what
    a step draws then depends on when they come. The run ends before `deadline`, a time of `time.monotonic`, including
    the last save, unless that takes longer than the one before; the learning rate decays by then. `on_save` is called
    when the state and the weights of a save are written, and again after its sheet and its held-out error. Setting
    `stop` ends the run after its step, saved. ValueError if the state in `out` belongs to another configuration.
    """
    accelerator = Accelerator(cpu=cpu)
    device, rank, main = accelerator.device, accelerator.process_index, accelerator.is_main_process
    dtype = fast_dtype(device)
    train_features = Features(data, "train")
    test_features = Features(data, "test") if (data / "test").is_dir() else None
    torch.manual_seed(config.seed)
    source = None if init is None else load(init)
    configuration = describe(config, train_features, source.configuration if source else None)
    network = configuration.build()
    if source is not None:
        warm_start(network, configuration, source)
    average = AveragedModel(network, device=device, multi_avg_fn=warming_average(config.ema_decay))
    average.n_averaged = average.n_averaged.cpu()  # it is read in every step, and reading it on a GPU would wait
    network = accelerator.prepare(network)
    optimizers = build_optimizers(network, config)
    forward = torch.compile(network, dynamic=False) if compile_network else network
    denoiser = configuration.denoiser(forward)
    objective = objective_of(config, configuration.features)
    frames_per_hour = 3600 * MelParameters(**train_features.settings["codec"]).frames_per_s

    def nearest(features: Features) -> Features:
        return features if device.type == "cpu" else features.in_memory(device)

    folder = RunFolder(out, config, report)
    step, seconds = folder.resume(device, accelerator.unwrap_model(network), average, optimizers)

    def log(record: dict[str, Any]) -> None:
        if main:
            folder.log(record)

    def checkpoint() -> None:
        if not main:
            return
        folder.save(step, seconds, accelerator.unwrap_model(network), average, optimizers)
        described = describe(config, train_features, source.configuration if source else None)
        negatives = find_negatives(described, average.module, train_features)
        texture = find_texture(described, average.module, train_features)
        described = replace(described, negatives=negatives, texture=texture)
        save(out, described, average.module.state_dict(), torch.bfloat16)
        on_save()
        write_sheet(out / f"sheet-{step:07d}.png", described, average.module)
        log_held_out()
        on_save()

    def log_held_out() -> None:
        if test_features is not None:
            log({"step": step, "seconds": round(seconds, 1), **validate(configuration, average.module, test_features)})

    def agreed(seconds: float, left_s: float) -> tuple[float, float]:
        """One clock for all processes: they must agree on the rate and on when to end."""
        if accelerator.num_processes > 1:
            seconds, left_s = broadcast_to_processes(torch.tensor([seconds, left_s], device=device)).tolist()
        return seconds, left_s

    if step == 0 and denoiser.schedule.warning:
        log({"step": step, "warning": denoiser.schedule.warning})
    first_step, save_s = step, 0.0
    if main and init is not None and step == 0:
        clock = time.monotonic()
        log_held_out()  # of the weights that the run begins with
        save_s = 4 * (time.monotonic() - clock)  # a first estimate: a sheet takes about three times as long
    clock, saved, losses = time.monotonic(), time.monotonic(), []

    def left() -> float:
        """For how many seconds there is time until the last save; -inf when the run is to stop."""
        return -math.inf if stop is not None and stop.is_set() else deadline - time.monotonic() - save_s

    seconds, left_s = agreed(seconds, left())
    near = nearest(train_features)
    while left_s > -math.inf and (progress := config.progress(step, seconds, left_s)) < 1:
        lr = config.learning_rate(step, progress)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr
        x0, t, eps, cond = draw(near, config, step, rank)
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            loss = objective(denoiser, x0, t, eps, cond).mean()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(network.parameters(), config.gradient_norm)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        average.update_parameters(accelerator.unwrap_model(network))
        losses.append(loss.detach())
        step += 1
        if step % config.log_steps == 0 and len(shards(data, "train")) >= GROWTH * len(train_features.mels):
            train_features = Features(data, "train")
            near = nearest(train_features)
        now = time.monotonic()
        seconds, left_s = agreed(seconds + now - clock, left())
        clock = now
        if step % config.log_steps == 0:
            mean = torch.stack(losses).mean().item()
            losses.clear()
            if not math.isfinite(mean):
                raise FloatingPointError(f"loss: got {mean} at step {step}; the last saved state is {out / STATE}")
            hours = step * config.batch * config.frames * accelerator.num_processes / frames_per_hour
            log(
                {"step": step, "seconds": round(seconds, 1), "hours": round(hours, 2), "loss": round(mean, 5), "lr": lr}
            )
        if now - saved > 60 * config.save_minutes and left_s > save_s:  # or there would be no time for the last one
            checkpoint()
            saved = clock = time.monotonic()
            save_s = saved - now
    if step > first_step:
        checkpoint()


def objective_of(config: TrainingConfig, codec: Codec) -> Objective:
    """What a run minimises on features of a codec: the error, and what a learned variance is learned by.

    A spread belongs to a time, and is learned by the surprise at the error. The variance of a step back is learned by
    the bound of a chain: that of the schedule, or of CHAIN_STEPS.
    """
    error = CleanError(cap=config.weight_cap)
    if config.prediction == "moments-spread":
        return ErrorAndSpread(error, config.spread_weight)
    if config.prediction in LEARNED_VARIANCES:
        steps = schedule_from(config.schedule_settings).chain_steps or CHAIN_STEPS
        return Hybrid(VariationalBound(steps, bounds=codec.bounds))
    return error


def describe(config: TrainingConfig, features: Features, source: Configuration | None = None) -> Configuration:
    """The checkpoint configuration of a run on features, which may begin with the weights of `source`.

    The model has endings if its music was rendered, and so has ends, or if `source` has them. Ensembles of `source`
    without a clip in the features keep their prominences. ValueError if the network should hear a pulse, but features
    rendered from scores do not say where beats are.
    """
    settings = features.settings
    before = source.prominences if source else {}
    known = {name: before[name] for name in settings["labels"].get("ensemble", []) if name in before}
    ends = bool(settings.get("sources")) or (source is not None and ENDING in source.labels)
    if config.pulse and settings.get("sources") and not features.columns["beat_frames"].any():
        raise ValueError(
            f"pulse: got {config.pulse}, but the data were made before they said where beats are: make them again, "
            "into another folder, by python -m diffusion data"
        )
    network = {
        "name": "frame-transformer",
        "outputs": 2 if config.prediction in ("moments", *LEARNED_VARIANCES) else 1,
        "coarse": 1 if config.prediction == "moments-spread" else 0,
        "refinement": config.refinement,
        "pulse": config.pulse,
        "bands": settings["codec"]["bands"],
        "patch_frames": config.patch_frames,
        "width": config.width,
        "depth": config.depth,
        "heads": config.heads,
        "hidden": config.hidden,
    }
    return Configuration(
        network,
        config.schedule_settings,
        config.prediction,
        settings["labels"] | ({ENDING: list(ENDINGS)} if ends else {}),
        config.clip_frames,
        settings_of(LogMel(**settings["codec"])),
        prior=prior.count(features, config.clip_frames),
        prominences=known | prior.prominences(features, config.clip_frames),
    )


def draw(features: Features, config: TrainingConfig, step: int, rank: int) -> Batch:
    """The batch of one step: x0 (B, 1, bands, frames), t (B,), eps as x0 and labels (B, ...), each dropped on its own.

    All are on the device of the features. Half of the batches have crops of `frames`, for variety; the others have as
    many frames in clips of full length, since positions must be learned up to there. Sometimes all labels are dropped
    together, so that the model also learns music without any.
    """
    device = features.mels[0].device
    seeds = np.random.SeedSequence([config.seed, step, rank]).spawn(3)
    rng = np.random.default_rng(seeds[0])
    frames = config.clip_frames if rng.random() < 0.5 else config.frames
    batch = max(1, config.batch * config.frames // frames)
    x0, labels = features.crop(rng, frames, batch)
    if config.gain_db:
        mel = MelParameters(**features.settings["codec"])
        gain_db = torch.from_numpy(rng.uniform(-config.gain_db, config.gain_db, (batch, 1, 1, 1))).float()
        x0 = (x0 + (gain_db / mel.unit_db).to(device)).clamp(*mel.bounds)
    generator = torch.Generator().manual_seed(int(seeds[1].generate_state(1)[0]))
    t = low_discrepancy(batch, generator) ** (1 / config.noise_emphasis)
    dropped_all = torch.rand(batch, generator=generator) < config.label_dropout
    cond = {}
    for name, label in labels.items():
        dropped = torch.rand(batch, generator=generator) < config.label_dropout
        cond[name] = (label * broadcast(~(dropped | dropped_all), label)).to(device)
    noise = torch.Generator(device).manual_seed(int(seeds[2].generate_state(1)[0]))
    eps = torch.randn(x0.shape, generator=noise, device=device)
    return x0, t.to(device), eps, cond


@torch.no_grad()
def validate(configuration: Configuration, network: nn.Module, features: Features, clips: int = 64) -> dict[str, Any]:
    """Mean squared error of the belief in x0 at four noise levels, on held-out clips and noise that never change."""
    device = next(network.parameters()).device
    dtype = fast_dtype(device)
    x0, cond = features.crop(np.random.default_rng(0), configuration.frames, clips)
    eps = torch.randn(x0.shape, generator=torch.Generator().manual_seed(0))
    denoiser = configuration.denoiser(network)
    errors = {}
    for sigma in VALIDATION_SIGMAS:
        log_snr = torch.tensor(2 * math.log(math.sqrt(1 - sigma**2) / sigma), dtype=torch.float64)
        t = denoiser.schedule.inverse(log_snr)
        objective = CleanError(cap=1.0)
        parts = []
        for rows in torch.arange(clips).split(16):
            labels = {name: label[rows].to(device) for name, label in cond.items()}
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                times = t.expand(len(rows)).to(device)
                parts.append(objective(denoiser, x0[rows].to(device), times, eps[rows].to(device), labels))
        errors[str(sigma)] = round(torch.cat(parts).mean().item(), 5)
    return {"held_out_error": errors}
