"""What the browser gets: its own files and no others, all of them there, and colours from one palette."""

from __future__ import annotations

import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from diffusion.ui.shared.assets import ROOMS, SHEETS, colours, inlined, missing, starting, style_sheets

COLOUR = re.compile(r"#(?:[0-9a-fA-F]{8}|[0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b|\b(?:rgb|hsl)a?\(")


def test_all_that_a_module_imports_is_there() -> None:
    assert missing() == []


@pytest.mark.parametrize("lost", ["shared/player.js", "stage/stage.css", "shared/french.json", "compose/deck.js"])
def test_what_is_not_there_is_named(tmp_path: Path, lost: str) -> None:
    shutil.copytree(ROOMS, tmp_path / "ui")
    (tmp_path / "ui" / lost).unlink()
    assert missing(tmp_path / "ui") == [lost]


def test_every_sheet_is_on_the_page() -> None:
    assert {f"{path.parent.name}/{path.name}" for path in ROOMS.glob("*/*.css")} == set(SHEETS)
    assert style_sheets().index("--ink-50") < style_sheets().index("var(--")


def test_colours_stand_in_the_palette_alone() -> None:
    files = [path for kind in ("css", "html", "js") for path in ROOMS.glob(f"*/*.{kind}") if path.name != "palette.css"]
    assert [path.name for path in files if COLOUR.search(path.read_text(encoding="utf-8"))] == []
    assert colours()["ink-50"] == "#f7f5f1"


def test_every_colour_that_is_used_has_a_value() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for kind in ("css", "html") for path in ROOMS.glob(f"*/*.{kind}"))
    ours = {name for name in re.findall(r"var\(--([\w-]+)[,)]", text) if not name.startswith("range")}
    gradios = {"font"}
    set_by_modules = {"progress", "position", "columns", "depth", "level"}
    assert ours - gradios - set_by_modules <= set(re.findall(r"--([\w-]+):", text))


def test_no_rule_loses_a_declaration_on_its_way() -> None:
    """Gradio writes every rule anew as the browser says it, and a shorthand with a variable is lost beside its part."""
    for path in ROOMS.glob("*/*.css"):
        for selector, rule in re.findall(r"([^{}]+)\{([^{}]*)\}", path.read_text(encoding="utf-8")):
            declarations = dict(re.findall(r"([\w-]+):\s*([^;]+)", rule))
            for name in ("font", "border", "background", "outline"):
                parts = [each for each in declarations if re.fullmatch(rf"{name}-(?!radius|offset)[\w-]+", each)]
                assert not (parts and "var(" in declarations.get(name, "")), (selector, parts)


def test_modules_become_one_script() -> None:
    script = inlined("shared/dom.js", "shared/part.js")
    assert "function make(" in script
    assert "class Part" in script
    assert not re.search(r"^(?:import|export)\b", script, re.M)


def test_a_fact_is_no_event() -> None:
    start = starting("compose/compose.js", ["leave"], {"value": ["load"], "text": "@module"})
    assert '"leave"' in start
    assert '"load"' not in start
    assert start.count("compose/compose.js") == 1


def test_the_server_gives_out_browser_files_alone(server: str) -> None:
    def status(path: str) -> int:
        try:
            with urllib.request.urlopen(f"{server}/page/{path}") as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    for path in ("shared/player.js", "shared/palette.css", "compose/canvas.html", "shared/french.json"):
        assert status(path) == 200, path
    for path in (
        "shared/assets.py",
        "page.py",
        "shared/",
        "..%2f..%2fpyproject.toml",
        "..%2f..%2fapp.py",
        "nothing.js",
    ):
        assert status(path) == 404, path
