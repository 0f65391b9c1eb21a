"""The page as a set of tools, listed and called by a real MCP client."""

from __future__ import annotations

import ast
import asyncio
import io
import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import soundfile
from mcp import ClientSession, types
from mcp.client.streamable_http import streamable_http_client

from diffusion.request import Request
from diffusion.studio import Studio


def ask(server: str, tool: str = "", arguments: dict[str, Any] | None = None) -> Any:
    """The tools by name, or with `tool` its answer."""

    async def talk() -> Any:
        async with (
            streamable_http_client(f"{server}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            if tool:
                return await session.call_tool(tool, arguments or {})
            return {each.name: each for each in (await session.list_tools()).tools}

    with ThreadPoolExecutor(1) as thread:  # Playwright's event loop may be running in this one
        return thread.submit(lambda: asyncio.run(talk())).result()


@pytest.fixture(scope="module")
def tools(server: str) -> dict[str, types.Tool]:
    return ask(server)


def test_the_tools_are_the_endpoints_and_say_what_they_do(tools: dict[str, types.Tool]) -> None:
    assert set(tools) == {"generate", "options", "compare"}
    for endpoint, words in {"generate": "WAV", "options": "range", "compare": "comparison"}.items():
        tool = tools[endpoint]
        assert words in (tool.description or "")
        for name, schema in tool.inputSchema["properties"].items():
            assert schema.get("description"), f"{endpoint}: {name} is not explained"


def test_a_tool_composes_a_clip(server: str, studio: Studio) -> None:
    options = ask(server, "options")
    assert not options.isError
    assert studio.digest in options.content[0].text
    answer = ask(server, "generate", {"seed": "Ada", "steps": 2, "duration_s": 2.56})
    assert not answer.isError
    file, settings = ast.literal_eval(answer.content[0].text)
    with urllib.request.urlopen(file["url"]) as response:
        sound = soundfile.SoundFile(io.BytesIO(response.read()))
    assert sound.frames == int(2.56 * sound.samplerate)
    assert Request.from_dict(json.loads(sound.comment)) == studio.request(seed="Ada", steps=2, duration_s=2.56)
    assert settings["seed"] == json.loads(sound.comment)["seed"]


def test_a_wrong_argument_is_answered_in_words(server: str) -> None:
    answer = ask(server, "generate", {"style": "jazz"})
    assert answer.isError
    assert "style: got 'jazz', allowed any" in answer.content[0].text
