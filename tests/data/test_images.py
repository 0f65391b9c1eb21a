"""Small pictures, and the files of MNIST and CIFAR-10: written here in their exact formats, whole and broken."""

from __future__ import annotations

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest

from diffusion.data.images import (
    CIFAR_NAMES,
    SHEET,
    Pictures,
    digits,
    draw_emoji,
    emoji,
    read,
    read_idx,
)

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (5, 28, 28), dtype=np.uint8)
DIGITS = np.array([3, 1, 4, 1, 5], np.uint8)
COLOURED = RNG.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
CLASSES = np.array([0, 9, 3, 3], np.uint8)


def idx(values: np.ndarray) -> bytes:
    return bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}i", *values.shape) + values.tobytes()


def cifar(pixels: np.ndarray, classes: np.ndarray) -> bytes:
    planes = np.moveaxis(pixels, -1, 1).reshape(len(pixels), -1)
    return np.concatenate([classes[:, None], planes], axis=1).tobytes()


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("dash", ["-", "."])
def test_mnist_is_read_as_it_was_written(tmp_path: Path, packed: str, dash: str) -> None:
    write(tmp_path / f"train-images{dash}idx3-ubyte{packed}", idx(GREY))
    write(tmp_path / f"train-labels{dash}idx1-ubyte{packed}", idx(DIGITS))
    found = read(tmp_path)
    assert np.array_equal(found.pixels[..., 0], GREY)
    assert found.classes.tolist() == DIGITS.tolist()
    assert (found.shape, len(found.names)) == ((1, 28, 28), 10)
    with pytest.raises(ValueError, match="has neither t10k-images-idx3-ubyte"):
        read(tmp_path, "test")


@pytest.mark.parametrize("packed", ["", ".gz"])
def test_cifar10_is_read_as_it_was_written(tmp_path: Path, packed: str) -> None:
    for number in (1, 2):
        write(tmp_path / f"data_batch_{number}.bin{packed}", cifar(COLOURED, CLASSES))
    write(tmp_path / f"test_batch.bin{packed}", cifar(COLOURED[:1], CLASSES[:1]))
    found = read(tmp_path)
    assert np.array_equal(found.pixels, np.concatenate([COLOURED, COLOURED]))
    assert found.classes.tolist() == [*CLASSES, *CLASSES]
    assert found.names == CIFAR_NAMES
    assert len(read(tmp_path, "test")) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "ends early, 4 of 4 bytes are missing"),
        (b"\x80\x04\x95pickle", "begins with 80049570, need 00000803"),
        (idx(DIGITS), "begins with 00000801, need 00000803"),
        (idx(GREY)[:-1], "ends early, 1 of 3920 bytes are missing"),
        (idx(GREY) + b"\0", "goes on after its last value"),
        (bytes([0, 0, 8, 3]) + struct.pack(">3i", 2**30, 28, 28), "says sizes .1073741824, 28, 28., allowed"),
        (bytes([0, 0, 8, 3]) + struct.pack(">3i", -1, 28, 28), "says sizes"),
    ],
)
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_a_broken_idx_file_is_named(tmp_path: Path, content: bytes, words: str, packed: str) -> None:
    path = write(tmp_path / f"images{packed}", content)
    with pytest.raises(ValueError, match=f"{path.name}: {words}"):
        read_idx(path, 3)


def test_a_broken_gzip_file_is_named(tmp_path: Path) -> None:
    whole = gzip.compress(idx(GREY))
    for content in (idx(GREY), whole[:100], whole[:-9] + b"\0" * 9):
        (tmp_path / "images.gz").write_bytes(content)
        with pytest.raises(ValueError, match=r"images\.gz: (is no whole gzip file|ends early)"):
            read_idx(tmp_path / "images.gz", 3)


def test_files_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "train-images-idx3-ubyte", idx(GREY))
    labels = tmp_path / "train-labels-idx1-ubyte"
    for values, words in ((DIGITS[:4], "got 4 labels, need 5"), (DIGITS + 6, "got the label 11, allowed 0 to 9")):
        write(labels, idx(values))
        with pytest.raises(ValueError, match=words):
            read(tmp_path)
    batch = tmp_path / "cifar" / "data_batch_1.bin"
    for content, words in (
        (b"", "got 0 bytes, need a multiple of 3073"),
        (cifar(COLOURED, CLASSES)[:-1], "got 12291 bytes, need a multiple of 3073"),
        (cifar(COLOURED, CLASSES + 1), "got the label 10, allowed 0 to 9"),
    ):
        write(batch, content)
        with pytest.raises(ValueError, match=words):
            read(batch.parent)
    with pytest.raises(ValueError, match="which is no folder"):
        read(labels)
    with pytest.raises(ValueError, match="part: got 'valid', allowed train, test"):
        read(tmp_path, "valid")


def test_pictures_of_a_class_and_a_fixed_split() -> None:
    found = digits()
    assert (len(found), found.shape) == (1797, (1, 8, 8))
    assert (found.pixels.min(), found.pixels.max()) == (0, 255)
    ones = found.of("1")
    assert 0 < len(ones) < len(found)
    assert set(ones.classes.tolist()) == {1}
    first, others = found.split(1200)
    again, _ = found.split(1200)
    assert (len(first), len(others)) == (1200, 597)
    assert np.array_equal(first.pixels, again.pixels)
    assert set(first.classes.tolist()) == set(others.classes.tolist()) == set(range(10))
    with pytest.raises(ValueError, match="class: got 'x', allowed 0, 1"):
        found.of("x")
    with pytest.raises(ValueError, match="first: got 1797, allowed 1 to 1796"):
        found.split(1797)
    with pytest.raises(ValueError, match="need one class a picture"):
        Pictures(GREY[..., None], DIGITS[:2], found.names)
    with pytest.raises(ValueError, match="got classes 3 to 3, allowed 0 to 0"):
        Pictures(COLOURED[:1], CLASSES[2:3], ("one",))


def test_the_emoji_that_ship_are_coloured_and_say_where_they_come_from() -> None:
    found, card = emoji(), json.loads(SHEET.with_suffix(".json").read_text(encoding="utf-8"))
    assert found.shape == (3, 32, 32)
    assert len(found) == sum(card["groups"].values()) == 1870
    assert card["licence"] == "SIL Open Font License 1.1"
    assert SHEET.stat().st_size < 1_000_000
    faces = found.of("Smileys & Emotion").pixels[:10].mean((0, 1, 2))
    assert faces[2] < faces[0] - 40  # yellow: little blue
    spread = found.pixels.reshape(len(found), -1).std(1)
    assert (spread > 5).mean() > 0.99  # no empty tile: hardly any is of one colour


def test_emoji_are_drawn_by_group_without_skin_tones(tmp_path: Path) -> None:
    font = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
    if not font.exists():
        pytest.skip("needs the font of Debian's fonts-noto-color-emoji")
    table = tmp_path / "emoji-test.txt"
    table.write_text(
        "# group: Faces\n1F600 ; fully-qualified # grinning\n263A ; unqualified # smiling\n# group: Component\n"
        "1F3FB ; component # light\n# group: Hands\n1F44B 1F3FB ; fully-qualified # light hand\n"
        "1F44B ; fully-qualified # hand\n",
        encoding="utf-8",
    )
    found = draw_emoji(font, table)
    assert found.names == ("Faces", "Hands")
    assert found.classes.tolist() == [0, 1]
