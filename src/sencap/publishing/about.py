"""What only a person can say of weights: a YAML file with five entries."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from sencap.errors import SettingsError, nearest
from sencap.json_files import shown
from sencap.settings_file import check_settings_file

ABOUT = "about.yaml"
OTHER = "other"  # the hub's word for a licence that has no identifier

_IDENTIFIER = re.compile(r"[a-z][a-z0-9.-]{1,40}")
_PLACEHOLDER = re.compile(r"(?i)^(todo|tbd|tba|n/?a|none|unknown|\.+|-+|\?+)\W*$")


@dataclass(frozen=True)
class AboutWeights:
    """The entries of the file.

    Attributes:
        licence: An identifier of the hub, as apache-2.0 or cc-by-nc-4.0; or other.
        licence_terms: What the licence allows, in words; other needs it.
        data: What the weights were trained on, and what chose the best of them.
        intended_use: What they are for, and for whom.
        limits: What they get wrong, and what they were never tried on.
    """

    licence: str
    data: str
    intended_use: str
    limits: str
    licence_terms: str = ""


def read_about(path: str | Path) -> AboutWeights:
    """The entries of such a file.

    Raises:
        SettingsError: no such file, no YAML, an unknown entry, a licence that is not
            set, or an entry that is empty; each that is wrong is named.
    """
    path = Path(path)
    names = [field.name for field in fields(AboutWeights)]
    if not path.is_file():
        raise SettingsError(
            f"{path} is not there, and what only you can say of the weights stands in "
            f"it: a YAML file with {', '.join(names)}; name another with --about"
        )
    check_settings_file(path)
    entries = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    for name, value in entries.items():
        if name not in names:
            raise SettingsError(f"{path}: {name!r} is no entry; {nearest(name, names)}")
        if not isinstance(value, str | None):
            raise SettingsError(f"{path}: {name} is {shown(value)}; it must be a text")
    texts = {name: (entries.get(name) or "").strip() for name in names}
    _check_licence(path, texts)
    _check_filled(path, texts)
    return AboutWeights(**texts)


def _check_licence(path: Path, texts: dict[str, str]) -> None:
    licence = texts["licence"]
    if not licence or _PLACEHOLDER.match(licence):
        raise SettingsError(
            f"{path}: licence is not set: without one nobody may use the weights. Give "
            "an identifier such as apache-2.0 or cc-by-nc-4.0, or other with "
            "licence_terms; the terms of the training data bind you too"
        )
    if not _IDENTIFIER.fullmatch(licence):
        raise SettingsError(
            f"{path}: licence is {shown(licence)}; the hub's identifiers are of small "
            "letters, digits, '.' and '-', such as apache-2.0; or say other, and the "
            "rest in licence_terms"
        )


def _check_filled(path: Path, texts: dict[str, str]) -> None:
    needed = {name: text for name, text in texts.items() if name != "licence_terms"}
    if texts["licence"] == OTHER:
        needed["licence_terms"] = texts["licence_terms"]
    empty = [
        name for name, text in needed.items() if not text or _PLACEHOLDER.match(text)
    ]
    if empty:
        raise SettingsError(
            f"{path}: {', '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty; a "
            "card without it tells too little to use the weights by: write a sentence "
            "or more"
        )
