"""The examples in docstrings say what happens."""

import doctest
import importlib
from pathlib import Path

import pytest

import diffusion

ROOT = Path(diffusion.__path__[0])
MODULES = [
    ".".join(["diffusion", *path.relative_to(ROOT).with_suffix("").parts])
    for path in sorted(ROOT.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), raise_on_error=False)
    assert found.attempted
    assert not found.failed


def test_there_are_some() -> None:
    assert len(MODULES) >= 3
