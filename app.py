"""The page: `python app.py`, then open the address that it prints."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import threading


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
    args = parser.parse_args()

    from diffusion.checkpoint import find_checkpoint
    from diffusion.hub import fetch
    from diffusion.studio import open_studio
    from diffusion.ui.gallery.wall import Wall
    from diffusion.ui.page import Page, check_sound
    from diffusion.ui.shared.reach import Reach, check_public_url
    from diffusion.ui.stage.rehearsal import rehearse

    host = args.host or os.environ.get("GRADIO_SERVER_NAME")
    try:
        reach = Reach(host, check_public_url(args.public_url) if args.public_url else None)
        folder = fetch(args.checkpoint) if args.checkpoint else find_checkpoint()
        studio = open_studio(folder, args.device)
        check_sound(studio)
        gallery = Wall.of(studio, folder)
    except ValueError as error:
        sys.exit(f"error: {error}")
    welcome = folder / "welcome.wav"
    if args.check_stage:
        sys.exit(0 if rehearse(studio, welcome, reach, args.port) else 1)

    logging.basicConfig(format="%(message)s")
    logging.getLogger("diffusion").setLevel(logging.INFO)
    threading.Thread(target=studio.prepare, args=(args.compile,), name="prepare", daemon=True).start()
    Page(studio, welcome, reach, gallery).launch(server_name=args.host, server_port=args.port)


if __name__ == "__main__":
    main()
