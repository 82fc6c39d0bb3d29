"""A YAML file of settings, looked at before it is used: what is wrong is told with the
file and the line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from sencap.errors import SettingsError
from sencap.text_files import read_text

MOST_BYTES = 100_000  # ours have 2,000

# In C it is faster, and refuses lists within lists without end.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def check_settings_file(path: str | Path, groups: Iterable[str] = ()) -> None:
    """Refuse what is no YAML file of settings by name; ``groups`` are the names that
    hold settings themselves.

    Raises:
        SettingsError: what is wrong, in which line, of which file.
    """
    text = read_text(
        path,
        most_bytes=MOST_BYTES,
        error=SettingsError,
        advice="name a YAML file of settings",
    )
    try:
        check_yaml(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} cannot be used: {_told(error)}") from error
    # The tree and not the values: its nodes know the lines in which they stand.
    node = yaml.compose(text, Loader=_Loader)
    if node is None:
        raise SettingsError(
            f"{path} is empty; write settings into it, each as name: value"
        )
    if not isinstance(node, yaml.MappingNode):
        raise SettingsError(f"{path} holds no settings; write each as name: value")
    groups = list(groups)
    for key, value in node.value:
        if key.tag != "tag:yaml.org,2002:str":
            raise SettingsError(
                f"{path}, {_line(key.start_mark)}: {_given(text, key)} is no name of "
                "a setting"
            )
        if key.value in groups and not isinstance(value, yaml.MappingNode):
            raise SettingsError(
                f"{path}, {_line(value.start_mark)}: {key.value} is "
                f"{_given(text, value)}; it must hold settings by name, each in a "
                "line of its own below it"
            )


def check_yaml(text: str) -> None:
    """Refuse what makes YAML ambiguous or endless: a key that comes twice, a name for
    another part (an alias).

    Raises:
        yaml.YAMLError: that, or what else is wrong.
    """
    # Aliases are looked for in the events, before any tree is built: a few lines of
    # them can stand for billions of values.
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            raise _problem(
                f"*{event.anchor} stands for another part; write its value out",
                event.start_mark,
            )
    for mapping in _mappings(yaml.compose(text, Loader=_Loader)):
        seen: set[str] = set()
        for key, _ in mapping.value:
            # Flags and keys are spelt both ways.
            name = str(key.value).replace("-", "_")
            if name in seen:
                raise _problem(f"{name} comes twice", key.start_mark)
            seen.add(name)
    yaml.load(text, Loader=_Loader)  # noqa: S506  (a safe loader: it refuses the tags that would make objects)


def _problem(what: str, mark: Any) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)


def _mappings(node: yaml.Node | None) -> Iterator[yaml.MappingNode]:
    if isinstance(node, yaml.MappingNode):
        yield node
        for _, value in node.value:
            yield from _mappings(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _mappings(value)


def _told(error: yaml.YAMLError) -> str:
    """The line and what is wrong there."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None)
    if mark is None or what is None:  # a character that no text has
        return str(error).partition("\n")[0]
    return f"{_line(mark)}: {what}"


def _line(mark: yaml.Mark) -> str:
    return f"line {mark.line + 1}"


def _given(text: str, node: yaml.Node) -> str:
    """A value as it was written, for a message."""
    written = text[node.start_mark.index : node.end_mark.index]
    return (" ".join(written.split()) or "empty")[:60]
