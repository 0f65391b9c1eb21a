"""A model that was removed: whoever asks for it is told what became of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from serving import free_port, serving

from diffusion import checkpoint
from diffusion.audio.wav import to_bytes
from diffusion.request import Request
from diffusion.studio import open_studio

GONE = "0123456789ab"
ASKED = Request({"style": "chorale", "ensemble": "piano"}, 7, steps=2, duration_s=2.56, model=GONE)
TOLD = f"dawn ({GONE}), which was removed; noon took its place"


@pytest.fixture(scope="module")
def folder(small_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and beside it the name of one that is no more."""
    models = tmp_path_factory.mktemp("models")
    (models / checkpoint.REMOVED).write_text(
        json.dumps({GONE: {"name": "dawn", "replaced_by": "noon"}}), encoding="utf-8"
    )
    return shutil.copytree(small_checkpoint, models / "noon")


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(folder, tmp_path_factory.mktemp("removed") / "log.txt", free_port()) as address:
        yield address


def told(page, words: str) -> None:
    """Wait for an error with these words."""
    page.wait_for_selector(".canvas .message.error")
    page.wait_for_function("words => document.querySelector('.canvas .message').textContent.includes(words)", arg=words)


def give(page, name: str, content: bytes) -> None:
    kind = "audio/wav" if name.endswith(".wav") else "application/json"
    page.locator(".takes input[type=file]").set_input_files({"name": name, "mimeType": kind, "buffer": content})


def test_a_link_says_so(visit, folder: Path) -> None:
    digest = checkpoint.load(folder).digest
    page = visit("?" + ASKED.to_query())
    told(page, f"The link is for the model {TOLD}: with noon ({digest}) the same settings make another clip.")
    page = visit("?" + ASKED.changed(style="plainsong").to_query())  # a style that it alone knew
    told(page, f"The link cannot be followed. It is for the model {TOLD}. style: got 'plainsong', allowed any")


def test_files_say_so(visit) -> None:
    page = visit()
    give(page, "old.wav", to_bytes(np.zeros(32_000, np.float32), 32_000, ASKED.to_dict()))
    told(page, f"Settings restored. They are for the model {TOLD}")
    give(page, "other.json", json.dumps(ASKED.changed(style="plainsong").to_dict()).encode())
    told(page, f"other.json was not restored. It is for the model {TOLD}. style: got 'plainsong'")
    give(page, "old.json", json.dumps(ASKED.to_dict()).encode())
    told(page, f"Settings restored. They are for the model {TOLD}")


def test_programs_are_told(server: str, folder: Path) -> None:
    client = Client(server, verbose=False)
    digest = checkpoint.load(folder).digest
    for api_name in ("/generate", "/compare"):
        with pytest.raises(AppError) as error:
            client.predict(style="plainsong", model=GONE, api_name=api_name)
        assert str(error.value).startswith(f"model: got {TOLD}, and the one loaded here is {digest}")
    with pytest.raises(AppError, match=f"model: got 'ba9876543210', but the one loaded here is {digest}"):
        client.predict(model="ba9876543210", api_name="/generate")
    *_, settings = client.predict(model=digest, steps=1, duration_s=2.56, api_name="/generate")
    assert settings["model"] == digest


def test_a_request_is_refused_before_anything_else_is_said_of_it(folder: Path, small_checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="model: got dawn"):
        open_studio(folder, "cpu").request(style="plainsong", model=GONE)
    with pytest.raises(ValueError, match=f"model: got '{GONE}', but the one loaded here"):
        open_studio(small_checkpoint, "cpu").request(model=GONE)  # nothing is known of it there


def test_whoever_has_kept_the_model_may_use_it(folder: Path, tmp_path: Path) -> None:
    kept = shutil.copytree(folder, tmp_path / "kept")
    digest = checkpoint.load(kept).digest
    (tmp_path / checkpoint.REMOVED).write_text(
        json.dumps({digest: {"name": "noon", "replaced_by": "dusk"}}), encoding="utf-8"
    )
    assert open_studio(kept, "cpu").request(model=digest).model == digest


@pytest.mark.parametrize("content", ["[]", "{", '{"0123456789ab": {"name": "dawn"}}', '{"0123456789ab": "dawn"}'])
def test_a_list_that_cannot_be_read_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / checkpoint.REMOVED).write_text(content, encoding="utf-8")
    with pytest.raises(checkpoint.CheckpointError, match=r"removed\.json"):
        checkpoint.removed(tmp_path)


def test_the_list_that_ships_can_be_read() -> None:
    assert isinstance(checkpoint.removed(Path(__file__).resolve().parents[2] / "checkpoints"), dict)
