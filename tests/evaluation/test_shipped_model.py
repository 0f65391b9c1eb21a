"""A classifier trained on other pieces and another sound font names the labels of the shipped model's clips."""

from pathlib import Path

import pytest

from diffusion.checkpoint import Configuration, find, load
from diffusion.evaluation.classifier import load_ear
from diffusion.evaluation.clips import Way, generated
from diffusion.evaluation.measures import accuracy

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"


@pytest.mark.slow
@pytest.mark.parametrize("folder", find(CHECKPOINTS, Configuration), ids=lambda p: p.name)
def test_ensembles_and_styles_are_recognised(folder: Path) -> None:
    model = load(folder)
    recipe = generated(model, 1, 7, Way(evaluations=6))  # a third of the default's, which the card reports
    labels = model.configuration.labels
    ears = [load_ear(path.parent) for path in Path(__file__).parent.glob("*/classifier.json")]
    known = {(ear.config.styles, ear.config.ensembles): ear for ear in ears}
    ear = known[tuple(labels["style"]), tuple(labels["ensemble"])]
    heard = accuracy(ear.judge(recipe.make(range(len(recipe.style)))), recipe.style, recipe.ensemble)
    # 72 clips only: what the card reports (of 288) less what chance may take from so few
    assert heard.ensemble.value >= 0.86
    assert heard.style.value >= 0.70
