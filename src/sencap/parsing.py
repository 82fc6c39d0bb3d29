"""From a verb's signature and docstring to its parser, and from the parser's errors to
words of ours.

The command line imports this module when a verb is asked for, not before: jsonargparse
takes a while.
"""

from __future__ import annotations

import argparse
import difflib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from itertools import chain
from typing import Any, NoReturn, cast

import yaml
from docstring_parser import parse
from jsonargparse import (  # type: ignore[attr-defined]
    ActionConfigFile,
    ArgumentParser,
    get_loader,
    set_loader,
)

from sencap.errors import SettingsError
from sencap.settings_file import check_settings_file, check_yaml

LOADER = "yaml_of_sencap"

# What jsonargparse calls a type, and what a person calls it.
_TYPE_NAMES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "tuple": "several in square brackets, such as [0.5,0.5,0.5] or [train,val]",
    "list": "a list, such as [a,b]",
}


def settings_class(command: Callable[..., Any]) -> type | None:
    """The class whose fields are the flags, of a command with the one parameter
    ``settings``."""
    parameters = inspect.signature(command, eval_str=True).parameters
    return (
        parameters["settings"].annotation if list(parameters) == ["settings"] else None
    )


def flag_groups(command: Callable[..., Any]) -> dict[str, type]:
    """The parameters of a command that are dataclasses and have no default: each of
    their fields is a flag, as several verbs have it (`sencap.flags`)."""
    groups = {}
    for name, parameter in inspect.signature(command, eval_str=True).parameters.items():
        kind, default = parameter.annotation, parameter.default
        # One with a default holds settings, flags with its name before them.
        if is_dataclass(kind) and default is inspect.Parameter.empty:
            groups[name] = cast(type, kind)
    return groups


def underscored(word: str) -> str:
    """--vocabulary-size=5 → --vocabulary_size=5: both spellings are taken."""
    if not word.startswith("--"):
        return word
    # The name alone: a value keeps its hyphens.
    flag, equals, value = word.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value


def parser_of(
    name: str,
    command: Callable[..., Any],
    *,
    positional: Sequence[str] = (),
    short: Mapping[str, str] | None = None,
) -> ArgumentParser:
    """The parser of a verb, made from its ``command``'s signature and docstring.

    ``positional`` are the parameters that need no flag; ``short`` gives required flags
    a letter.
    """
    # jsonargparse would evaluate annotations that are still texts, and for that import
    # all that the module imports for types alone, PyTorch among it.
    command.__annotations__ = inspect.get_annotations(command, eval_str=True)
    signature = inspect.signature(command)
    documentation = parse(inspect.getdoc(command) or "")
    helps = {
        parameter.arg_name: parameter.description or ""
        for parameter in documentation.params
    }
    paragraphs = [documentation.short_description, documentation.long_description]
    description = "\n\n".join(text for text in paragraphs if text)
    parser = Parser(
        prog=f"sencap {name}",
        description=description,
        allow_abbrev=False,
        parser_mode=LOADER,
    )
    # Some parameters are added here by hand; jsonargparse makes flags of all others
    # from the signature. ``done`` keeps each from being added twice.
    done: set[str | int] = set()
    for argument in positional:
        _add_positional(parser, signature.parameters[argument], helps.get(argument))
        done.add(argument)
    for argument, letter in (short or {}).items():
        parser.add_argument(
            f"-{letter}",
            f"--{argument}",
            type=str,
            required=True,
            help=helps.get(argument),
        )
        done.add(argument)
    for argument, parameter in signature.parameters.items():
        if argument in done:
            continue
        # A switch takes no value, and a list takes several words.
        if parameter.annotation is bool and parameter.default is False:
            parser.add_argument(
                f"--{argument}", action="store_true", help=helps.get(argument)
            )
            done.add(argument)
        elif str(parameter.annotation).startswith("list[str]"):
            parser.add_argument(
                f"--{argument}", nargs="+", type=str, help=helps.get(argument)
            )
            done.add(argument)
    _add_rest(parser, command, done)
    return parser


def _add_positional(
    parser: ArgumentParser, parameter: inspect.Parameter, text: str | None
) -> None:
    # A list takes all words that are left; a parameter with a default may be left out.
    extra: dict[str, Any] = {}
    if str(parameter.annotation).startswith("list"):
        extra["nargs"] = "+"
    elif parameter.default is not inspect.Parameter.empty:
        extra["nargs"] = "?"
        extra["default"] = parameter.default
    parser.add_argument(parameter.name, type=str, help=text, **extra)


def _add_rest(
    parser: ArgumentParser, command: Callable[..., Any], done: set[str | int]
) -> None:
    settings = settings_class(command)
    if settings is None:
        groups = flag_groups(command)
        parser.add_function_arguments(command, as_group=False, skip={*done, *groups})
        for group in groups.values():
            parser.add_class_arguments(group)
        return
    parser.add_argument(
        "--config", action=_ConfigFile, help="a YAML file with any of these settings"
    )
    parser.add_class_arguments(settings)


class _ConfigFile(ActionConfigFile):
    """The flag ``--config``: its file is looked at before jsonargparse reads it."""

    def __call__(
        self, parser: Any, cfg: Any, values: Any, option_string: str | None = None
    ) -> None:
        check_settings_file(values, parser.setting_groups)
        super().__call__(parser, cfg, values, option_string)  # type: ignore[no-untyped-call]


class Parser(ArgumentParser):
    """A parser whose help has hyphens in its flags, and whose errors are ours."""

    @property
    def setting_groups(self) -> list[str]:
        """What holds settings of its own and is no flag itself: ``optimisation`` of
        ``--optimisation.epochs``."""
        flags = [flag.removeprefix("--") for flag in self.flags]
        return sorted({flag.partition(".")[0] for flag in flags if "." in flag})

    @property
    def flags(self) -> list[str]:
        """All of them, as argparse knows them: ``--optimisation.learning_rate``."""
        return list(
            chain.from_iterable(action.option_strings for action in self._actions)
        )

    def parse_args(self, args: Sequence[str], **options: Any) -> Any:  # type: ignore[override]
        """As jsonargparse's, which would also take a file for each group of settings:
        one way is enough."""
        groups = {f"--{group}" for group in self.setting_groups}
        for word in args:
            name = word.partition("=")[0]
            if name in groups:
                raise SettingsError(
                    f"{name} is a group of settings; give each by its own flag, as "
                    f"{name}.NAME"
                )
        return super().parse_args(args, **options)

    def format_help(self, formatter: Any = None) -> str:
        """The help, with flags as they are written by hand, and without those that
        `parse_args` refuses."""
        groups = {f"--{group}" for group in self.setting_groups}
        for action in self._actions:
            if groups.intersection(action.option_strings):
                action.help = argparse.SUPPRESS
        return _hyphenated(super().format_help(formatter))

    def _print_message(self, message: str, file: Any = None) -> None:
        """argparse's own passes over a full disk and a reader who has gone."""
        if message:
            (file or sys.stderr).write(message)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:  # noqa: ARG002
        """Raise a SettingsError in words of ours."""
        raise SettingsError(told(message, self.flags))


def _load_yaml(text: str) -> Any:
    """YAML as jsonargparse reads it, with keys spelt like their flags
    (``learning-rate``) taken too."""
    check_yaml(text)
    return _underscored_keys(get_loader("yaml")(text))


def _underscored_keys(value: Any) -> Any:
    if isinstance(value, list):
        return [_underscored_keys(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key.replace("-", "_") if isinstance(key, str) else key: _underscored_keys(item)
        for key, item in value.items()
    }


set_loader(LOADER, _load_yaml, exceptions=(yaml.YAMLError,))


def told(message: str, flags: Iterable[str]) -> str:
    """An error of jsonargparse in words of ours: the setting, what it was given, what
    it takes or was meant."""
    wrong_type = _wrong_type(message)
    if wrong_type is not None:
        return wrong_type
    text = _hyphenated(message.strip())
    unknown = _unknown_key(message)
    if unknown is None:
        return text
    return f"{text}; {_meant(unknown, sorted(flags))}"


def _unknown_key(message: str) -> str | None:
    """The flag or the key of a YAML file that no setting has, groups before it:
    ``optimisation.epochz``."""
    flag = re.search(r"unrecognized arguments: --([\w.]+)", message)
    if flag:
        return flag[1]
    key = re.search(
        r"(?:Group '([\w.]+)' does not accept o|O)ption '([\w.]+)'", message
    )
    if key is None:
        return None
    return ".".join(part for part in key.groups() if part)


def _meant(key: str, flags: Sequence[str]) -> str:
    """A setting of that last name in any group, or else the nearest flag."""
    # Without the hyphens, which all flags have in common.
    names = [flag.removeprefix("--") for flag in flags]
    # --decoder.layers and --difference.layers share their last name
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.rpartition(".")[2], []).append(name)
    last = key.rpartition(".")[2]
    # In this order: the same name in another group, the nearest whole name, the nearest
    # last part of a name.
    meant = groups.get(last) or difflib.get_close_matches(key, names, n=1, cutoff=0.6)
    if not meant:
        near = difflib.get_close_matches(last, groups, n=1)
        meant = groups[near[0]] if near else []
    if not meant:
        return "--help lists all there are"
    return (
        "did you mean "
        + " or ".join(repr(_hyphenated(f"--{name}")) for name in meant)
        + "?"
    )


def _wrong_type(message: str) -> str | None:
    """``limit is 'x'; it must be a whole number``, of an error about one value's type;
    None for other errors."""
    # jsonargparse has no field of its errors for these, only its text.
    setting = re.search(r'Parser key "([\w.]+)"', message)
    given = re.search(r"(?:Got value|Given value): (.*)", message)
    if setting is None or given is None:
        return None
    value = given[1].strip()
    # Of a choice of types the message names each; "None" is nothing a user can write.
    names = re.findall(r"Expected an? <class '(\w+)'>", message)
    kinds = [_TYPE_NAMES.get(name, name) for name in names if name != "NoneType"]
    choices = re.search(r"Expected a typing\.Literal\[(.*?)\]", message)
    elements = re.search(r"Expected a tuple with (\d+) elements", message)
    if choices:
        known = [choice.strip().strip("'") for choice in choices[1].split(",")]
        close = difflib.get_close_matches(value, known, n=1, cutoff=0.5)
        meant = f"; did you mean {close[0]!r}?" if close else ""
        return f"{setting[1]} is {value!r}; it must be one of {', '.join(known)}{meant}"
    if elements:
        return f"{setting[1]} is {value}; it must be {elements[1]} numbers, such as [0.5,0.5,0.5]"
    if kinds:
        return f"{setting[1]} is {value!r}; it must be {' or '.join(kinds)}"
    return None


def _hyphenated(text: str) -> str:
    return re.sub(r"(?<![\w-])--[a-z_.]+", lambda flag: flag[0].replace("_", "-"), text)
