"""Files are written whole, for everybody to read as usual, and places that cannot be written are found beforehand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from diffusion.files import check_file, check_folder, read_json, write_text, written


def test_what_fails_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_text(path, "before: Größe")

    def fail() -> None:
        with written(path) as partial:
            partial.write_text("half", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text(encoding="utf-8") == "before: Größe"
    assert [each.name for each in tmp_path.iterdir()] == ["file.txt"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_a_file_has_the_permissions_of_any_other(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        with written(tmp_path / "file") as partial:
            partial.touch(mode=0o600)  # as some writers have it
        (tmp_path / "other").touch()
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_file("out", tmp_path / "clip.wav", ".wav")
    check_folder("out", tmp_path / "new" / "folder")
    assert not list((tmp_path / "new" / "folder").iterdir())
    for path, words in (
        (tmp_path, "which is a folder, need a file"),
        (tmp_path / "clip.mp3", r"need a name that ends in \.wav"),
        (tmp_path / "nowhere" / "clip.wav", "nowhere is no folder"),
        (Path("/proc/clip.wav"), "but /proc cannot be written"),
    ):
        with pytest.raises(ValueError, match=f"out: got {path}, .*{words}"):
            check_file("out", path, ".wav")
    with pytest.raises(ValueError, match=r"out: got .*/file/below, which cannot be made"):
        check_folder("out", tmp_path / "file" / "below")
    with pytest.raises(ValueError, match="out: got /proc, but /proc cannot be written"):
        check_folder("out", Path("/proc"))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe{}", '{"é": 1}'.encode("latin-1")])
def test_what_is_no_json_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "there.json").write_bytes('{"é": 1}'.encode())
    assert read_json(tmp_path / "there.json") == {"é": 1}
    (tmp_path / "broken.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.json: need JSON in UTF-8"):
        read_json(tmp_path / "broken.json")
