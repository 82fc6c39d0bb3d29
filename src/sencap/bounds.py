"""Every number that a user may give, with the least and the most that make sense: one
table for all verbs.

The most is not a matter of taste: beyond it a run takes memory or time without end. A
number is looked up by the last part of its name, so that ``decoder.layers`` and
``difference.layers`` share one line.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sencap.errors import SettingsError, nearest


@dataclass(frozen=True)
class Bound:
    """The least and the most of a number, both allowed, and why a larger one is
    refused."""

    least: int
    most: int
    reason: str = ""


SEED = Bound(0, 2**32 - 1, "NumPy and PyTorch share no larger one")

# Beyond it the longest caption wins, whatever it says.
MOST_LENGTH_NORMALISATION = 2

BOUNDS: Mapping[str, Bound] = {
    # How the work is done.
    "batch_size": Bound(1, 65_536, "a batch has to fit into memory"),
    "block_size": Bound(
        1, 1_000_000, "a worker that is lost costs its block, and a block has one file"
    ),
    "beam": Bound(
        1, 100, "each hypothesis costs as much as a pair; the paper's best is 3"
    ),
    "limit": Bound(1, 10**9),
    "rounds": Bound(1, 1000, "the spread of speeds is known after ten"),
    "batches": Bound(1, 256, "beyond it no engine gets faster"),
    "threads": Bound(
        0, 1024, "more than the cores of a machine only wait for each other"
    ),
    "workers": Bound(0, 256, "each is a process with its own memory"),
    "resamples": Bound(100, 1_000_000, "10,000 are enough for a 95 % interval"),
    "seed": SEED,
    "seeds": SEED,
    "devices": Bound(1, 1024),
    "nodes": Bound(1, 100_000),
    "epochs": Bound(1, 1_000_000),
    "patience": Bound(1, 1_000_000),
    "checkpoint_every": Bound(0, 1_000_000),
    "every": Bound(1, 1_000_000),
    "held_out": Bound(0, 1_000_000),
    # What is written.
    "pairs": Bound(10, 10_000_000, "a million pairs are 130 GB"),
    "size": Bound(
        32, 4096, "an image of 4096 × 4096 pixels is 50 MB, and its features are more"
    ),
    "windows": Bound(32, 4096, "they are reduced to the size that the model sees"),
    "side": Bound(32, 4096, "they are reduced to the size that the model sees"),
    "crop": Bound(32, 4096),
    "stride": Bound(1, 1_000_000),
    "places_per_file": Bound(1, 1_000_000),
    "black": Bound(0, 65_534, "values have 16 bits"),
    "white": Bound(1, 65_535, "values have 16 bits"),
    # What a model is made of.
    "vocabulary_size": Bound(5, 1_000_000, "no language of captions has more words"),
    "minimum_count": Bound(1, 10**9),
    "max_words": Bound(1, 1000, "no caption is longer"),
    "dimension": Bound(2, 16_384, "the paper's is 512"),
    "layers": Bound(1, 100, "the paper's are 1 and 2"),
    "heads": Bound(1, 1024),
    "expansion": Bound(1, 64, "the paper's is 4"),
    "grid": Bound(1, 256),
    "reduction": Bound(1, 16_384),
    "norm_groups": Bound(0, 1024),
    "kernel_size": Bound(1, 512),
    "queue": Bound(
        1, 1_000_000, "each batch is compared with all of it; the paper's has 65,536"
    ),
    "groups": Bound(1, 65_536),
    # What a server takes.
    "port": Bound(0, 65_535, "there are no higher ports; 0 is any that is free"),
    "max_bytes": Bound(
        1024, 4 << 30, "a request lies on the disk while it is worked on"
    ),
    "max_pixels": Bound(1024, 64_000_000, "no image may have more"),
    "max_scene_pixels": Bound(
        1024, 10**11, "it is read window by window, which takes its time"
    ),
    "max_pairs": Bound(1, 1024, "a longer list is better sent in parts"),
    "waiting": Bound(1, 10_000, "whoever waits longer than the timeout gets nothing"),
    "per_client": Bound(1, 10_000),
    "timeout": Bound(1, 3600, "a longer work is a job"),
    "batch_wait": Bound(0, 1000, "in milliseconds"),
    "jobs": Bound(1, 1000, "each holds its files"),
    "keep": Bound(1, 10_000, "in minutes"),
}


def check_number(name: str, value: Any) -> None:
    """Refuse a number that is not whole, or not within the bounds of its name; None is
    "not given" and passes.

    >>> check_number("beam", 3)

    Raises:
        SettingsError: with the name, the value, the bounds, and why there is one.
    """
    if value is None:
        return
    bound = BOUNDS[name.rpartition(".")[2]]
    # In Python True is an int.
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and bound.least <= value <= bound.most:
        return
    # A number of a thousand digits is not repeated: Python refuses to write it out.
    huge = whole and abs(value) > 10**30
    given = "a number of more than 30 digits" if huge else value
    # The reasons of the table explain upper bounds only.
    reason = (
        f" ({bound.reason})" if bound.reason and whole and value > bound.most else ""
    )
    raise SettingsError(
        f"{name} is {given}; it must be a whole number from {bound.least:,} to "
        f"{bound.most:,}{reason}"
    )


def check_fields(settings: object, owner: str, *names: str) -> None:
    """`check_number` for whole numbers of a settings object, which is the field
    ``owner`` of another ("" for none)."""
    for name in names:
        check_number(f"{owner}.{name}" if owner else name, getattr(settings, name))


def check_numbers(**values: Any) -> None:
    """`check_number` for each of several; names are those of `BOUNDS`."""
    for name, value in values.items():
        check_number(name, value)


def check_fraction(name: str, value: float | None) -> None:
    """Refuse what is not from 0 up to 1 (1 excluded), such as a momentum; None passes.

    Raises:
        SettingsError: with the name and the value.
    """
    if value is not None and not 0 <= value < 1:
        raise SettingsError(f"{name} is {value}; it must be in [0, 1)")


def check_amount(
    name: str, value: float | None, *, zero: bool = False, why: str = ""
) -> None:
    """Refuse what is no finite number above 0 (at least 0, with ``zero``); None passes.

    Raises:
        SettingsError: with the name, the value, and ``why``.
    """
    if value is None or (math.isfinite(value) and (value > 0 or (zero and value == 0))):
        return
    wanted = "at least 0" if zero else "above 0"
    finite = "" if math.isfinite(value) else ", and finite"
    raise SettingsError(f"{name} is {value}; it must be {wanted}{finite}{why}")


def check_length_normalisation(name: str, value: float | None) -> None:
    """Refuse a power of the length, by which a beam ranks captions, that is not from 0
    to 2; None passes.

    Raises:
        SettingsError: with the name and the value.
    """
    # NaN is in no range, so it is refused too.
    if value is not None and not 0 <= value <= MOST_LENGTH_NORMALISATION:
        raise SettingsError(
            f"{name} is {value}; it must be from 0 to {MOST_LENGTH_NORMALISATION} (0 "
            "ranks captions by their probability, 1 by that of a word in the mean)"
        )


def check_choice(name: str, value: str | None, known: Collection[str]) -> None:
    """Refuse a word that is not among the known ones; None passes.

    Raises:
        SettingsError: with the name, the value, and the nearest word that is known.
    """
    if value is not None and value not in known:
        raise SettingsError(
            f"{name} is {value!r}, which is unknown; {nearest(value, known)}"
        )


def check_shares(**shares: float) -> None:
    """Refuse shares of a whole that are not from 0 up to 1 (1 excluded), or that leave
    nothing of it.

    >>> check_shares(val=0.1, test=0.1)

    Raises:
        SettingsError: with the name and the value.
    """
    for name, share in shares.items():
        is_number = isinstance(share, int | float) and not isinstance(share, bool)
        if not (is_number and 0 <= share < 1):
            raise SettingsError(
                f"{name}={share} must be a share of the pairs: 0 or more, less than 1"
            )
    if sum(shares.values()) >= 1:
        told = " and ".join(f"{name}={share}" for name, share in shares.items())
        raise SettingsError(f"{told} leave nothing to train on; lower them")
