"""Where a system's own numbers and the user's settings meet."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from sencap.config import (
    FORMER_DEFAULTS,
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    ModelSettings,
)
from sencap.errors import SettingsError

Part = ExtractorSettings | DifferenceSettings | DecoderSettings

# Where weights come from and how long captions are: of no one system.
ANY_SYSTEMS = ("init", "max_words")


@dataclass(frozen=True)
class Numbers:
    """What a system is built with: each number the user's if given, else the system's
    own, by part.

    ``settings`` are the same as settings, every number that the system uses in its
    place.
    """

    settings: ModelSettings

    dimension: int
    extractor: dict[str, Any]
    difference: dict[str, Any]
    decoder: dict[str, Any]


def own(
    settings: ModelSettings,
    *,
    dimension: int,
    extractor: ExtractorSettings,
    difference: DifferenceSettings,
    decoder: DecoderSettings,
) -> Numbers:
    """The numbers of a system, overridden by those that ``settings`` give.

    A system names every setting of a part that it uses, with its own number. What it
    leaves None it has no use for.

    Raises:
        SettingsError: a setting that this system has no use for, or numbers that do not
            go together.
    """
    numbers: dict[str, Part] = {
        "extractor": extractor,
        "difference": difference,
        "decoder": decoder,
    }
    chosen = {part: _chosen(settings, part, values) for part, values in numbers.items()}
    D = dimension if settings.dimension is None else settings.dimension
    parts = {
        part: dataclasses.replace(getattr(settings, part), **values)
        for part, values in chosen.items()
    }
    # Checks that the numbers go together.
    whole = dataclasses.replace(settings, dimension=D, **parts)
    return Numbers(whole, D, **chosen)


def _chosen(settings: ModelSettings, part: str, numbers: Part) -> dict[str, Any]:
    given = getattr(settings, part)
    chosen: dict[str, Any] = {}
    unused: dict[str, Any] = {}
    for field in dataclasses.fields(numbers):
        name = field.name
        number, value = getattr(numbers, name), getattr(given, name)
        if name in ANY_SYSTEMS:
            continue
        if number is not None:
            chosen[name] = number if value is None else value
        elif value is not None and value != FORMER_DEFAULTS.get(name):
            unused[name] = value
    for name, value in unused.items():
        shown = str(value).lower() if isinstance(value, bool) else value
        raise SettingsError(
            f"system={settings.system} has no use for {part}.{name}={shown}; leave "
            f"it out ({_list(part, chosen)})"
        )
    return chosen


def _list(part: str, numbers: dict[str, Any]) -> str:
    names = ", ".join(f"{part}.{name}" for name in numbers)
    return f"it takes {names}" if names else f"it takes no setting of its {part}"
