"""The examples in docstrings say what happens."""

import doctest
import importlib
import pkgutil

import pytest

import diffusion

PACKAGES = ("theory", "samplers", "denoisers", "objectives")
MODULES = [
    module.name
    for package in PACKAGES
    for module in pkgutil.walk_packages([f"{diffusion.__path__[0]}/{package}"], f"diffusion.{package}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name), raise_on_error=False).failed == 0


def test_there_are_some() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 3
