"""A run in files small enough to carry, and back again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffusion.checkpoint import CONFIG, WEIGHTS
from diffusion.training.run import LOG, STATE

MANIFEST = "pieces.json"
PIECE_BYTES = 16_000_000


def split(run: Path, out: Path, piece_bytes: int = PIECE_BYTES) -> None:
    """Replace the folder `out` by the pieces of a run: its checkpoint, log, last sheet and the state it resumes from.

    A file larger than `piece_bytes` becomes name.000, name.001 and so on; pieces.json lists every piece with its size
    and SHA-256. The folder is whole at all times, but for the instant in which it is replaced.
    """
    wanted = [run / CONFIG, run / LOG, *sorted(run.glob("sheet-*.png"))[-1:], run / WEIGHTS, run / STATE]
    partial = out.with_name(f".{out.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    manifest: dict[str, list[dict[str, Any]]] = {}
    for path in wanted:
        if not path.is_file():
            continue
        whole = path.stat().st_size <= piece_bytes
        pieces = manifest[path.name] = []
        with path.open("rb") as source:
            while (block := source.read(piece_bytes)) or not pieces:
                name = path.name if whole else f"{path.name}.{len(pieces):03d}"
                (partial / name).write_bytes(block)
                pieces.append({"name": name, "size": len(block), "sha256": hashlib.sha256(block).hexdigest()})
    (partial / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)


def join(folders: Sequence[Path], run: Path) -> list[str]:
    """Put the pieces found in any of `folders` together in the folder `run`: the names of the files written.

    Files whose pieces are all there are written, then ValueError names every piece that is missing or damaged.
    FileNotFoundError without a pieces.json; ValueError if `run` holds a state already, which may be a newer one.
    """
    if (run / STATE).exists():
        raise ValueError(f"run: {run} holds a state already; choose another folder")
    manifest = _read_manifest(folders)
    run.mkdir(parents=True, exist_ok=True)
    written: list[str] = []
    faults: list[str] = []
    for name, pieces in manifest.items():
        partial = run / f".{name}.part"
        faults_before = len(faults)
        with partial.open("wb") as target:
            for piece in pieces:
                path = next((each / piece["name"] for each in folders if (each / piece["name"]).is_file()), None)
                block = path.read_bytes() if path else b""
                if path is None:
                    faults.append(f"{piece['name']} is missing")
                elif hashlib.sha256(block).hexdigest() != piece["sha256"]:
                    faults.append(f"{path} is damaged ({len(block)} bytes of {piece['size']}, or other ones)")
                target.write(block)
        if len(faults) > faults_before:
            partial.unlink()
        else:
            partial.replace(run / name)
            written.append(name)
    if faults:
        raise ValueError(f"pieces: {'; '.join(faults)}. Written to {run}: {', '.join(written) or 'nothing'}")
    return written


def _read_manifest(folders: Sequence[Path]) -> dict[str, list[dict[str, Any]]]:
    found = [path for folder in folders if (path := folder / MANIFEST).is_file()]
    if not found:
        raise FileNotFoundError(f"no {MANIFEST} in {', '.join(map(str, folders))}")
    if len({path.read_bytes() for path in found}) > 1:
        raise ValueError(f"pieces: {' and '.join(map(str, found))} belong to different saves")
    try:
        manifest: dict[str, list[dict[str, Any]]] = json.loads(found[0].read_bytes())
        names = [*manifest, *(str(piece["name"]) for pieces in manifest.values() for piece in pieces)]
        well_formed = all({"name", "size", "sha256"} <= piece.keys() for each in manifest.values() for piece in each)
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{found[0]} is damaged ({error})") from error
    if not well_formed or any(Path(name).name != name for name in names):
        raise ValueError(f"{found[0]} is damaged: need plain file names with their size and sha256")
    return manifest
