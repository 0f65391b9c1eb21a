"""All that passes between the server and the browser: messages, events with their payloads, server functions.

Each room is a gr.HTML component. A message is its value, and `kind` says which one; an event comes with a payload,
which `read` reads; a server function takes one JSON value and answers with another. Nobody else builds a message.

Canvas
    messages   FrameMessage, ClipMessage, NoteMessage, VisitorMessage, ErrorMessage, RaceMessage, EditCostMessage
    events     CANVAS_EVENTS
    functions  whereabouts(visitor) -> Whereabouts
               race_news({race, after}) -> RaceNews or null, as soon as there is any
               race_halt({race}) -> null
               qr({page, query}) -> Link (shared/reach.py)
               phone({page, handout}) -> PhoneLink, null where no other device can reach the page
               belief({run, step}) -> Heard or null
               doubt({visitor, source}) -> Doubt or null
Presets
    messages   the name of the preset that the rail agrees with, or null
    events     PRESETS_EVENTS
Compare
    messages   ComparisonMessage, CostMessage, ErrorMessage
    events     COMPARE_EVENTS
    functions  choices(null) -> {name of an axis: Axis}
               cell({run, row, column}) -> Media or null
               report({run, language}), table({run, language}) -> the text of a file, or null
Lab
    messages   LabBegun, LabFrames, LabOver, ErrorMessage
    events     LAB_EVENTS
    functions  experiments(null) -> [LabExperiment]
               bring({experiment, kind, file}) -> LabBrought

Gradio sends no value that equals the one before, so messages that may come twice have an `id`. Sound is base64, a
picture a data URI. A server function answers null where what is asked for is not kept any more, or never was.
"""

from __future__ import annotations

import base64
import io
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from textwrap import shorten
from typing import Any, Literal, NotRequired, TypedDict, TypeVar, cast

import gradio as gr
import numpy as np
import soundfile
import torch

from diffusion.audio.loudness import loudness_db
from diffusion.request import Request
from diffusion.samplers import SAMPLERS
from diffusion.ui.shared import naming
from diffusion.ui.shared.words import sentence

NOTE_CHARACTERS = 300
FAILED = "The model failed; its log says why. Try again."
Payload = TypeVar("Payload")


# The canvas: messages.


class Asked(TypedDict):
    """What a presenter's key has asked for, in words."""

    names: naming.Names


class Marks(TypedDict):
    """What messages of a run say beside what they are: the `ask` of the stage that they answer and what that `asked`
    for, that they are of the `welcome`, or the run of the clip that was edited, their `parent`."""

    ask: NotRequired[str]
    asked: NotRequired[Asked]
    welcome: NotRequired[bool]
    parent: NotRequired[str]


class Frame(TypedDict):
    """One step of a run as the canvas shows it: pictures of the `noise` and of the `belief`, None before the first."""

    seed: int
    duration_s: float
    index: int
    total: int
    t: float
    log_snr: float
    evaluations: int
    seconds: float
    noise: str
    belief: str | None


class FrameMessage(Frame, Marks):
    """A step of a run that goes on."""

    kind: Literal["frame"]
    run: str


class SourceName(TypedDict):
    """How an edit names a source: its digest, and how long it is."""

    source: str
    source_s: float


class ClipMessage(Marks):
    """A finished clip. `method` is the sampler's title, `name` that of its file, `query` that of its link, and `edited`
    what its edits have done, in words.

    `handout` is its id on the pages for phones, and `source` its name for edits that begin from it.
    """

    kind: Literal["clip"]
    run: str
    settings: dict[str, Any]
    names: naming.Names
    title: naming.Title
    seconds: float
    film: list[Frame]
    picture: str
    audio: str
    loudness_db: float | None
    method: str
    name: str
    query: str
    edited: naming.Names
    handout: NotRequired[str]
    source: NotRequired[SourceName]


class NoteMessage(TypedDict):
    """A sentence to read; `wrong` if something is. Where it is the first message it brings the `visitor` along."""

    kind: Literal["note"]
    text: str
    wrong: bool
    id: str
    visitor: NotRequired[str]


class VisitorMessage(TypedDict):
    """What the server calls this page, to be asked about its run."""

    kind: Literal["visitor"]
    visitor: str


class ErrorMessage(TypedDict):
    """What went wrong, in a sentence; `of` says with which event, in the room to compare."""

    kind: Literal["error"]
    text: str
    id: str
    of: NotRequired[Literal["compare", "cost"]]


class Lane(TypedDict):
    """One side of a race: its preset, the sampler's title and the steps."""

    name: str
    method: str
    steps: int


class RaceMessage(TypedDict):
    """A race has begun, or a recording of it is there."""

    kind: Literal["race"]
    race: str
    id: str
    recorded: bool
    names: naming.Names
    seed: int
    lanes: list[Lane]


class EditCostMessage(TypedDict):
    """How many evaluations the edit that was asked about as `ask` would take, or what is `wrong` with it."""

    kind: Literal["edit_cost"]
    ask: str
    evaluations: int | None
    wrong: str | None


RunMessage = FrameMessage | ClipMessage | NoteMessage | ErrorMessage
CanvasMessage = RunMessage | VisitorMessage | RaceMessage | EditCostMessage


def frame(run: str, picture: Mapping[str, Any]) -> FrameMessage:
    """A frame of a film as a message of its run."""
    return cast(FrameMessage, {"kind": "frame", "run": run, **picture})


def clip(
    run: str,
    settings: dict[str, Any],
    seconds: float,
    film: Sequence[Mapping[str, Any]],
    picture: str,
    wav: bytes,
    sound: tuple[np.ndarray, int] | None = None,
) -> ClipMessage:
    """A finished clip. `sound` is what `wav` holds, (N,), and its rate in Hz, if at hand."""
    return {
        "kind": "clip",
        "run": run,
        "settings": settings,
        "names": naming.names(settings),
        "title": naming.title(settings),
        "edited": naming.edited(settings),
        "seconds": round(seconds, 2),
        "film": cast(list[Frame], list(film)),
        "picture": picture,
        "audio": encoded(wav),
        "loudness_db": _loudness_db(*(sound or soundfile.read(io.BytesIO(wav)))),
        "method": SAMPLERS[settings["sampler"]].title,
        "name": naming.file_name(settings),
        "query": Request.from_dict(settings).to_query(),
    }


def note(text: str, wrong: bool = False) -> NoteMessage:
    """A sentence; what visitors sent may be in it, so it has an end."""
    return {"kind": "note", "text": shorten(text, NOTE_CHARACTERS, placeholder=" …"), "wrong": wrong, "id": _new()}


def answering(ask: str, request: Request, said: Iterator[RunMessage]) -> Iterator[RunMessage]:
    """The messages of a run that a presenter's key has asked for."""
    asked: Asked = {"names": naming.names(request.to_dict())}
    for message in said:
        if message["kind"] in ("frame", "clip"):
            message["ask"], message["asked"] = ask, asked
        yield message


def descending(parent: str, said: Iterator[RunMessage]) -> Iterator[RunMessage]:
    """The messages of a run that edits the clip of the run `parent`."""
    for message in said:
        if message["kind"] in ("frame", "clip"):
            message["parent"] = parent
        yield message


def edit_cost(ask: str, evaluations: int | None = None, wrong: object = None) -> EditCostMessage:
    """What an edit would take, or what is wrong with it."""
    return {
        "kind": "edit_cost",
        "ask": ask,
        "evaluations": evaluations,
        "wrong": None if wrong is None else sentence(wrong),
    }


def visitor(session: str) -> VisitorMessage:
    return {"kind": "visitor", "visitor": session}


def error(text: object) -> ErrorMessage:
    """An error, or what it says."""
    return {"kind": "error", "text": sentence(text), "id": _new()}


def race(name: str, recorded: bool, request: Request, lanes: list[Lane]) -> RaceMessage:
    return {
        "kind": "race",
        "race": name,
        "id": _new(),  # the same race may be asked for twice
        "recorded": recorded,
        "names": naming.names(request.to_dict()),
        "seed": request.seed,
        "lanes": lanes,
    }


# The canvas: events.


@dataclass(frozen=True)
class Restore:
    """Settings come back, from what a visitor calls `name`; with `vary` for a clip like it and not for the same."""

    settings: Any = None
    name: str = ""
    vary: bool = False


@dataclass(frozen=True)
class Switch:
    """Another label was chosen while the seed was locked; `seed` is that of the clip on show."""

    seed: int | None = None


@dataclass(frozen=True)
class Stage:
    """A presenter's key: the clip of the `settings` in another way. The answers carry `ask`.

    With a `preset`; with a `turn` of so many values of a label, the seed held, and otherwise with another seed.
    """

    ask: str = ""
    preset: str | None = None
    settings: Any = None
    turn: Any = 0


@dataclass(frozen=True)
class Edit:
    """A hand on the music: the clip of the `settings`, with these `edits` by name and with `changes` to the settings.

    With `rail` the settings of the rail are changes too, but for the seed and the length. `source` is how the clip
    is named, a SourceName, where its message said so, and `run` its run; `ask` names a question about the cost.
    """

    settings: Any = None
    edits: Any = None
    changes: Any = None
    rail: bool = False
    source: Any = None
    run: str = ""
    ask: str = ""


@dataclass(frozen=True)
class Nothing:
    """An event that says all by itself."""


@dataclass(frozen=True)
class Remembered:
    """What the rail had before the page was loaded again; `heard` if the clip of that seed was on."""

    seed: str = ""
    locked: bool = False
    heard: bool = False


CANVAS_EVENTS: dict[str, type] = {
    "restore": Restore,
    "switch": Switch,
    "stage": Stage,
    "edit": Edit,
    "cost": Edit,  # of an edit, before it is asked for
    "race": Nothing,  # the stage asks for a race
    "raced": Nothing,  # a race is over or given up
    "leave": Nothing,  # the visitor has left the queue
}


# The canvas: server functions and facts.


class Whereabouts(TypedDict):
    """Where a visitor's run is: its `place` in the queue from 1, or under way; and whether no more may wait."""

    place: int | None
    running: bool
    full: bool


class RaceStep(TypedDict):
    """A step of a race, `at` seconds after its beginning; not every one has a picture."""

    lane: int
    at: float
    index: int
    total: int
    evaluations: int
    picture: str | None


class Media(TypedDict):
    """A clip to look at and to hear: its picture and its WAV file."""

    picture: str
    audio: str


class RacedClip(Media):
    """What a lane of a race has led to."""

    settings: dict[str, Any]


class RaceEnd(TypedDict):
    """The end of a lane."""

    lane: int
    at: float
    clip: RacedClip


class RaceNews(TypedDict):
    """The messages of a race from the number asked for on; `over` if none come after them."""

    messages: list[RaceStep | RaceEnd]
    begun: bool
    failed: bool
    over: bool


class PhoneLink(TypedDict):
    """The address of a clip's page and its code, an SVG; empty for a clip that is not kept."""

    url: str
    svg: str


class Heard(TypedDict):
    """What a step sounds like, a FLAC file, and how many seconds it takes to become the next."""

    audio: str
    seconds: float


class Doubt(TypedDict):
    """The standard deviation that the model gave each bin of a clip: `values`, bytes (bands, frames) in base64, of
    which 255 is `most_db`."""

    bands: int
    frames: int
    values: str
    most_db: float


class HandsFacts(TypedDict):
    """What the hands know of the model: the middle of each band of a picture, the lowest first, the frames a second,
    whether it knows its doubt, and how far forks are from their parents, [share of the steps, dB] each."""

    frequencies_hz: list[float]
    frames_per_s: float
    doubts: bool
    forked_db: list[tuple[float, float]]


class PresetFact(TypedDict):
    """A preset as its button says it: the sampler's title and the steps; or whether it starts a race."""

    name: str
    steps: int
    method: str
    race: bool


class CanvasFacts(TypedDict):
    """What the canvas knows from the start: after how long a run has stalled, the longest file that is read, the rate
    of the clips, the presets in the order of their buttons, the title of the label that the stage turns, None
    without one, and what the hands know."""

    stall_ms: int
    file_bytes: int
    sample_rate_hz: int
    presets: list[PresetFact]
    turn: str | None
    hands: HandsFacts


# The presets.


@dataclass(frozen=True)
class Chosen:
    """The button of a preset was pressed."""

    preset: str = ""


PRESETS_EVENTS: dict[str, type] = {"choose": Chosen, "race": Chosen}


# The room to compare.


class AxisLabels(TypedDict):
    """An axis of a comparison: the setting, its title, and what stands at the columns or rows."""

    name: str
    title: str
    labels: list[str]


class Axes(TypedDict):
    """The columns, x, and the rows, y."""

    x: AxisLabels
    y: AxisLabels


class CellState(TypedDict):
    """A cell as it is now: its `progress` from 0 to 1 while it is worked on, its numbers when it is done."""

    row: int
    column: int
    state: Literal["waiting", "working", "done"]
    progress: NotRequired[float]
    evaluations: NotRequired[int]
    seconds: NotRequired[float]
    distance_db: NotRequired[float | None]
    cached: NotRequired[bool]


class Reference(TypedDict):
    """The converged clip that `cells` cells are measured by is being made."""

    done: float
    cells: int


class ComparisonMessage(TypedDict):
    """All that is known of a comparison, so that a message that gets lost is not missed."""

    kind: Literal["comparison"]
    run: str
    axes: Axes
    cells: list[CellState]
    reference: Reference | None
    over: Literal["done", "stopped"] | None


class CostMessage(TypedDict):
    """What a comparison would take, for its cells and for the distances."""

    kind: Literal["cost"]
    id: str
    cells: int
    evaluations: tuple[int, int]
    seconds: tuple[float, float]


CompareMessage = ComparisonMessage | CostMessage | ErrorMessage


def comparison(
    run: str,
    axes: Axes,
    cells: list[CellState],
    reference: Reference | None = None,
    over: Literal["done", "stopped"] | None = None,
) -> ComparisonMessage:
    return {"kind": "comparison", "run": run, "axes": axes, "cells": cells, "reference": reference, "over": over}


def cost(cells: int, evaluations: tuple[int, int], seconds: tuple[float, float]) -> CostMessage:
    return {"kind": "cost", "id": _new(), "cells": cells, "evaluations": evaluations, "seconds": seconds}


def compare_error(of: Literal["compare", "cost"], text: object) -> ErrorMessage:
    """What is wrong with an event of the room to compare."""
    return {**error(text), "of": of}


@dataclass(frozen=True)
class Compare:
    """A comparison is asked for, or what it would cost. Values are a text with commas or a list."""

    axis_x: str = ""
    values_x: Any = ""
    axis_y: str = ""
    values_y: Any = ""
    distances: bool = True


COMPARE_EVENTS: dict[str, type] = {"compare": Compare, "cost": Compare, "halt": Nothing}


class Axis(TypedDict):
    """What an axis may show: `values` with their titles, some of which are `chosen` first, or a `text` to begin with
    and the keyboard that a phone needs for it."""

    title: str
    values: NotRequired[list[str]]
    titles: NotRequired[dict[str, str]]
    chosen: NotRequired[list[str]]
    text: NotRequired[str]
    input_mode: NotRequired[Literal["decimal", "text"]]


# The lab.


class LabKnob(TypedDict):
    """A knob of an experiment: one of the values in `titles`, each with a sentence in `summaries`, or a number in a
    `range`, by a `step` or any."""

    name: str
    title: str
    help: str
    default: Any
    titles: NotRequired[dict[str, str]]
    summaries: NotRequired[dict[str, str]]
    range: NotRequired[tuple[float, float]]
    step: NotRequired[float | None]


class LabExperiment(TypedDict):
    """What stands beside an experiment. The `formula` is MathML; with `trains` it can be trained again, by a button
    that says `training`. Things of the kinds in `own` can be brought in place of what ships."""

    name: str
    title: str
    summary: str
    document: str
    place: str
    claim: str
    formula: str
    knobs: list[LabKnob]
    trains: bool
    training: str
    own: list[str]


class LabPlace(TypedDict):
    """Something that a document does: the experiment that does it, and the query that turns its knobs."""

    what: str
    experiment: str
    query: str


class LabFacts(TypedDict):
    """How large files that are brought may be, and what each document does."""

    most_bytes: int
    index: dict[str, list[LabPlace]]


class LabBrought(TypedDict):
    """What became of a file: the `name` by which runs ask for it, or what is wrong with it."""

    name: NotRequired[str]
    error: NotRequired[str]


LabPanel = dict[str, Any]
"""A panel: its kind and title, and what `diffusion.ui.lab.encoding` says of its kind."""


class LabFrame(TypedDict):
    """A moment of a run; a panel that it lacks stays as it was."""

    panels: dict[str, LabPanel]
    progress: float
    t: float | None
    caption: str


class LabBegun(TypedDict):
    """A run has begun: the lines that run, as HTML, and whether it is a training."""

    kind: Literal["begun"]
    run: str
    experiment: str
    code: str
    trains: bool


class LabFrames(TypedDict):
    """The frames since the last message."""

    kind: Literal["frames"]
    run: str
    frames: list[LabFrame]


class LabNumber(TypedDict):
    """A number of the run beside what the document says; `holds` is None where it says no number."""

    name: str
    value: float
    unit: str
    said: str
    holds: bool | None


class LabOver(TypedDict):
    """A run is over: its last frames and its numbers, none if it was stopped."""

    kind: Literal["over"]
    run: str
    frames: list[LabFrame]
    numbers: list[LabNumber]
    stopped: bool


LabMessage = LabBegun | LabFrames | LabOver | ErrorMessage


def lab_begun(run: str, experiment: str, code: str, trains: bool) -> LabBegun:
    return {"kind": "begun", "run": run, "experiment": experiment, "code": code, "trains": trains}


def lab_frames(run: str, frames: list[LabFrame]) -> LabFrames:
    return {"kind": "frames", "run": run, "frames": frames}


def lab_over(run: str, frames: list[LabFrame], numbers: list[LabNumber], stopped: bool) -> LabOver:
    return {"kind": "over", "run": run, "frames": frames, "numbers": numbers, "stopped": stopped}


@dataclass(frozen=True)
class LabRun:
    """An experiment is to run, or to train, with these knobs; without a seed one is drawn. `own` has the names of what
    was brought, by kind."""

    experiment: str = ""
    knobs: Any = None
    seed: Any = None
    own: Any = None


LAB_EVENTS: dict[str, type] = {"run": LabRun, "train": LabRun, "halt": Nothing}


def read(kind: type[Payload], event: gr.EventData) -> Payload:
    """The payload of an event; what it does not say is at its default."""
    names = [each.name for each in fields(kind) if hasattr(event, each.name)]  # type: ignore[arg-type]
    return kind(**{name: getattr(event, name) for name in names})


def remembered(value: Any) -> Remembered:
    """What a browser says that it remembers; nothing where that is no such thing."""
    try:
        each = Remembered(**value)
    except TypeError:
        return Remembered()
    return each if isinstance(each.seed, str) else Remembered()


def encoded(file: bytes) -> str:
    """A file as messages have it."""
    return base64.b64encode(file).decode()


def _loudness_db(wave: np.ndarray, sample_rate_hz: int) -> float | None:
    """How loud a wave (N,) is, None if it is silent."""
    loudness = float(loudness_db(torch.from_numpy(wave)[None], sample_rate_hz))
    return round(loudness, 2) if math.isfinite(loudness) else None


def _new() -> str:
    return uuid.uuid4().hex
