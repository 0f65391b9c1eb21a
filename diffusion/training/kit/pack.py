"""What training needs on a machine that has Python, torch, numpy, scipy and no network, in one folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import diffusion
from diffusion.checkpoint import CONFIG, WEIGHTS, load
from diffusion.data.fonts import check_font
from diffusion.data.scores import load_pieces

from . import start

LIMIT_BYTES = 64 * 2**20
SCORES, PIECES = "scores.npz", "pieces.json"
# What rendering and training import beside torch (and what torch itself needs), numpy and scipy.
PACKAGES = ("accelerate", "packaging", "psutil", "PyYAML", "safetensors", "tinysoundfont", "tqdm")
PYTHONS = ("3.11", "3.12")  # TinySoundFont has wheels for no later one
_GLIBC = (28, 27, 24, 17, 12, 5)
_PLATFORMS = (*(f"manylinux_2_{minor}_x86_64" for minor in _GLIBC), "manylinux2014_x86_64", "manylinux1_x86_64")


def pack(
    data: Path, out: Path, font: Path, *, init: Path | None = None, wheels: Path | None = None, limit: int = LIMIT_BYTES
) -> dict[str, int]:
    """Write a kit into the new folder `out`: the bytes of each of its parts.

    It holds this package, the scores of the data folder `data`, a sound font, the weights of the checkpoint (or run)
    `init` to start from, and wheels: those of the folder `wheels`, or as downloaded for x86-64 Linux and PYTHONS.
    FileNotFoundError for a missing part; ValueError if `out` exists, a part is damaged, or all are more than `limit`
    bytes.
    """
    if out.exists():
        raise ValueError(f"out: {out} exists; choose another folder or delete it")
    for name in (SCORES, PIECES):
        if not (data / name).is_file():
            raise FileNotFoundError(f"data: no {name} in {data}: run python -m diffusion data --out {data}")
    load_pieces(data / SCORES)
    check_font(font)
    if init is not None:
        load(init)
    partial = out.with_name(f".{out.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        shutil.copy(start.__file__, partial / "run.py")
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(diffusion.__file__).parent, partial / "diffusion", ignore=ignored)
        _copy(partial / "scores", data / SCORES, data / PIECES)
        _copy(partial / "font", font)
        if init is not None:
            _copy(partial / "init", init / CONFIG, init / WEIGHTS)
        if wheels is None:
            download(partial / "wheels")
        else:
            _copy(partial / "wheels", *sorted(wheels.glob("*.whl")))
        sizes = {each.name: _size(each) for each in sorted(partial.iterdir())}
        if sum(sizes.values()) > limit:
            raise ValueError(f"kit: {describe(sizes)}; at most {limit / 2**20:.1f} MiB may travel")
        partial.rename(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return sizes


def describe(sizes: dict[str, int]) -> str:
    """The sizes of a kit and its parts in words."""
    parts = ", ".join(f"{name} {size / 2**20:.1f}" for name, size in sorted(sizes.items(), key=lambda each: -each[1]))
    return f"{sum(sizes.values()) / 2**20:.1f} MiB ({parts})"


def download(folder: Path) -> None:
    """Download the wheels of PACKAGES, in the versions that are installed here, for PYTHONS on x86-64 Linux.

    ValueError if one is not installed here, or if pip finds no such wheel.
    """
    try:
        wanted = [f"{name}=={version(name)}" for name in PACKAGES]
    except PackageNotFoundError as error:
        raise ValueError(f"{error.name} is needed to pack a kit: pip install it first") from error
    platforms = [word for platform in _PLATFORMS for word in ("--platform", platform)]
    common = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", *platforms]
    for python in PYTHONS:
        options = ["--implementation", "cp", "--python-version", python, "--dest", str(folder)]
        done = subprocess.run([*common, *options, *wanted], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ValueError(f"wheels for Python {python}: pip says {done.stderr.strip().splitlines()[-1]}")


def _copy(folder: Path, *files: Path) -> None:
    folder.mkdir()
    for file in files:
        shutil.copy(file, folder)


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in (path.rglob("*") if path.is_dir() else [path]) if each.is_file())
