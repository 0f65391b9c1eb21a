"""The command of a kit: install the wheels it carries, then render and train.

`pack` copies this file into a kit as run.py. The standard library must do, for nothing of the project is installed yet.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Become `python -m diffusion kit run`, with the same arguments and the kit's packages before the machine's."""
    began = time.time()
    kit = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--out", type=Path)
    out = parser.parse_known_args()[0].out
    paths = [str(kit)]
    if out is not None:  # without it there is nothing to run but the help or an error
        paths.append(str(install(kit / "wheels", out.resolve() / f"site-{sys.version_info[0]}.{sys.version_info[1]}")))
    paths += [each for each in [os.environ.get("PYTHONPATH")] if each]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "diffusion", "kit", "run", "--kit", str(kit), "--began", str(began)]
    os.execve(sys.executable, [*command, *sys.argv[1:]], environment)


def install(wheels: Path, site: Path) -> Path:
    """Install the wheels that fit this Python into the folder `site`, unless that is done, and nothing that they need.

    It needs no network, and the machine's own packages stay as they are.
    """
    names = sorted({wheel.name.split("-")[0] for wheel in wheels.glob("*.whl")})
    if site.is_dir() or not names:
        return site
    partial = site.with_name(f".{site.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    options = ["--isolated", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-cache-dir"]
    command = [sys.executable, "-m", "pip", "install", *options, "--find-links", str(wheels), "--target", str(partial)]
    if subprocess.run([*command, *names], check=False).returncode:
        sys.exit(
            f"error: the wheels of this kit do not fit {sys.executable} {sys.version.split()[0]}, or pip is missing"
        )
    partial.rename(site)
    return site


if __name__ == "__main__":
    main()
