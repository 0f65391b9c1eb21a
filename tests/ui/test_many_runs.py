"""Many runs one after the other: neither memory nor disk may grow with them."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import PATIENCE_S, free_port, running

EARLY, LATE = 160, 360  # runs: the page keeps what the last 64 made and the last 64 visitors had on show
RUNS_A_VISIT = 2
GROWTH_BYTES = 30 * 2**20  # over 200 runs; keeping their clips would take 60 MB, keeping their pictures more


@contextmanager
def visit(client: httpx.Client) -> Iterator[str]:
    """A session that lasts as long as its heartbeat."""
    session = uuid.uuid4().hex
    with client.stream("GET", f"gradio_api/heartbeat/{session}", timeout=None) as beat:
        beats = beat.iter_raw()  # as soon as nobody holds it the heartbeat ends
        next(beats)
        yield session


def page_event(config: dict[str, Any]) -> dict[str, Any]:
    """What a browser sends when Generate is pressed, for the shortest clip in two steps."""
    components = {each["id"]: each for each in config["components"]}
    (button,) = [key for key, each in components.items() if each["props"].get("elem_id") == "generate"]
    (event,) = [each for each in config["dependencies"] if [button, "click"] in each["targets"]]
    chosen = {"steps": 2, "duration_s": 2.56}
    inputs = [components[key]["props"] for key in event["inputs"]]
    data = [chosen.get(each.get("elem_id"), each.get("value")) for each in inputs]
    return {"fn_index": event["id"], "data": data, "event_data": None, "trigger_id": button}


def run(client: httpx.Client, event: dict[str, Any], session: str) -> int:
    """Press Generate and listen to the end, as the browser does: how many messages came."""
    client.post("gradio_api/queue/join", json={**event, "session_hash": session}).raise_for_status()
    messages, succeeded = 0, False
    with client.stream("GET", "gradio_api/queue/data", params={"session_hash": session}) as answer:
        for line in answer.iter_lines():
            if not line.startswith("data:"):
                continue
            message = json.loads(line.removeprefix("data:"))
            messages += message["msg"] == "process_generating"
            succeeded |= message["msg"] == "process_completed" and message["success"]
    assert succeeded
    return messages


def resident_bytes(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def files(*folders: Path) -> set[Path]:
    return {path for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_memory_and_disk_stay_flat(small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, temporary = tmp_path / "cache", tmp_path / "temporary"
    for name, folder in (("GRADIO_TEMP_DIR", cache), ("TMPDIR", temporary)):
        folder.mkdir()
        monkeypatch.setenv(name, str(folder))
    resident, written = {}, {}
    with (
        running(small_checkpoint, tmp_path / "log.txt", free_port()) as (address, process),
        httpx.Client(base_url=address, timeout=PATIENCE_S) as client,
    ):
        event = page_event(client.get("config").json())
        for done in range(0, LATE + 1, RUNS_A_VISIT):
            if done in (EARLY, LATE):
                resident[done], written[done] = resident_bytes(process.pid), files(cache, temporary)
            with visit(client) as session:
                for _ in range(RUNS_A_VISIT):
                    assert run(client, event, session) >= 3  # pictures and a clip
    print({runs: f"{each / 2**20:.0f} MB" for runs, each in resident.items()})
    assert written[LATE] == written[EARLY]
    assert not files(cache)
    assert resident[LATE] - resident[EARLY] < GROWTH_BYTES
