"""A network compiled for inputs of one shape, ahead of time and in a process of its own.

The result is machine code, so no later call can start the compiler again. The weights are part of it, in the layout and
the format in which they are multiplied.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from diffusion.theory import Cond

LOWEST_PRIORITY = 19
JOB, LIBRARY, SAID = "job.pt", "network.so", "said.txt"


class CompilerError(RuntimeError):
    """There is no compiler, or it failed; the message says why in one line."""


def compiler_available() -> bool:
    """Whether PATH has a C++ compiler, without which nothing can be compiled."""
    return any(shutil.which(name) for name in ("c++", "g++", "clang++"))


@dataclass(frozen=True)
class Compiled:
    """A network with a compiled twin for inputs of one `shape` that come with all of the labels `told`.

    All other inputs, and all that need gradients, go to the network itself. The twin holds a copy of the weights, and
    takes and returns float32.
    """

    network: nn.Module
    twin: Callable[[list[Tensor]], list[Tensor]]
    told: tuple[str, ...]
    shape: tuple[int, ...]

    def __call__(self, x_t: Tensor, log_snr: Tensor, cond: Cond) -> Tensor:
        """As the network: x_t (B, C, bands, frames), log-SNR (B,) and labels {name: (B,)}."""
        fits = (
            tuple(x_t.shape) == self.shape
            and x_t.dtype == log_snr.dtype == torch.float32
            and set(self.told) <= cond.keys()
            and not (torch.is_grad_enabled() and x_t.requires_grad)
        )
        output: Tensor
        if not fits:
            output = self.network(x_t, log_snr, cond)
            return output
        # The twin has its number formats built in, and expects inputs in the order and layout of its compilation.
        with torch.no_grad(), torch.autocast(x_t.device.type, enabled=False):
            [output] = self.twin([each.contiguous() for each in (x_t, log_snr, *(cond[name] for name in self.told))])
            return output


def compile_ahead(network: nn.Module, cond: Cond, shape: Sequence[int], dtype: torch.dtype) -> Compiled:
    """`network` on the CPU, compiled for x_t of `shape` (B, C, bands, frames) with matrices multiplied in `dtype`.

    `cond` is an example of the labels. It takes half a minute of one core for 14 million parameters, in a process of
    the lowest priority that ends with this one. The compiled network uses as many threads as torch does here.
    CompilerError if it cannot be compiled.
    """
    if not compiler_available():
        raise CompilerError("no C++ compiler on PATH")
    try:
        with TemporaryDirectory(prefix="compile-") as name:
            folder = Path(name)
            torch.save((network, dict(cond), tuple(shape), dtype, torch.get_num_threads()), folder / JOB)
            _compile_apart(folder)
            # What torch._inductor.aoti_load_package wraps; but importing that holds up all threads for seconds, and its
            # files would outlive a server that is told to stop. A library need not stay where it was loaded from.
            runner = torch._C._aoti.AOTIModelContainerRunnerCpu(str(folder / LIBRARY), 1)
    except Exception as error:  # whatever it is, the network can still serve
        raise CompilerError(_reason(error)) from error
    return Compiled(network, runner.run, tuple(cond), tuple(shape))


def _compile_apart(folder: Path) -> None:
    """Let another process turn the job in `folder` into a library; CompilerError with its last line if it fails."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(os.path.abspath(each) for each in sys.path),
        "TMPDIR": str(folder),  # for caches too, which nothing would read again
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
    }
    command = [sys.executable, "-P", "-m", __name__, str(folder)]
    with (
        (folder / SAID).open("w", encoding="utf-8") as said,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said
        ) as process,
    ):
        if hasattr(os, "setpriority"):
            with suppress(ProcessLookupError):  # it is over already
                os.setpriority(os.PRIO_PROCESS, process.pid, LOWEST_PRIORITY)
        code = process.wait()
    if code or not (folder / LIBRARY).exists():
        words = (folder / SAID).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise CompilerError(words[-1] if code == 1 and words else f"the process that compiles ended with {code}")


def _reason(error: Exception) -> str:
    """An error in one line: the compiler's first complaint, or else the first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    complaint = next((line for line in lines if "error:" in line), lines[0] if lines else "")
    return complaint if isinstance(error, CompilerError) else f"{type(error).__name__}: {complaint}"


class _InFormat(nn.Module):
    """The network with matrices multiplied in `dtype`, as `torch.autocast` has it."""

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = network, dtype

    def forward(self, x_t: Tensor, log_snr: Tensor, cond: dict[str, Tensor]) -> Tensor:
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            output: Tensor = self.network(x_t, log_snr, cond)
            return output


def _work(folder: Path) -> None:
    """Compile the job in `folder`; the reason goes to stderr, with exit status 1, if that fails."""
    network, cond, shape, dtype, threads = torch.load(folder / JOB, weights_only=False)
    torch.set_num_threads(threads)  # their number becomes part of the code
    arguments = (torch.zeros(shape), torch.zeros(shape[0]), cond)
    options = {
        "freezing": True,
        "aot_inductor.output_path": str(folder / LIBRARY),
        "aot_inductor.precompile_headers": False,
    }
    try:
        with torch.no_grad():
            exported = torch.export.export(_InFormat(network, dtype), arguments)
            torch._inductor.aot_compile(exported.module(check_guards=False), arguments, options=options)
    except Exception as error:  # noqa: BLE001 - compilers fail in every way; the parent says so
        sys.exit(_reason(error))


def _end_with_parent(folder: Path) -> None:
    """Wait until the parent process has ended, in whatever way, then delete the folder and end."""
    os.read(sys.stdin.fileno(), 1)  # not sys.stdin.read, whose lock would be in the way of an orderly end
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, args=(Path(sys.argv[1]),), daemon=True).start()
    _work(Path(sys.argv[1]))
