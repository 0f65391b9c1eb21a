"""The command line: one subcommand for each thing that can be done without the page."""

from __future__ import annotations

import argparse

from diffusion import gallery, generate, hub
from diffusion.console import command
from diffusion.data import command as data
from diffusion.evaluation import command as evaluation
from diffusion.lab import command as lab
from diffusion.listening import command as listening
from diffusion.training import command as training
from diffusion.training import vocoder_command
from diffusion.training.kit import command as kit

COMMANDS = {
    "generate": (generate, "compose a clip"),
    "gallery": (gallery, "make a clip of every style by every ensemble, for people to hear first"),
    "lab": (lab, "run the experiments of the documents, and write their figures and numbers"),
    "listen": (listening, "report what came out of a blind listening trial"),
    "data": (data, "turn scores into labelled features"),
    "train": (training, "train a denoiser on features"),
    "kit": (kit, "train on a borrowed machine without network"),
    "train-vocoder": (vocoder_command, "train a vocoder on audio files"),
    "publish": (hub, "push the page to a Hugging Face Space, or a checkpoint to a model repository"),
    "evaluate": (evaluation, "judge a checkpoint's clips beside real ones and controls"),
}


def main(arguments: list[str] | None = None) -> None:
    """Run one subcommand; an error in what the user asked for is one line on standard error and exit status 1."""
    parser = argparse.ArgumentParser(prog="python -m diffusion", description="Music out of noise.")
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name, (module, summary) in COMMANDS.items():
        module.add_arguments(subparsers.add_parser(name, help=summary, description=summary.capitalize() + "."))
    with command():
        parsed = parser.parse_args(arguments)
        COMMANDS[parsed.command][0].run(parsed)
