"""Where a system's own numbers and the user's settings meet."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sencap.config import ModelSettings
from sencap.errors import SettingsError

ANY_SYSTEMS = ("init", "max_words")  # where weights come from and how long captions are: of no one system


@dataclass(frozen=True)
class Numbers:
    """What a system is built with: each number the user's if given, else the system's own, by part.

    ``settings`` are the same as settings, every number that the system uses in its place.
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
    extractor: Mapping[str, Any],
    difference: Mapping[str, Any],
    decoder: Mapping[str, Any],
) -> Numbers:
    """The numbers of a system, overridden by those that ``settings`` give.

    A system names every setting of a part that it uses, with its own number.

    Raises:
        SettingsError: a setting that this system has no use for, or numbers that do not go together.
    """
    numbers = {"extractor": extractor, "difference": difference, "decoder": decoder}
    chosen = {part: _chosen(settings, part, values) for part, values in numbers.items()}
    D = dimension if settings.dimension is None else settings.dimension
    parts = {part: dataclasses.replace(getattr(settings, part), **values) for part, values in chosen.items()}
    whole = dataclasses.replace(settings, dimension=D, **parts)  # checks that the numbers go together
    return Numbers(whole, D, **chosen)


def _chosen(settings: ModelSettings, part: str, numbers: Mapping[str, Any]) -> dict[str, Any]:
    given = getattr(settings, part)
    for field in dataclasses.fields(given):
        value = getattr(given, field.name)
        if field.name not in (*numbers, *ANY_SYSTEMS) and value != field.default:
            shown = str(value).lower() if isinstance(value, bool) else value
            raise SettingsError(
                f"system={settings.system} has no use for {part}.{field.name}={shown}; leave it out "
                f"({_list(part, numbers)})"
            )
    return {
        name: number if getattr(given, name) is None else getattr(given, name)
        for name, number in numbers.items()
    }


def _list(part: str, numbers: Mapping[str, Any]) -> str:
    names = ", ".join(f"{part}.{name}" for name in numbers)
    return f"it takes {names}" if names else f"it takes no setting of its {part}"
