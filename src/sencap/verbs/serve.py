"""`sencap serve`: a page and an HTTP interface."""

from __future__ import annotations

import sys

from sencap.serving.settings import ServerSettings


def command(settings: ServerSettings) -> None:
    """Serve a page to drop two images on, and an HTTP interface for programs.

    Input: settings, from a YAML file (--config) and flags, which win over the file.
    Output: the address is printed, then it serves until Ctrl-C or SIGTERM, after which
    it finishes what was begun. /openapi.json describes the interface. Nothing that is
    sent to it is kept.
    """
    settings.token()  # what can be refused is refused before anything heavy is imported
    from sencap.serving.app import serve

    serve(settings, tell=_print)


def _print(address: str) -> None:
    sys.stdout.write(f"sencap serves on {address}\n")
    sys.stdout.flush()
