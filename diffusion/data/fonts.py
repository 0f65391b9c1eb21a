"""The sound fonts, as Debian packages them: one to train with, and others to train the listener of the evaluation."""

from collections.abc import Sequence
from pathlib import Path

DEFAULT_FONT = Path("/usr/share/sounds/sf3/FluidR3Mono_GM.sf3")
DEFAULT_EAR_FONTS = (
    Path("/usr/share/sounds/sf3/MuseScore_General_Lite.sf3"),  # some instruments are recordings of the default font's
    Path("/usr/share/sounds/sf2/TimGM6mb.sf2"),  # of these two none is
    Path("/usr/share/sounds/sf2/sf_GMbank.sf2"),
)
LICENCES = {
    "FluidR3Mono_GM.sf3": "MIT",
    "MuseScore_General_Lite.sf3": "MIT",
    "TimGM6mb.sf2": "GPL 2",
    "sf_GMbank.sf2": "public domain",
}
_PACKAGES = {
    "FluidR3Mono_GM.sf3": "fluidr3mono-gm-soundfont",
    "MuseScore_General_Lite.sf3": "musescore-general-soundfont-small",
    "TimGM6mb.sf2": "timgm6mb-soundfont",
    "sf_GMbank.sf2": "csound-soundfont",
}
# Its layers of loudness are made by modulators, which TinySoundFont leaves out: many notes would be silent.
_UNPLAYABLE = {("MuseScore_General_Lite.sf3", "piano")}


def check_font(font: Path) -> None:
    """FileNotFoundError, with the Debian package to install, unless the sound font `font` is there."""
    if not font.is_file():
        package = _PACKAGES.get(font.name)
        hint = f": install the Debian package {package}" if package else ""
        raise FileNotFoundError(f"sound font {font} is missing{hint}")


def playing(fonts: Sequence[Path], ensemble: str) -> list[Path]:
    """Those of `fonts` that can play an ensemble; ValueError if none can."""
    able = [font for font in fonts if (font.name, ensemble) not in _UNPLAYABLE]
    if not able:
        raise ValueError(f"fonts: got {[font.name for font in fonts]}, none of which can play the {ensemble}")
    return able
