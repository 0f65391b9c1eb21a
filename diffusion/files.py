"""Files that are written whole or not at all, and places that can be written, known before work is done."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; what is there when the block ends takes the place of `path`.

    An error, an interrupt or a full disk leaves `path` as it was. The file has the permissions of any new file.
    """
    partial = path.with_name(f".{path.name}.part")
    try:
        yield partial
        partial.chmod(0o666 & ~_umask())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """What a file holds as JSON; ValueError, with its name, if it holds none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: need JSON in UTF-8, got {error}") from error


def write_text(path: Path, text: str) -> None:
    """Write UTF-8, whole or not at all."""
    with written(path) as partial:
        partial.write_text(text, encoding="utf-8")


def check_file(name: str, path: Path, suffix: str = "") -> None:
    """ValueError unless a file can be written there, and ends in `suffix`; `name` is the argument that says where."""
    if path.is_dir():
        raise ValueError(f"{name}: got {path}, which is a folder, need a file to write")
    if suffix and path.suffix.lower() != suffix:
        raise ValueError(f"{name}: got {path}, need a name that ends in {suffix}")
    if not path.resolve().parent.is_dir():
        raise ValueError(f"{name}: got {path}, but {path.resolve().parent} is no folder")
    _check_writable(name, path, path.resolve().parent)


def check_folder(name: str, path: Path) -> None:
    """ValueError unless files can be written in that folder, which is made with all above it where it is missing."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{name}: got {path}, which cannot be made: {error.strerror}") from error
    _check_writable(name, path, path)


def _check_writable(name: str, path: Path, folder: Path) -> None:
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".out-of-noise-"):
            pass
    except OSError as error:
        raise ValueError(f"{name}: got {path}, but {folder} cannot be written: {error.strerror}") from error


def _umask() -> int:
    """The permissions that new files lack. It can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
