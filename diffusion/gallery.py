"""A gallery: a clip of every style by every ensemble, chosen by the seed alone, as small files that need no model."""

from __future__ import annotations

import argparse
import io
import json
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from diffusion.checkpoint import find_checkpoint
from diffusion.codecs import BELIEF, Codec
from diffusion.engine import Clip
from diffusion.files import check_folder, write_text
from diffusion.request import Request
from diffusion.settings import titled
from diffusion.studio import Studio, open_studio

FOLDER = "gallery"  # inside a checkpoint
INDEX, CARD = "index.json", "README.md"
SEED = 1
# MP3 because every browser decodes it (Safari reads Ogg only since 18.4), and because LAME's header keeps the length to
# the sample, so that a clip loops. At the middle of its variable bit rates ten seconds take 75 kB.
MP3 = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "VARIABLE", "compression_level": 0.5}
PICTURE_QUALITY = 80  # about 10 kB; the page's own JPEG takes 27
THUMB_PX = (112, 40)
CARD_TEXT = """# Seed {seed}, by {name}

One clip of every style on every ensemble, {count} in all. Each was made once, with seed {seed}: none was picked by ear.
Settings: {sampler} in {steps} steps, guidance {guidance_scale:g}, {duration_s:g} seconds, decoded by {decoder}.

Click a picture to hear its clip (MP3; {megabytes:.1f} MB in all, with the pictures). [index.json](index.json) has all
settings. `python -m diffusion gallery` makes the clips again with the model `{model}`.

{table}
"""
_FILE = re.compile(r"[\w-]+\.(mp3|webp)")


def make(studio: Studio, folder: Path, seed: int = SEED) -> Iterator[dict[str, Any]]:
    """Write the gallery of the studio's model into `folder`, and give the entry of each clip as it is there.

    Every clip is what `Studio.generate` makes of `seed` at the default settings; what an earlier call has written is
    kept. The index is complete after every clip, the card comes last. ValueError if the folder holds the gallery of
    another model or seed, or if two labels make the same file name.
    """
    requests = _asked(studio, seed)
    names = [_file_name(each) for each in requests]
    if len(set(names)) < len(names):
        raise ValueError(f"labels: got {', '.join(names)}, need names that differ in letters or digits")
    index = {
        "model": {"name": studio.name, "digest": studio.digest},
        "seed": requests[0].seed,
        "styles": list(studio.labels["style"]),
        "ensembles": list(studio.labels["ensemble"]),
        "sample_rate_hz": studio.mel.sample_rate_hz,
    }
    found = read(folder)
    for name in ("model", "seed"):
        if found and found[name] != index[name]:
            theirs, ours = _named(found[name]), _named(index[name])
            raise ValueError(
                f"out: got {folder}, which holds the gallery of {name} {theirs}, not {ours}: remove it or name another"
            )
    clips = {each["audio"]: each for each in found["clips"] if _whole(folder, each)} if found else {}
    folder.mkdir(parents=True, exist_ok=True)
    for request, name in zip(requests, names, strict=True):
        kept = clips.get(f"{name}.mp3")
        if kept is None or Request.from_dict(kept["settings"]) != request:
            clip = next(each for each in studio.generate(request) if isinstance(each, Clip))
            clips[f"{name}.mp3"] = _write(clip, studio, folder, name)
            there = [clips[f"{each}.mp3"] for each in names if f"{each}.mp3" in clips]
            write_text(folder / INDEX, json.dumps({**index, "clips": there}, indent=1))
        yield clips[f"{name}.mp3"]
    write_text(folder / CARD, card({**index, "clips": [clips[f"{each}.mp3"] for each in names]}))


def read(folder: Path) -> dict[str, Any] | None:
    """The index in `folder`, None if there is none; ValueError for one that `make` has not written."""
    try:
        index: dict[str, Any] = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise ValueError(f"gallery: got {folder / INDEX}, which is no JSON: {error}") from error
    try:
        model, _, _, _ = (index[name] for name in ("model", "seed", "styles", "ensembles"))
        files = [each[name] for each in index["clips"] for name in ("audio", "picture")]
        requests = [Request.from_dict(each["settings"]) for each in index["clips"]]
        whole = all(map(_FILE.fullmatch, files)) and all(each.model == model["digest"] for each in requests)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"gallery: got {folder / INDEX}, which is no index of a gallery: {error!r}") from error
    if not whole:
        raise ValueError(f"gallery: got {folder / INDEX}, need clips of its own model in files beside it")
    return index


def card(index: dict[str, Any]) -> str:
    """The gallery as Markdown: a table of pictures that lead to the sounds."""
    settings = index["clips"][0]["settings"]
    clips = {(each["settings"]["style"], each["settings"]["ensemble"]): each for each in index["clips"]}
    rows = [["", *map(titled, index["styles"])], ["---"] * (1 + len(index["styles"]))]
    for ensemble in index["ensembles"]:
        rows.append([f"**{titled(ensemble)}**", *(_link(clips[style, ensemble]) for style in index["styles"])])
    return CARD_TEXT.format(
        **settings,
        name=index["model"]["name"],
        count=len(clips),
        megabytes=sum(each["audio_bytes"] + each["picture_bytes"] for each in index["clips"]) / 1e6,
        table="\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows),
    )


def _asked(studio: Studio, seed: int) -> list[Request]:
    """What the gallery of a model has; ValueError for a model that makes no music of styles and ensembles."""
    lacking = [name for name in ("style", "ensemble") if name not in studio.labels]
    if lacking:
        raise ValueError(f"checkpoint: got {studio.name} without the label {lacking[0]}, which a gallery needs")
    return [
        studio.request(style=style, ensemble=ensemble, seed=seed)
        for style in studio.labels["style"]
        for ensemble in studio.labels["ensemble"]
    ]


def _write(clip: Clip, studio: Studio, folder: Path, name: str) -> dict[str, Any]:
    """Write a clip's sound and picture, and give its entry in the index."""
    sound, picture = _mp3(clip), _webp(clip, studio.codec)
    (folder / f"{name}.mp3").write_bytes(sound)
    (folder / f"{name}.webp").write_bytes(picture)
    return {
        "title": f"{titled(clip.settings['style'])}, {titled(clip.settings['ensemble']).lower()}",
        "audio": f"{name}.mp3",
        "audio_bytes": len(sound),
        "picture": f"{name}.webp",
        "picture_bytes": len(picture),
        "seconds": round(clip.seconds, 2),
        "query": clip.request.to_query(),
        "settings": clip.settings,
    }


def _mp3(clip: Clip) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", samplerate=clip.sample_rate_hz, channels=1, **MP3) as file:
        file.write(clip.wave)
    return buffer.getvalue()


def _webp(clip: Clip, codec: Codec) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(codec.picture(clip.features, codec.limits(*BELIEF))).save(
        buffer, "WEBP", quality=PICTURE_QUALITY, method=6
    )
    return buffer.getvalue()


def _whole(folder: Path, clip: dict[str, Any]) -> bool:
    """Whether both files of a clip are there as they were written."""
    files = ((folder / clip[kind], clip[f"{kind}_bytes"]) for kind in ("audio", "picture"))
    return all(path.is_file() and path.stat().st_size == size for path, size in files)


def _file_name(request: Request) -> str:
    return "-".join(re.sub(r"\W+", "_", value) for value in (request.label("style"), request.label("ensemble")))


def _named(value: Any) -> str:
    return f"{value['name']} ({value['digest']})" if isinstance(value, dict) else str(value)


def _link(clip: dict[str, Any]) -> str:
    width, height = THUMB_PX
    picture = f'<img src="{quote(clip["picture"])}" alt="{escape(clip["title"])}" width="{width}" height="{height}">'
    return f'<a href="{quote(clip["audio"])}">{picture}</a>'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--checkpoint", type=Path, help="checkpoint folder (default: the one in checkpoints/)")
    parser.add_argument("--out", type=Path, help=f"folder to write (default: {FOLDER} in the checkpoint's)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"the seed of every clip (default: {SEED})")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")


def run(args: argparse.Namespace) -> None:
    """Make what is missing of the gallery, with a progress bar on standard error."""
    from tqdm import tqdm

    checkpoint = args.checkpoint or find_checkpoint()
    folder = args.out or checkpoint / FOLDER
    check_folder("out", folder)
    studio = open_studio(checkpoint, args.device)
    total = len(_asked(studio, args.seed))
    sizes = 0
    with tqdm(make(studio, folder, args.seed), total=total, unit="clip") as clips:
        for each in clips:
            clips.set_description(each["title"])
            sizes += each["audio_bytes"] + each["picture_bytes"]
    print(f"{folder}: {total} clips, {sizes / 1e6:.1f} MB")
