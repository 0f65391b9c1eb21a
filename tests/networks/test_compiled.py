"""A compiled network says what the network says, for the one shape that it was compiled for; failures are told."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters

from diffusion.networks import FrameTransformer
from diffusion.networks.compiled import Compiled, CompilerError, compile_ahead, compiler_available

LABELS = {"style": 2, "ensemble": 3}
SHAPE = (2, 1, 16, 32)
PATIENCE_S = 180

needs_a_compiler = pytest.mark.skipif(not compiler_available(), reason="no C++ compiler")


def small_network(depth: int = 1) -> FrameTransformer:
    torch.manual_seed(0)
    size = {"width": 32, "depth": depth, "heads": 2, "hidden": 64}
    network = FrameTransformer(bands=16, outputs=2, coarse=1, refinement=4, pulse=2, labels=LABELS, **size)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network.eval().requires_grad_(False)


def inputs(shape: tuple[int, ...] = SHAPE) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    log_snr = torch.linspace(-3, 4, shape[0])
    cond = {"style": torch.arange(shape[0]) % 3, "ensemble": torch.arange(shape[0]) % 4}
    cond["pulse"] = torch.rand(shape[0], 2, generator=generator)
    return torch.randn(shape, generator=generator), log_snr, cond


def folder_of_a_compiler(path: Path, script: str) -> str:
    """A PATH on which the compiler is `script`."""
    for name in ("c++", "g++", "clang++"):
        (path / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (path / name).chmod(0o755)
    return f"{path}{os.pathsep}{os.environ['PATH']}"


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["float32", "bf16"])
def compiled(request: pytest.FixtureRequest) -> tuple[Compiled, torch.dtype]:
    return compile_ahead(small_network(), inputs()[2], SHAPE, request.param), request.param


@needs_a_compiler
@pytest.mark.slow
def test_it_says_what_the_network_says(compiled: tuple[Compiled, torch.dtype]) -> None:
    network, dtype = compiled
    x_t, log_snr, cond = inputs()
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        expected = network.network(x_t, log_snr, cond)
        output = network(x_t, log_snr, cond)
        strided = x_t.transpose(2, 3).contiguous().transpose(2, 3)
        torch.testing.assert_close(network(strided, log_snr, dict(reversed(cond.items()))), output, rtol=0, atol=0)
    assert output.dtype == expected.dtype
    assert expected.float().std() > 0.5
    error = (output - expected).float().square().mean().sqrt() / expected.float().std()
    assert error < (1e-5 if dtype == torch.float32 else 0.02)
    for changed in (
        (x_t + 1, log_snr, cond),
        (x_t, log_snr + 1, cond),
        (x_t, log_snr, {**cond, "style": 0 * cond["style"]}),
        (x_t, log_snr, {**cond, "pulse": 0.5 * cond["pulse"]}),
    ):
        assert (network(*changed) - output).abs().max() > 0.01


@needs_a_compiler
@pytest.mark.slow
def test_only_its_shape_goes_to_the_twin_and_nothing_else_is_ever_compiled(
    compiled: tuple[Compiled, torch.dtype],
) -> None:
    network, _ = compiled
    original = network.network
    sent: list[int] = []

    def watched(flat: list[Tensor]) -> list[Tensor]:
        sent.append(len(flat[0]))
        return network.twin(flat)

    subject = Compiled(original, watched, network.told, network.shape)
    before = {name: dict(each) for name, each in counters.items()}
    x_t, log_snr, cond = inputs()
    others = [
        inputs((1, 1, 16, 32)),
        inputs((2, 1, 16, 64)),
        inputs((4, 1, 16, 32)),
        (x_t, log_snr, {"style": cond["style"]}),
        (x_t.clone().requires_grad_(), log_snr, cond),
    ]
    for other in others:
        torch.testing.assert_close(subject(*other), original(*other), rtol=0, atol=0)
    assert subject(*others[-1]).requires_grad
    assert sent == []
    subject(x_t, log_snr, cond)
    assert sent == [2]
    assert {name: dict(each) for name, each in counters.items()} == before


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompilerError, match="no C\\+\\+ compiler on PATH"):
        compile_ahead(small_network(), inputs()[2], SHAPE, torch.float32)


def test_nowhere_to_write_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", folder_of_a_compiler(tmp_path, "exit 1"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(CompilerError, match=r"FileNotFoundError: .*nowhere"):
        compile_ahead(small_network(), inputs()[2], SHAPE, torch.float32)


@pytest.mark.skipif(os.name != "posix", reason="scripts of a POSIX shell")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo 'x.cpp:1:10: fatal error: omp.h: No such file or directory' >&2; exit 1", "fatal error: omp.h: No such"),
        ("kill -9 $PPID", "the process that compiles ended with -9"),
    ],
    ids=["a missing header", "a crash"],
)
def test_a_compiler_that_fails_is_told_in_one_line_and_leaves_nothing(
    script: str, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    script = f"[ \"$1\" = --version ] && echo 'g++ (stand-in) 12.0.0' && exit; nice > {tmp_path / 'niceness'}; {script}"
    monkeypatch.setenv("PATH", folder_of_a_compiler(tmp_path, script))
    with pytest.raises(CompilerError, match=told) as raised:
        compile_ahead(small_network(depth=0), inputs()[2], SHAPE, torch.float32)
    assert "\n" not in str(raised.value)
    assert (tmp_path / "niceness").read_text(encoding="utf-8").strip() == "19"
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="scripts of a POSIX shell")
@pytest.mark.slow
def test_compiling_ends_with_the_process_that_asked(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    script = f"[ \"$1\" = --version ] && echo 'g++ (stand-in) 12.0.0' && exit; touch {tmp_path / 'begun'}; sleep 30"
    code = (
        "import torch; from diffusion.networks import FrameTransformer; from diffusion.networks.compiled import *\n"
        "network = FrameTransformer(bands=16, labels={}, width=32, depth=0, heads=2)\n"
        "compile_ahead(network, {}, (1, 1, 16, 32), torch.float32)"
    )
    path = folder_of_a_compiler(tmp_path, script)
    environment = {**os.environ, "PATH": path, "TMPDIR": str(temporary)}
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=root)
    wait_for((tmp_path / "begun").exists)
    assert list(temporary.iterdir())
    process.kill()
    process.wait()
    wait_for(lambda: not list(temporary.iterdir()))


def wait_for(happens) -> None:
    for _ in range(10 * PATIENCE_S):
        if happens():
            return
        time.sleep(0.1)
    pytest.fail("it did not happen")
