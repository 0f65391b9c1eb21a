"""Generators of steps: each turns noise into data by asking a denoiser, and none knows what the denoiser is."""

from .ancestral import DDPM, NaiveSkipping
from .base import Draws, Model, Sampler
from .cost import NUMBER, evaluations, evaluations_along
from .ddim import DDIM, Euler
from .dpm_solver import DPMSolver2M, DPMSolver2MSDE, DPMSolver3M
from .heun import Heun
from .langevin import AnnealedLangevin, DecayingLangevin, PredictorCorrector
from .unipc import UniPC

SAMPLERS: dict[str, Sampler] = {
    "unipc": UniPC(),
    "dpmpp-2m": DPMSolver2M(),
    "ddim": DDIM(),
    "ddpm": DDPM(),
    "dpmpp-3m": DPMSolver3M(),
    "dpmpp-2m-sde": DPMSolver2MSDE(),
    "heun": Heun(),
    "euler": Euler(),
    "predictor-corrector": PredictorCorrector(),
    "annealed-langevin": AnnealedLangevin(),
    "decaying-langevin": DecayingLangevin(),
    "naive-skipping": NaiveSkipping(),
}

__all__ = [
    "DDIM",
    "DDPM",
    "NUMBER",
    "SAMPLERS",
    "AnnealedLangevin",
    "DPMSolver2M",
    "DPMSolver2MSDE",
    "DPMSolver3M",
    "DecayingLangevin",
    "Draws",
    "Euler",
    "Heun",
    "Model",
    "NaiveSkipping",
    "PredictorCorrector",
    "Sampler",
    "UniPC",
    "evaluations",
    "evaluations_along",
]
