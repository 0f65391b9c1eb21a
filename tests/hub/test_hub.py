"""Publishing to, and fetching from, a Hub on this machine; each command in a process of its own, as people run it."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
import time
import urllib.request
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from stand_in import TOKEN, Hub, serve

from diffusion import checkpoint
from diffusion.cli import main

ROOT = Path(__file__).resolve().parents[2]
FETCH = "import sys; from diffusion.hub import fetch; print(fetch(sys.argv[1]))"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[Hub, str]]:
    with serve(tmp_path / "hub") as running:
        yield running


def run(address: str, cache: Path, *arguments: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "HF_ENDPOINT": address,
        "HF_HOME": str(cache),
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def publish(hub: tuple[Hub, str], cache: Path, *arguments: str, token: str = TOKEN):
    return run(hub[1], cache, "-m", "diffusion", "publish", *arguments, token=token)


def test_a_published_model_is_fetched_whole_and_kept(
    hub: tuple[Hub, str], small_checkpoint: Path, tmp_path: Path
) -> None:
    done = publish(hub, tmp_path, "--model", "someone/tune", "--checkpoint", str(small_checkpoint))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{hub[1]}/someone/tune"
    held = set(hub[0].files("model", "someone/tune"))
    assert {"model.safetensors", "config.json"} <= held <= {"model.safetensors", "config.json", "README.md"}
    for name in ("someone/tune", f"someone/tune@{hub[0].commit('model', 'someone/tune')}"):
        fetched = run(hub[1], tmp_path, "-c", FETCH, name)
        assert fetched.returncode == 0, fetched.stderr
        assert checkpoint.load(Path(fetched.stdout.strip())).digest == checkpoint.load(small_checkpoint).digest
    later = run("http://127.0.0.1:9", tmp_path, "-c", FETCH, "someone/tune")  # nobody listens there
    assert later.returncode == 0, later.stderr
    assert later.stdout == fetched.stdout


def test_a_space_holds_what_it_needs_and_nothing_else(hub: tuple[Hub, str], tmp_path: Path) -> None:
    stale = hub[0].folder("space", "someone/out-of-noise") / "diffusion" / "removed.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("", encoding="utf-8")
    done = publish(hub, tmp_path, "--space", "someone/out-of-noise")
    assert done.returncode == 0, done.stderr
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    needed = {
        name
        for name in tracked
        if name.startswith(("diffusion/", "checkpoints/"))
        or name in ("app.py", "requirements.txt", "pyproject.toml", "README.md", "LICENSE")
    }
    held = set(hub[0].files("space", "someone/out-of-noise"))
    assert needed <= held
    assert not {name for name in held - needed if name in tracked or "__pycache__" in name}
    for name in needed:
        assert (hub[0].folder("space", "someone/out-of-noise") / name).read_bytes() == (ROOT / name).read_bytes()
    assert not stale.exists()


def test_what_is_not_there_is_named(hub: tuple[Hub, str], tmp_path: Path) -> None:
    for name, words in {
        "nobody/nothing": "no such folder here, and",
        "not a model": "no such folder; allowed a folder or a Hub id",
    }.items():
        fetched = run(hub[1], tmp_path, "-c", FETCH, name)
        assert fetched.returncode == 1
        assert f"checkpoint: got {name!r}" in fetched.stderr
        assert words in fetched.stderr
    away = run("http://127.0.0.1:9", tmp_path, "-c", FETCH, "someone/tune")
    assert "http://127.0.0.1:9 cannot be reached" in away.stderr


def test_a_refusal_is_passed_on_and_nothing_is_half_done(
    hub: tuple[Hub, str], small_checkpoint: Path, tmp_path: Path
) -> None:
    refused = publish(hub, tmp_path, "--space", "someone/out-of-noise", token="hf_wrong")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: space: got 'someone/out-of-noise', and the Hub says: ")
    assert "Invalid username or password" in refused.stderr
    assert not hub[0].folder("space", "someone/out-of-noise").exists()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{}", encoding="utf-8")
    broken = publish(hub, tmp_path, "--model", "someone/tune", "--checkpoint", str(tmp_path / "broken"))
    assert broken.returncode == 1
    assert "no file model.safetensors" in broken.stderr
    assert not hub[0].folder("model", "someone/tune").exists()


@pytest.mark.parametrize("proxy", ["", "http://127.0.0.1:9", "socks5://127.0.0.1:9"], ids=["none", "http", "socks"])
def test_without_a_network_it_is_one_line(
    proxy: str, small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    hub = "http://music.invalid:9", tmp_path
    asked = ("-m", "diffusion", "publish")
    for words in (("--space", "a/b"), ("--model", "a/b", "--checkpoint", str(small_checkpoint))):
        done = run(*hub, *asked, *words)
        assert done.returncode == 1
        assert done.stderr.startswith(f"error: {words[0][2:]}: got 'a/b', but the Hub cannot be reached (")
        assert len(done.stderr.splitlines()) == 1
    fetched = run(*hub, "app.py", "--checkpoint", "someone/tune")
    assert fetched.returncode == 1
    assert fetched.stderr.startswith("error: checkpoint: got 'someone/tune', no such folder here, and ")
    assert len(fetched.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [(), ("--space", "no owner"), ("--space", "../../x")], ids=str)
def test_what_names_no_repository_is_refused_before_anything_is_sent(arguments: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit, match=r"^error: (publish|space): got "):
        main(["publish", *arguments])


def needed(requirements: Path) -> Iterator[Distribution]:
    """What a file of requirements needs, as it is installed here, with all that these need in turn."""
    wanted, seen = [Requirement(line) for line in requirements.read_text(encoding="utf-8").split()], set()
    while wanted:
        each = wanted.pop()
        if (each.name, frozenset(each.extras)) in seen:
            continue
        seen.add((each.name, frozenset(each.extras)))
        found = distribution(each.name)
        assert each.specifier.contains(found.version, prereleases=True), each
        yield found
        for below in map(Requirement, found.requires or ()):
            if below.marker is None or any(below.marker.evaluate({"extra": extra}) for extra in (each.extras or {""})):
                wanted.append(below)


def environment_with(requirements: Path, folder: Path) -> Path:
    """The Python of a new virtual environment in which there is what `requirements` need and nothing else."""
    venv.create(folder)
    (site,) = folder.glob("lib/*/site-packages")
    for each in needed(requirements):
        for name in {file.parts[0] for file in each.files or ()} - {"..", "__pycache__"}:
            if not (site / name).exists():
                (site / name).symlink_to(each.locate_file(name))
    return folder / "bin" / "python"


@pytest.mark.slow
def test_the_uploaded_folder_starts_on_its_own(hub: tuple[Hub, str], tmp_path: Path) -> None:
    """In a virtual environment that holds what requirements.txt says and nothing else."""
    from gradio_client import Client

    assert publish(hub, tmp_path, "--space", "someone/out-of-noise").returncode == 0
    folder = hub[0].folder("space", "someone/out-of-noise")
    python = environment_with(folder / "requirements.txt", tmp_path / "venv")
    absent = subprocess.run([python, "-c", "import pytest"], capture_output=True, text=True)
    assert "No module named 'pytest'" in absent.stderr
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    address = f"http://127.0.0.1:{port}"
    with (tmp_path / "log.txt").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(
            [python, "app.py", "--port", str(port)], cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            for _ in range(600):
                assert server.poll() is None, (tmp_path / "log.txt").read_text(encoding="utf-8")
                try:
                    urllib.request.urlopen(address, timeout=5).close()
                    break
                except OSError:
                    time.sleep(0.1)
            *_, path, settings = Client(address, verbose=False).predict(
                seed=7, steps=2, duration_s=2.56, api_name="/generate"
            )
        finally:
            server.terminate()
            server.wait()
    assert settings["seed"] == 7
    assert Path(path).stat().st_size > 100_000


def test_pictures_are_fetched_by_their_files_alone(hub: tuple[Hub, str], tmp_path: Path) -> None:
    folder = hub[0].folder("dataset", "someone/digits")
    folder.mkdir(parents=True)
    pixels, classes = bytes(range(4)), bytes([1])
    (folder / "train-images-idx3-ubyte").write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2]) + pixels)
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 1]) + classes))
    (folder / "model.pkl").write_bytes(b"not ours")
    words = "from diffusion.hub import fetch_pictures; from diffusion.data.images import read"
    fetched = run(
        hub[1], tmp_path, "-c", f"{words}; f = fetch_pictures('someone/digits'); print(f, read(f).pixels.sum())"
    )
    assert fetched.returncode == 0, fetched.stderr
    where, total = fetched.stdout.split()
    assert int(total) == sum(pixels)
    assert {each.name for each in Path(where).iterdir()} == {"train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"}
    missing = run(hub[1], tmp_path, "-c", f"{words}; fetch_pictures('nobody/nothing')")
    assert "data: got 'nobody/nothing', no such folder here, and" in missing.stderr
