"""The page: `python app.py`, then open the address that it prints."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading

from diffusion.console import command


def main() -> None:
    parser = argparse.ArgumentParser(description="Watch and hear a diffusion model compose music out of noise.")
    parser.add_argument("--checkpoint", help="checkpoint folder or Hub id (default: the one in checkpoints/)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--host", help="address to listen on (default: GRADIO_SERVER_NAME, or this machine alone)")
    parser.add_argument("--port", type=int, help="port (default: GRADIO_SERVER_PORT, or the first free one from 7860)")
    parser.add_argument("--public-url", help="what other people's devices call this page (default: found out)")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compile the network in the background, where there is a C++ compiler, for quicker clips; when that is "
        "done, the clip of a request changes by less than 0.5 dB; only without it stays the same bit for bit",
    )
    parser.add_argument(
        "--check-stage", action="store_true", help="rehearse the stage without a page, say what is missing"
    )
    with command():
        run(parser.parse_args())


def run(args: argparse.Namespace) -> None:
    """Rehearse or serve. What is wrong with the arguments or with this machine is a ValueError before work is done."""
    from diffusion.ui.shared.reach import Reach, check_public_url, in_url
    from diffusion.ui.shared.serving import HERE, open_port, own_folder

    # Gradio reads both names when it is imported, and understands fewer hosts than the page does.
    host = (args.host or os.environ.pop("GRADIO_SERVER_NAME", "")).strip("[]") or None
    port = args.port if args.port is not None else _number("GRADIO_SERVER_PORT")
    reach = Reach(host, check_public_url(args.public_url) if args.public_url else None)
    if not args.check_stage:
        port = open_port(host or HERE, port)
        own_folder()

    # What takes seconds to import is imported once that is in order.
    from diffusion.checkpoint import find_checkpoint
    from diffusion.hub import fetch
    from diffusion.studio import open_studio

    folder = fetch(args.checkpoint) if args.checkpoint else find_checkpoint()
    os.environ["no_proxy"] = "*"  # only the Hub is asked through a proxy; Gradio asks nobody but this page
    from diffusion.ui.gallery.wall import Wall
    from diffusion.ui.page import Page, check_sound
    from diffusion.ui.stage.rehearsal import rehearse

    studio = open_studio(folder, args.device)
    check_sound(studio)
    gallery = Wall.of(studio, folder)
    welcome = folder / "welcome.wav"
    if args.check_stage:
        sys.exit(0 if rehearse(studio, welcome, reach, port) else 1)

    logging.basicConfig(format="%(message)s")
    logging.getLogger("diffusion").setLevel(logging.INFO)
    threading.Thread(target=studio.prepare, args=(args.compile,), name="prepare", daemon=True).start()
    Page(studio, welcome, reach, gallery).launch(server_name=in_url(host or HERE), server_port=port)


def _number(variable: str) -> int | None:
    """The whole number in a variable of the environment, None if it is not set."""
    text = os.environ.get(variable, "")
    if text and not text.isdecimal():
        raise ValueError(f"{variable}: got {text!r}, need a whole number")
    return int(text) if text else None


if __name__ == "__main__":
    main()
