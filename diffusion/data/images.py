"""Small labelled pictures: digits, emoji, and the files of MNIST and CIFAR-10.

Files are read byte by byte against their format, plain or through gzip; nothing in them is ever executed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

import numpy as np

from diffusion.files import write_text, written

MOST_BYTES = 2**30
"""No file is read that says it holds more."""
SHEET = Path(__file__).with_name("emoji.webp")
COLUMNS = 40
EMOJI_SIZE = 32
EMOJI_POINTS = 109
"""The one size in which the font holds its pictures."""
DIGIT_NAMES = tuple("0123456789")
CIFAR_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CIFAR_SHAPE = (3, 32, 32)
CIFAR_FILES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}
IDX_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


FILE_NAMES = tuple(
    f"{name}{packed}"
    for part in ("train", "test")
    for name in (*IDX_FILES[part], *(each.replace("-idx", ".idx") for each in IDX_FILES[part]), *CIFAR_FILES[part])
    for packed in ("", ".gz")
)
"""What the files of both sets are called: MNIST's with a dash or, as some have it, a dot."""


@dataclass(frozen=True)
class Pictures:
    """pixels (N, H, W, C) uint8 and classes (N,) int64, which count the `names` from 0."""

    pixels: np.ndarray
    classes: np.ndarray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or len(self.pixels) != len(self.classes) or not len(self.pixels):
            raise ValueError(
                f"pictures: got pixels {self.pixels.shape} with {len(self.classes)} classes, need one class a picture"
            )
        low, high = self.classes.min(), self.classes.max()
        if low < 0 or high >= len(self.names):
            raise ValueError(f"pictures: got classes {low} to {high}, allowed 0 to {len(self.names) - 1}")

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: np.ndarray | slice) -> Pictures:
        return Pictures(self.pixels[rows], self.classes[rows], self.names)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W), as features have it."""
        _, height, width, channels = self.pixels.shape
        return channels, height, width

    def of(self, name: str) -> Pictures:
        """Those of one class; ValueError for a name that is none."""
        if name not in self.names:
            raise ValueError(f"class: got {name!r}, allowed {', '.join(self.names)}")
        return self[self.classes == self.names.index(name)]

    def split(self, first: int) -> tuple[Pictures, Pictures]:
        """The `first` ones of a fixed shuffle, and the others; ValueError where there are no others."""
        if not 0 < first < len(self):
            raise ValueError(f"first: got {first}, allowed 1 to {len(self) - 1}")
        order = np.random.default_rng(0).permutation(len(self))
        return self[order[:first]], self[order[first:]]


def digits() -> Pictures:
    """1,797 digits of 8x8, written by 43 people (Alpaydin & Kaynak 1998; it comes with scikit-learn)."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = (found.images * (255 / 16)).round().astype(np.uint8)
    return Pictures(pixels[..., None], found.target.astype(np.int64), DIGIT_NAMES)


def emoji() -> Pictures:
    """The emoji that ship, 32x32 in colour, by Unicode group; `emoji.json` says what they were drawn from."""
    from PIL import Image

    card = json.loads(SHEET.with_suffix(".json").read_text(encoding="utf-8"))
    classes = np.repeat(np.arange(len(card["groups"])), list(card["groups"].values()))
    with Image.open(SHEET) as sheet:
        tiled = np.asarray(sheet.convert("RGB"))
    rows = tiled.reshape(-1, EMOJI_SIZE, COLUMNS, EMOJI_SIZE, 3).swapaxes(1, 2)
    pixels = rows.reshape(-1, EMOJI_SIZE, EMOJI_SIZE, 3)[: len(classes)]
    return Pictures(pixels, classes, tuple(card["groups"]))


def read(folder: Path, part: str = "train") -> Pictures:
    """MNIST (IDX) or CIFAR-10 (binary version) in a folder, whichever it holds; `part` is train or test.

    ValueError names the file, what it says and what is allowed.
    """
    if part not in IDX_FILES:
        raise ValueError(f"part: got {part!r}, allowed {', '.join(IDX_FILES)}")
    if not folder.is_dir():
        raise ValueError(f"data: got {folder}, which is no folder")
    images, labels = (_file(folder, name) for name in IDX_FILES[part])
    if images and labels:
        return read_mnist(images, labels)
    batches = [found for name in CIFAR_FILES[part] if (found := _file(folder, name))]
    if batches:
        return read_cifar10(batches)
    needed = " and ".join(IDX_FILES[part])
    raise ValueError(
        f"data: got {folder}, which has neither {needed} (MNIST) nor {CIFAR_FILES[part][0]} (CIFAR-10, binary version)"
    )


def read_mnist(images: Path, labels: Path) -> Pictures:
    """Two IDX files: pictures (N, H, W) and their digits (N,)."""
    pixels, classes = read_idx(images, 3), read_idx(labels, 1)
    if len(pixels) != len(classes):
        raise ValueError(f"{labels}: got {len(classes)} labels, need {len(pixels)}, one for each of {images.name}")
    if len(classes) and classes.max() > 9:
        raise ValueError(f"{labels}: got the label {classes.max()}, allowed 0 to 9")
    return Pictures(pixels[..., None], classes.astype(np.int64), DIGIT_NAMES)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An IDX file of unsigned bytes: 0, 0, 8, the number of dimensions, their sizes (big-endian int32), and the values.

    ValueError for another type or number of dimensions, and for fewer or more values than the sizes say.
    """
    with _opened(path) as file:
        magic, needed = _exactly(file, 4, path), bytes([0, 0, 8, dimensions])
        if magic != needed:
            raise ValueError(f"{path}: begins with {magic.hex()}, need {needed.hex()} (unsigned bytes in IDX)")
        sizes = [int(size) for size in np.frombuffer(_exactly(file, 4 * dimensions, path), ">i4")]
        if min(sizes) < 1 or math.prod(sizes) > MOST_BYTES:
            raise ValueError(f"{path}: says sizes {sizes}, allowed positive ones, {MOST_BYTES} bytes in all")
        values = np.frombuffer(_exactly(file, math.prod(sizes), path), np.uint8)
        _at_end(file, path)
    return values.reshape(sizes)


def read_cifar10(batches: Sequence[Path]) -> Pictures:
    """Batches of the binary version: a label byte, then 3072 bytes, red, green and blue of 32x32, for each picture."""
    record = 1 + math.prod(CIFAR_SHAPE)
    found = []
    for path in batches:
        with _opened(path) as file:
            raw = _read(file, MOST_BYTES, path)
            _at_end(file, path)
        if not raw or len(raw) % record:
            raise ValueError(f"{path}: got {len(raw)} bytes, need a multiple of {record}, a record a picture")
        found.append(np.frombuffer(raw, np.uint8).reshape(-1, record))
        if found[-1][:, 0].max() > 9:
            raise ValueError(f"{path}: got the label {found[-1][:, 0].max()}, allowed 0 to 9")
    records = np.concatenate(found)
    pixels = np.moveaxis(records[:, 1:].reshape(-1, *CIFAR_SHAPE), 1, -1)
    return Pictures(np.ascontiguousarray(pixels), records[:, 0].astype(np.int64), CIFAR_NAMES)


def _file(folder: Path, name: str) -> Path | None:
    """The file that is called so, as FILE_NAMES has it."""
    called = [each for each in FILE_NAMES if each.removesuffix(".gz").replace(".idx", "-idx") == name]
    return next((folder / each for each in called if (folder / each).is_file()), None)


Bytes = gzip.GzipFile | BufferedReader


def _opened(path: Path) -> Bytes:
    return gzip.GzipFile(path) if path.suffix == ".gz" else path.open("rb")


def _read(file: Bytes, most: int, path: Path) -> bytes:
    try:
        return file.read(most)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: is no whole gzip file ({error})") from error


def _exactly(file: Bytes, count: int, path: Path) -> bytes:
    found = _read(file, count, path)
    if len(found) < count:
        raise ValueError(f"{path}: ends early, {count - len(found)} of {count} bytes are missing")
    return found


def _at_end(file: Bytes, path: Path) -> None:
    if _read(file, 1, path):
        raise ValueError(f"{path}: goes on after its last value")


def draw_emoji(font: Path, table: Path) -> Pictures:
    """The emoji in Unicode's `emoji-test.txt`, each group a class, without those that differ by a skin tone alone.

    The font holds coloured pictures. What it has no single picture for is left out.
    """
    from PIL import Image, ImageDraw, ImageFont

    drawn = ImageFont.truetype(str(font), EMOJI_POINTS, layout_engine=ImageFont.Layout.RAQM)
    box = drawn.getbbox("\N{GRINNING FACE}")
    side = round(max(box[2:]))
    names: list[str] = []
    pixels, classes = [], []
    for line in table.read_text(encoding="utf-8").splitlines():
        if line.startswith("# group: "):
            names.append(line.removeprefix("# group: "))
        code_points, _, rest = line.partition(";")
        if not rest.strip().startswith("fully-qualified"):
            continue
        text = "".join(chr(int(each, 16)) for each in code_points.split())
        if any("\U0001f3fb" <= each <= "\U0001f3ff" for each in text) or drawn.getbbox(text) != box:
            continue
        picture = Image.new("RGB", (side, side), "white")
        corner = ((side - box[2]) / 2, (side - box[3]) / 2)
        ImageDraw.Draw(picture).text(corner, text, font=drawn, embedded_color=True)
        pixels.append(np.asarray(picture.resize((EMOJI_SIZE, EMOJI_SIZE), Image.Resampling.LANCZOS)))
        classes.append(len(names) - 1)
    used = sorted(set(classes))
    renamed = [used.index(each) for each in classes]
    return Pictures(np.stack(pixels), np.array(renamed, np.int64), tuple(names[each] for each in used))


def write_emoji(pictures: Pictures, card: dict[str, str]) -> None:
    """The sheet that ships and its card, which says what it was drawn from."""
    from PIL import Image

    count = -(-len(pictures) // COLUMNS) * COLUMNS
    tiles = np.full((count, EMOJI_SIZE, EMOJI_SIZE, 3), 255, np.uint8)
    tiles[: len(pictures)] = pictures.pixels
    tiled = tiles.reshape(-1, COLUMNS, EMOJI_SIZE, EMOJI_SIZE, 3).swapaxes(1, 2).reshape(-1, COLUMNS * EMOJI_SIZE, 3)
    groups = dict(zip(pictures.names, np.bincount(pictures.classes).tolist(), strict=True))
    with written(SHEET) as partial:
        Image.fromarray(tiled).save(partial, "WEBP", quality=80, method=6)
    write_text(SHEET.with_suffix(".json"), json.dumps({**card, "groups": groups}, indent=1) + "\n")


def main() -> None:
    """`python -m diffusion.data.images FONT TABLE`: draw the emoji that ship again."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("font", type=Path, help="NotoColorEmoji.ttf of Debian's fonts-noto-color-emoji")
    parser.add_argument("table", type=Path, help="emoji-test.txt of Debian's unicode-data")
    given = parser.parse_args()
    from PIL import ImageFont

    write_emoji(
        draw_emoji(given.font, given.table),
        {
            "font": str(ImageFont.truetype(str(given.font), EMOJI_POINTS).getname()[0]),
            "package": "fonts-noto-color-emoji 2.042-0+deb12u1 (Debian 12)",
            "version": "2.042;GOOG;noto-emoji:20231129:7f49a00d523ae5f94e52fd9f9a39bac9cf65f958",
            "copyright": "Copyright 2013-2022 Google Inc.",
            "licence": "SIL Open Font License 1.1",
            "groups_from": "emoji-test.txt of Unicode 15.0 (unicode-data 15.0.0-1)",
        },
    )


if __name__ == "__main__":
    main()
