"""Settings as plain values, and back: for JSON, YAML and checkpoints."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from sencap.config.model import ModelSettings
from sencap.config.parts import (
    ChangeSettings,
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    SearchSettings,
)
from sencap.errors import SettingsError, nearest
from sencap.json_files import shortened, shown


def as_dict(settings: Any) -> dict[str, Any]:
    """A settings object as plain lists, dicts and numbers, ready for JSON or YAML."""

    def plain(value: Any) -> Any:
        # Tuples become lists, as JSON and YAML would make them.
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    result: dict[str, Any] = plain(dataclasses.asdict(settings))
    return result


def model_from_dict(
    values: dict[str, Any], source: str = "model settings"
) -> ModelSettings:
    """The inverse of `as_dict` for a model; an unknown key fails with the nearest known
    one.

    Raises:
        SettingsError: an unknown key or a wrong value; the message starts with
            ``source``.
    """
    parts = {
        "extractor": ExtractorSettings,
        "difference": DifferenceSettings,
        "decoder": DecoderSettings,
        "change": ChangeSettings,
        "search": SearchSettings,
    }
    try:
        top = _checked(ModelSettings, values, "")
        for name, part in parts.items():
            top[name] = part(**_checked(part, top.get(name, {}), f"{name}."))
        for name in ("mean", "std"):
            # JSON has no tuples.
            if isinstance(top.get(name), list):
                top[name] = tuple(top[name])
        return ModelSettings(**top)
    except SettingsError as error:
        raise SettingsError(f"{source}: {shortened(str(error))}") from error


def _checked(owner: Any, values: Any, prefix: str) -> dict[str, Any]:
    """The values of one settings class, if they are an object, its keys known, and each
    of the right kind."""
    if not isinstance(values, dict):
        what = prefix.removesuffix(".") or "the model"
        raise SettingsError(
            f"{what} is {shown(values)}; it must be an object of settings by name"
        )
    known = {f.name for f in dataclasses.fields(owner)}
    hints = get_type_hints(owner)
    # Every key is looked at before anything is made of it: a wrong type would fail deep
    # inside PyTorch.
    for key, value in values.items():
        if key not in known:
            raise SettingsError(
                f"{prefix}{shortened(key, 60)} is not a setting; {nearest(key, known)}"
            )
        kinds = _kinds(hints[key])
        if kinds and not any(_is(value, kind) for kind in kinds):
            words = " or ".join(_KINDS[kind] for kind in kinds if kind in _KINDS)
            raise SettingsError(f"{prefix}{key} is {shown(value)}; it must be {words}")
    return dict(values)


_KINDS: dict[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
}


def _kinds(hint: Any) -> list[Any]:
    """The simple types that a field's annotation allows; none for what is checked
    elsewhere (parts, mean, std)."""
    # The words of a choice are checked by the settings class itself; here it has to be
    # a text.
    if get_origin(hint) is Literal:
        return [str]
    if hint in (*_KINDS, type(None)):
        return [hint]
    if get_origin(hint) is tuple:
        return []
    kinds = []
    # What is left is a choice, such as ``int | None``: a value of any of its types
    # passes.
    for choice in get_args(hint):
        kinds += _kinds(choice)
    return kinds


def _is(value: Any, kind: Any) -> bool:
    if isinstance(value, bool):
        return kind is bool  # to Python, true is a whole number
    # In JSON and YAML 1 is as good as 1.0.
    if kind is float:
        return isinstance(value, int | float)
    return isinstance(value, kind)
