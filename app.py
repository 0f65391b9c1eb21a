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

    from diffusion.hub import fetch
    from diffusion.studio import find_checkpoint
    from diffusion.ui.gallery import gallery_of
    from diffusion.ui.links import check_public_url
    from diffusion.ui.page import build, launch
    from diffusion.ui.phone import Handouts
    from diffusion.ui.rehearsal import rehearse
    from diffusion.ui.zero_gpu import open_studio

    host = args.host or os.environ.get("GRADIO_SERVER_NAME")
    try:
        public_url = check_public_url(args.public_url) if args.public_url else None
        folder = fetch(args.checkpoint) if args.checkpoint else find_checkpoint()
        studio = open_studio(folder, args.device)
        gallery = gallery_of(studio, folder)
    except ValueError as error:
        sys.exit(f"error: {error}")
    welcome = folder / "welcome.wav"
    if args.check_stage:
        sys.exit(0 if rehearse(studio, welcome, host, args.port, public_url) else 1)

    def prepare() -> None:
        studio.warm_up()
        if args.compile:
            studio.compile()

    logging.basicConfig(format="%(message)s")
    logging.getLogger("diffusion").setLevel(logging.INFO)
    threading.Thread(target=prepare, name="prepare", daemon=True).start()
    handouts = Handouts()
    page = build(studio, welcome, host, public_url, handouts, gallery)
    launch(page, handouts, gallery, server_name=args.host, server_port=args.port)


if __name__ == "__main__":
    main()
