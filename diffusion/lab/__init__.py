"""The lab: what five documents teach about diffusion, as experiments that run the code of this repository.

An experiment is one file here. EXPERIMENTS names them in the order in which the room and `lab list` show them.
"""

from .bits import Bits
from .channels import Channels
from .colour import Colour
from .digits import ConditionOnOne, Digits, Skipping
from .experiment import Experiment
from .index import INDEX
from .noising import Noising
from .score_matching import ScoreMatching
from .swiss_roll import SwissRoll

EXPERIMENTS: dict[str, Experiment] = {
    each.name: each
    for each in (
        Noising(),
        ScoreMatching(),
        SwissRoll(),
        Digits(),
        ConditionOnOne(),
        Skipping(),
        Colour(),
        Channels(),
        Bits(),
    )
}

__all__ = ["EXPERIMENTS", "INDEX", "Experiment"]
