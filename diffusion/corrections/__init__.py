"""What mends the model's output, each for a measured reason. `diffusion.conditions` applies each, or leaves it out."""

from .ending import ENDING, ENDINGS, LEAST_S, RELEASE_S, ceiling
from .prominence import limited, prominence_db
from .texture import Texture

CORRECTIONS: dict[str, str] = {
    "bounds": "Features lie between silence and full scale; a belief that guidance has exaggerated may not.",
    "ending": "Music that ends falls silent as a room does: a falling ceiling, and the model finds the last note.",
    "prominence": "No moment stands out further than in the training music; one attack too loud turns a clip down.",
    "negatives": "Guidance leads away from the style most easily confused, since the network has seldom met no style.",
    "texture": "The last step leads to a mean, which is smoother than music; what it leaves out is drawn by the seed.",
}
"""By name, the reason for each. All are on by default."""

__all__ = [
    "CORRECTIONS",
    "ENDING",
    "ENDINGS",
    "LEAST_S",
    "RELEASE_S",
    "Texture",
    "ceiling",
    "limited",
    "prominence_db",
]
