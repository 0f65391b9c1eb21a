"""Checkpoints from the Hugging Face Hub, the Space and its weights to it: the only file that talks to the network."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from diffusion import checkpoint
from diffusion.data.images import FILE_NAMES

ROOT = Path(__file__).resolve().parent.parent
GALLERY_FILES = tuple(f"gallery/{name}" for name in ("index.json", "README.md", "*.mp3", "*.webp"))
MODEL_FILES = (checkpoint.WEIGHTS, checkpoint.CONFIG, checkpoint.CARD, *GALLERY_FILES)
SPACE_FILES = (
    "app.py",
    "requirements.txt",
    "pyproject.toml",
    "README.md",
    "LICENSE",
    *(f"diffusion/*.{suffix}" for suffix in ("py", "md", "html", "css", "js", "json", "webp")),
    f"checkpoints/{checkpoint.REMOVED}",
    *(f"checkpoints/*/{name}" for name in (*MODEL_FILES, "*.wav", "*.json", "*.csv", "*.flac")),
)
_ID = re.compile(r"[\w.-]+/[\w.-]+")
_TIMEOUT_S = 10


def fetch(name: str) -> Path:
    """The checkpoint folder that `name` means: a folder here, or else a Hub id `owner/model` or `owner/model@revision`.

    What was fetched once is found again without a network. ValueError if it is neither, or if the Hub does not have
    it, does not let us see it or cannot be reached.
    """
    return _fetch("checkpoint", name, "model", MODEL_FILES)


def fetch_pictures(name: str) -> Path:
    """As `fetch`, the folder of a data set with the files of MNIST (IDX) or CIFAR-10 (binary version)."""
    return _fetch("data", name, "dataset", FILE_NAMES)


def _fetch(argument: str, name: str, kind: str, files: tuple[str, ...]) -> Path:
    if Path(name).exists():
        return Path(name)
    repository, _, revision = name.partition("@")
    if not _ID.fullmatch(repository):
        raise ValueError(f"{argument}: got {name!r}, no such folder; allowed a folder or a Hub id such as owner/{kind}")
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            repository,
            repo_type=kind,
            revision=revision or None,
            allow_patterns=list(files),
            etag_timeout=_TIMEOUT_S,
        )
    except (LocalEntryNotFoundError, ImportError) as error:  # the latter for a proxy that needs a package of its own
        why = f" ({error})" if isinstance(error, ImportError) else ""
        raise ValueError(
            f"{argument}: got {name!r}, no such folder here, and {constants.ENDPOINT} cannot be reached{why}"
        ) from error
    except HfHubHTTPError as error:
        raise ValueError(
            f"{argument}: got {name!r}, no such folder here, and {constants.ENDPOINT} says: {_first_line(error)}"
        ) from error
    return Path(folder)


def publish_space(repository: str, *, private: bool = False) -> str:
    """Make the Space `owner/name` hold exactly what it needs of this checkout; the address of it.

    ValueError for a name that is none, and with what the Hub says when it refuses.
    """
    return _push(repository, "space", ROOT, SPACE_FILES, private)


def publish_model(repository: str, folder: Path, *, private: bool = False) -> str:
    """Make the model `owner/name` hold the checkpoint `folder`, which is loaded first; the address of it.

    CheckpointError for a folder that does not hold a model, ValueError as `publish_space`.
    """
    checkpoint.load(folder)
    return _push(repository, "model", folder, MODEL_FILES, private)


def _push(repository: str, kind: str, folder: Path, files: tuple[str, ...], private: bool) -> str:
    if not _ID.fullmatch(repository):
        raise ValueError(f"{kind}: got {repository!r}, need owner/name")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]  # the latter is no OSError

    api = HfApi()
    try:
        address = api.create_repo(
            repository,
            repo_type=kind,
            space_sdk="gradio" if kind == "space" else None,
            private=private,
            exist_ok=True,
        )
        api.upload_folder(
            repo_id=repository,
            repo_type=kind,
            folder_path=folder,
            allow_patterns=list(files),
            ignore_patterns=[".*", "*/.*"],
            delete_patterns="*",
            commit_message="Publish",
        )
    except HfHubHTTPError as error:
        raise ValueError(f"{kind}: got {repository!r}, and the Hub says: {_first_line(error)}") from error
    except (OSError, HTTPError, ImportError) as error:
        raise ValueError(f"{kind}: got {repository!r}, but the Hub cannot be reached ({_first_line(error)})") from error
    return str(address)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--space", metavar="OWNER/NAME", help="push the page, its code and its weights to this Space")
    parser.add_argument("--model", metavar="OWNER/NAME", help="push a checkpoint to this model repository")
    parser.add_argument("--checkpoint", help="the checkpoint folder for --model (default: the one in checkpoints/)")
    parser.add_argument("--private", action="store_true", help="where a repository is made, only its owner sees it")


def run(arguments: argparse.Namespace) -> None:
    """Push what was asked for, with the token of `hf auth login` or HF_TOKEN."""
    if not (arguments.space or arguments.model):
        raise ValueError("publish: got neither --space nor --model, need at least one")
    if arguments.model:
        folder = Path(arguments.checkpoint) if arguments.checkpoint else checkpoint.find_checkpoint()
        print(publish_model(arguments.model, folder, private=arguments.private))
    if arguments.space:
        print(publish_space(arguments.space, private=arguments.private))
