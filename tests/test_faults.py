"""The table of faults names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent


def test_every_test_of_the_table_is_there() -> None:
    rows = [
        row for row in (TESTS / "README.md").read_text(encoding="utf-8").splitlines() if ".py" in row and "|" in row
    ]
    assert len(rows) > 20
    for row in rows:
        file = ""
        for path, name in re.findall(r"`([\w/]+\.py)?(?:::(\w+))?`", row):
            file = path or file
            if name:
                assert f"def {name}(" in (TESTS / file).read_text(encoding="utf-8"), f"{file}::{name}"
            elif path:
                assert (TESTS / path).is_file(), path
