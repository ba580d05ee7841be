"""The WebUI's own command line gets our few options. Read before anything else is there, so it imports nothing."""

from __future__ import annotations

import argparse


def preload(parser: argparse.ArgumentParser) -> None:
    """Add our options to the WebUI's."""
    parser.add_argument(
        "--lora-loop-home",
        metavar="DIR",
        default=None,
        help="where LoRA Loop keeps jobs, cache and its packages (default: lora-loop in the data folder)",
    )
    parser.add_argument(
        "--lora-loop-allow-remote",
        action="store_true",
        help="let everyone who reaches this page train and change wildcards, also with --listen or --share and no password",
    )
    parser.add_argument(
        "--lora-loop-photos",
        metavar="DIR",
        action="append",
        default=None,
        help="another folder that the Train tab may read photos and files from; may be repeated",
    )
    parser.add_argument(
        "--lora-loop-host-name",
        metavar="NAME",
        action="append",
        default=None,
        help="a name under which the page is opened over plain http, such as sd.example.org, or through a proxy that changes the host name; may be repeated",
    )
