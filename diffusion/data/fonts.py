"""The sound fonts: both under the MIT licence and packaged by Debian."""

from pathlib import Path

DEFAULT_FONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
DEFAULT_EAR_FONT = Path("/usr/share/sounds/sf3/MuseScore_General_Lite.sf3")
_PACKAGES = {
    DEFAULT_FONT.name: "fluid-soundfont-gm",
    DEFAULT_EAR_FONT.name: "musescore-general-soundfont-small",
}


def check_font(font: Path) -> None:
    """FileNotFoundError, with the Debian package to install, unless the sound font `font` is there."""
    if not font.is_file():
        package = _PACKAGES.get(font.name)
        hint = f": install the Debian package {package}" if package else ""
        raise FileNotFoundError(f"sound font {font} is missing{hint}")
