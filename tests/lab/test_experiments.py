"""What every experiment promises."""

from __future__ import annotations

import ast
import inspect
import math
import subprocess
import sys
import threading
from itertools import islice

import pytest

from diffusion.lab import EXPERIMENTS, INDEX
from diffusion.lab.experiment import MOST_KNOBS
from diffusion.settings import Choice, Number

every_experiment = pytest.mark.parametrize("name", EXPERIMENTS)


@every_experiment
def test_it_explains_itself(name: str) -> None:
    experiment = EXPERIMENTS[name]
    assert experiment.name == name
    assert 1 <= len(experiment.knobs) <= MOST_KNOBS
    for words in (experiment.summary, experiment.claim, *(knob.help for knob in experiment.knobs.values())):
        assert words.endswith(".")
    assert experiment.title
    assert experiment.source.document
    assert experiment.formula.count("{") == experiment.formula.count("}")


@every_experiment
def test_the_code_that_it_shows_is_of_this_repository(name: str) -> None:
    experiment = EXPERIMENTS[name]
    knobs = experiment.asked({})
    shown = experiment.code(knobs)
    assert shown.__module__.startswith("diffusion.")
    assert not shown.__module__.startswith("diffusion.lab.") or "lab" in inspect.getsourcefile(shown)
    source, lit = experiment.source_code(knobs), experiment.lit(knobs)
    ast.parse(source)
    assert source.lstrip().startswith(("def ", "class ", "@")) or lit
    assert lit.stop <= 1 + len(source.splitlines())


@every_experiment
def test_knobs_have_sound_defaults_and_refuse_what_is_not_theirs(name: str) -> None:
    experiment = EXPERIMENTS[name]
    assert experiment.asked({}) == {each: knob.default for each, knob in experiment.knobs.items()}
    for knob in experiment.knobs.values():
        if isinstance(knob, Choice):
            wrong, value = knob.name, "nonsense"
        else:
            assert isinstance(knob, Number)
            wrong, value = knob.name, knob.range[1] * 2 + 1
        with pytest.raises(ValueError, match=f"^{wrong}: got "):
            experiment.asked({wrong: value})
    with pytest.raises(ValueError, match="alchemy: not a knob of"):
        experiment.asked({"alchemy": 1})


@every_experiment
def test_a_run_goes_from_its_start_to_its_end_and_is_measured(name: str) -> None:
    experiment = EXPERIMENTS[name]
    frames = list(experiment.run(experiment.asked({}), seed=1))
    progress = [frame.progress for frame in frames]
    assert progress[0] == 0
    assert progress[-1] == pytest.approx(1)
    assert progress == sorted(progress)
    measured = experiment.holds(frames)
    assert measured
    assert all(math.isfinite(each.value) and each.name for each in measured)


@every_experiment
def test_a_run_that_is_stopped_ends_after_the_frame_at_hand(name: str) -> None:
    experiment, stop = EXPERIMENTS[name], threading.Event()
    run = experiment.run(experiment.asked({}), 1, stop)
    list(islice(run, 2))
    stop.set()
    assert len(list(run)) <= 1


@every_experiment
def test_two_runs_that_take_turns_are_two_runs(name: str) -> None:
    experiment = EXPERIMENTS[name]
    knobs = experiment.asked({})
    alone = [frame.caption for frame in islice(experiment.run(knobs, 1), 4)]
    one, other = experiment.run(knobs, 1), experiment.run(knobs, 2)
    together = [(next(one).caption, next(other).caption) for _ in alone]
    assert [first for first, _ in together] == alone


def test_the_index_leads_to_experiments_whose_knobs_can_be_turned_so() -> None:
    """Every document is there, and every experiment is in some document."""
    places = [each for document in INDEX.values() for each in document]
    for each in places:
        assert EXPERIMENTS[each.experiment].asked(each.knobs).items() >= each.knobs.items()
    assert {each.experiment for each in places} == EXPERIMENTS.keys()
    assert {each.source.document.partition(",")[0] for each in EXPERIMENTS.values()} == {
        document.partition(",")[0] for document in INDEX
    }
    assert len({each.what for each in places}) == len(places)


def test_large_libraries_wait_until_they_are_needed() -> None:
    """The page starts in seconds: neither the lab nor a first frame asks for them."""
    code = (
        "import sys; from diffusion.lab import EXPERIMENTS as all\n"
        "for name in ('noising', 'bits'): next(all[name].run(all[name].asked({}), 1))\n"
        "print(sorted({'matplotlib', 'sklearn', 'librosa', 'accelerate', 'scipy', 'gradio'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
