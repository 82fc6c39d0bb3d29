"""Jobs for worker processes, which can load this module but none that holds tests."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from sencap.errors import DataError


class UnfitError(Exception):
    """An error that pickle cannot make again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def nap_and_tell(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def note_and_nap(folder: str, number: int) -> int:
    (Path(folder) / str(number)).touch()
    time.sleep(0.01)
    return number


def refuse(number: int) -> int:
    if number == 3:
        raise DataError("number 3 is damaged")
    return number


def slip(number: int) -> float:
    return 1 / (number - 3)


def fail_strangely(_: int) -> None:
    raise UnfitError(1, 2)


def die(number: int) -> int:
    if number == 3:
        os._exit(7)
    return number


def be_terminated(_: int) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)


def write_to_stdout(number: int) -> int:
    sys.stdout.write(f"{number}\n")
    return number
