"""Parts of the page come and go, and leave nothing behind: no listener, no element, no timer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

COMPARISONS = 50
# A room to compare on a bare page, and a way to fill it with as many comparisons as are asked for, one after the other.
ROOM = """async () => {
    const { mount } = await import('/page/compare/compare.js');
    const server = { choices: async () => ({}), cell: async () => null };
    const room = mount({ element: document.body, server, trigger() {} });
    let run = 0;
    window.compare = (count) => {
        for (let i = 0; i < count; i += 1) {
            document.querySelector('.plan').requestSubmit();
            const axis = (title) => ({ name: title, title, labels: ['1', '2'] });
            const places = [[0, 0], [0, 1], [1, 0], [1, 1]];
            const cells = places.map(([row, column]) => ({ row, column, state: 'waiting' }));
            run += 1;
            const axes = { x: axis('Steps'), y: axis('Sampler') };
            room.receive({ kind: 'comparison', run: `${run}`, axes, cells, reference: null, over: 'done' });
        }
    };
    window.leave = () => room.destroy();
}"""
COMPOSE = """async () => {
    const { mount } = await import('/page/compose/compose.js');
    const presets = [{ name: 'Instant', race: false }, { name: '2020', race: true }];
    const host = {
        element: document.querySelector('.canvas').parentElement, trigger() {},
        server: new Proxy({}, { get: () => async () => null }),
        facts: {
            stall_ms: 6000, file_bytes: 1024, presets, turn: 'Ensemble',
            hands: { frequencies_hz: [100, 200, 400], frames_per_s: 62.5, doubts: true, forked_db: [[0, 10], [1, 0]] },
        },
    };
    window.come = () => mount(host);
    const { setTimeout: set, clearTimeout: clear } = window;
    window.timers = new Set();
    window.setTimeout = (act, ms, ...more) => {
        const timer = set(() => { window.timers.delete(timer); act(...more); }, ms);
        window.timers.add(timer);
        return timer;
    };
    window.clearTimeout = (timer) => { window.timers.delete(timer); clear(timer); };
}"""


def counted(page) -> dict[str, int]:
    """How many listeners and nodes there are in a page, of everything that has not been forgotten."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("Performance.enable")
    for _ in range(2):  # what goes first may have held others
        devtools.send("HeapProfiler.collectGarbage")
    metrics = {each["name"]: each["value"] for each in devtools.send("Performance.getMetrics")["metrics"]}
    devtools.detach()
    return {name: int(metrics[name]) for name in ("JSEventListeners", "Nodes")}


@pytest.fixture
def room(browser, server: str) -> Iterator[Any]:
    """The room to compare without the rest of the page."""
    page = browser.new_page()
    page.goto(f"{server}/page/compare/compare.html")
    page.evaluate(ROOM)
    yield page
    page.close()


def test_fifty_comparisons_leave_no_listener_behind(room) -> None:
    room.evaluate("compare(2)")
    before = counted(room)
    room.evaluate(f"compare({COMPARISONS})")
    assert counted(room) == before
    assert room.locator("[role=gridcell]").count() == 4


def test_comparisons_that_nobody_drops_are_counted(room) -> None:
    """What the test above counts with sees a listener that stays, on the player too."""
    before = counted(room)
    room.evaluate(
        """async () => {
            const { Comparison } = await import('/page/compare/comparison.js');
            const { player } = await import('/page/shared/player.js');
            const axis = { title: '', labels: ['1'] };
            window.kept = [1, 2].map(() => new Comparison(document.body, player, { x: axis, y: axis }, String));
        }"""
    )
    after = counted(room)
    assert after["JSEventListeners"] >= before["JSEventListeners"] + 4
    room.evaluate("window.kept = window.kept.forEach((each) => each.destroy())")
    assert counted(room)["JSEventListeners"] == before["JSEventListeners"]


def test_the_room_to_compare_can_be_dropped(room) -> None:
    empty = "[document.querySelectorAll('.box *').length, document.adoptedStyleSheets.length]"
    room.evaluate("compare(1)")
    before = counted(room)
    room.evaluate("leave()")
    assert room.evaluate(empty) == [0, 0]
    assert counted(room)["JSEventListeners"] < before["JSEventListeners"]


def test_the_parts_of_the_room_to_compose_come_and_go(visit) -> None:
    page = visit()
    page.evaluate(COMPOSE)

    def come_and_go() -> None:
        page.evaluate(
            """async () => {
                const before = new Set(window.timers), room = window.come();
                const names = { en: ['Reel'], fr: ['Reel'] }, lanes = [{ name: 'Instant', method: 'UniPC', steps: 8 }];
                room.receive({ kind: 'note', text: 'Here.', wrong: false });
                room.receive({ kind: 'race', race: 'a', names, seed: 1, lanes });
                await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
                room.destroy();
                window.left = [...window.timers].filter((timer) => !before.has(timer)).length;
            }"""
        )
        assert page.evaluate("window.left") == 0

    elements = "document.querySelectorAll('body *').length"
    come_and_go()
    before, there = counted(page), page.evaluate(elements)
    for _ in range(2):
        come_and_go()
    assert page.evaluate(elements) == there
    assert counted(page)["JSEventListeners"] == before["JSEventListeners"]
