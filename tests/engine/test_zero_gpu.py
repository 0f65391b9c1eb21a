"""Runs on a lent GPU: the real `spaces` decorator (which lends nothing here) and real processes."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from diffusion.engine import Clip, Preview
from diffusion.engine.local import LocalEngine
from diffusion.engine.zero_gpu import FileFlag, ZeroGpuEngine, duration
from diffusion.studio import Studio, open_studio

pytest.importorskip("spaces")


def lent_studio(folder: Path, dtype: torch.dtype | None = None) -> Studio:
    return Studio(ZeroGpuEngine(lambda: LocalEngine(folder, "cpu", dtype)))


def test_elsewhere_nothing_of_it_is_used(small_checkpoint: Path) -> None:
    assert type(open_studio(small_checkpoint, "cpu").engine) is LocalEngine
    code = "import sys, diffusion.ui.page, diffusion.engine.zero_gpu; sys.exit('spaces' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_where_gpus_are_lent_a_studio_borrows_one(small_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    studio, plain = open_studio(small_checkpoint, "cpu"), LocalEngine(small_checkpoint, "cpu")
    assert type(studio.engine) is ZeroGpuEngine
    assert studio.engine.model == plain.model


def test_a_lent_run_makes_the_same_clip(small_checkpoint: Path) -> None:
    plain = open_studio(small_checkpoint, "cpu", torch.float32)
    lent = lent_studio(small_checkpoint, torch.float32)
    request = plain.request(seed=3, steps=4, duration_s=2.56)
    *previews, clip = lent.generate(request)
    *_, expected = plain.generate(request)
    assert len(previews) == 5
    assert isinstance(clip, Clip)
    assert isinstance(expected, Clip)
    assert clip.to_wav() == expected.to_wav()
    assert (lent.sound(clip.features) == plain.sound(clip.features)).all()


def test_a_lent_run_can_be_stopped(small_checkpoint: Path) -> None:
    studio, stop = lent_studio(small_checkpoint), threading.Event()
    request = studio.request(seed=3, steps=1000, duration_s=2.56)
    for each in studio.generate(request, stop):
        if isinstance(each, Preview) and each.index == 3:
            stop.set()
    assert isinstance(each, Clip)
    assert 3 <= each.settings["stopped_at"] <= 4
    assert each.settings["evaluations"] <= each.settings["stopped_at"] + 1


def _wait_for(flag: FileFlag, ready) -> None:
    ready.set()
    while not flag.is_set():
        pass


def test_what_goes_to_and_from_the_lent_process_can_travel(small_checkpoint: Path, tmp_path: Path) -> None:
    studio, flag = open_studio(small_checkpoint, "cpu"), FileFlag(tmp_path / "stop")
    requests = [studio.request(seed=3, steps=2, duration_s=2.56)]
    assert pickle.loads(pickle.dumps(requests)) == requests
    for each in studio.generate_many(requests):
        assert type(pickle.loads(pickle.dumps(each))) is type(each)
    processes = multiprocessing.get_context("spawn")
    ready = processes.Event()
    child = processes.Process(target=_wait_for, args=(flag, ready))
    child.start()
    assert ready.wait(60)
    assert child.is_alive()
    flag.set()
    child.join(60)
    assert child.exitcode == 0


def test_the_time_asked_for_grows_with_the_work(small_checkpoint: Path) -> None:
    studio = open_studio(small_checkpoint, "cpu")

    def asked(**settings) -> int:
        return duration([studio.request(seed=0, **settings)])

    assert asked(steps=20) < asked(steps=200) < asked(steps=1000)
    assert asked(steps=200, sampler="heun") > asked(steps=200)
    assert asked(steps=200, duration_s=20.48) > asked(steps=200)
    assert duration([studio.request(seed=0)] * 5) > asked(steps=20)
