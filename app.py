"""The page: `python app.py`, then open the address that it prints."""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description="Watch and hear a diffusion model compose music out of noise.")
    parser.add_argument("--checkpoint", type=Path, help="checkpoint folder (default: the one in checkpoints/)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--host", help="address to listen on (default: GRADIO_SERVER_NAME, or this machine alone)")
    parser.add_argument("--port", type=int, help="port (default: GRADIO_SERVER_PORT, or the first free one from 7860)")
    args = parser.parse_args()

    from diffusion.studio import Studio, find_checkpoint
    from diffusion.ui.page import build, launch

    try:
        folder = args.checkpoint or find_checkpoint()
        studio = Studio(folder, args.device)
    except ValueError as error:
        sys.exit(f"error: {error}")
    threading.Thread(target=studio.warm_up, name="warm-up", daemon=True).start()
    launch(build(studio, welcome=folder / "welcome.wav"), server_name=args.host, server_port=args.port)


if __name__ == "__main__":
    main()
