"""The command line: ``sencap VERB …``. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

import importlib
import inspect
import logging
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from sencap import __version__
from sencap.errors import SencapError, SettingsError, nearest

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

USER_ERROR, INTERRUPTED = 2, 130


@dataclass(frozen=True)
class Verb:
    """A verb: the module whose ``command`` it runs, its line in the overview, its positional arguments.

    ``short`` gives a required flag a letter: {"out": "o"} makes ``-o`` the same as ``--out``.
    """

    module: str
    summary: str
    positional: tuple[str, ...] = ()
    short: Mapping[str, str] = field(default_factory=dict)


VERBS = {
    "caption": Verb("sencap.verbs.caption", "say what changed between two images", ("sources",)),
    "explain": Verb(
        "sencap.verbs.explain",
        "show where the model looked as it chose each word",
        ("before", "after"),
        {"out": "o"},
    ),
    "demo": Verb("sencap.verbs.demo", "caption the example pairs and write a page of pictures"),
    "evaluate": Verb("sencap.verbs.evaluate", "score a checkpoint on captioned pairs, under both protocols"),
    "compare": Verb("sencap.verbs.compare", "compare two evaluated systems, with intervals", ("reports",)),
    "train": Verb("sencap.verbs.train", "train a captioner from a config file"),
    "convert": Verb(
        "sencap.verbs.convert",
        "convert a checkpoint of SEN's authors, without running anything in it",
        ("source", "out"),
    ),
    "pack": Verb(
        "sencap.verbs.pack", "pack dated images of places into one fast, checked folder", ("source", "out")
    ),
    "pretrain": Verb("sencap.verbs.pretrain", "pre-train a backbone on dated images, without labels"),
    "reproduce": Verb(
        "sencap.verbs.reproduce", "run a table of the paper, with its figures beside yours", ("name",)
    ),
    "synth": Verb("sencap.verbs.synth", "write a data set of synthetic captioned pairs", ("out",)),
    "check": Verb("sencap.verbs.check", "find everything that is wrong with a data set", ("data",)),
    "info": Verb("sencap.verbs.info", "count the parameters of a system, by part", ("name",)),
}


def overview() -> str:
    """What ``sencap --help`` prints."""
    lines = "\n".join(f"  {name:<10}{verb.summary}" for name, verb in VERBS.items())
    return (
        f"sencap {__version__}: what changed between two images of one place, in a sentence\n\n"
        f"usage: sencap VERB [arguments]\n\n{lines}\n\n"
        "sencap VERB --help tells a verb's inputs, outputs and defaults."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for what the user can mend, 130 when interrupted."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    if not argv or argv[0] in ("-h", "--help", "help"):
        sys.stdout.write(overview() + "\n")
        return 0
    if argv[0] == "--version":
        sys.stdout.write(f"sencap {__version__}\n")
        return 0
    if argv[0] not in VERBS:
        sys.stderr.write(f"sencap: error: {argv[0]!r} is not a verb; {nearest(argv[0], VERBS)}\n")
        return USER_ERROR
    _log_to_stderr()
    return _run(argv[0], argv[1:])


def _log_to_stderr() -> None:
    logger = logging.getLogger("sencap")
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)
        logger.propagate = False


def _run(name: str, argv: list[str]) -> int:
    command: Callable[..., str | None] = importlib.import_module(VERBS[name].module).command
    parser = verb_parser(name, command)
    try:
        values = parser.parse_args([_underscored(word) for word in argv])
        values = parser.instantiate(values)
        text = _call(command, vars(values))
        if text:
            sys.stdout.write(text + "\n")
    except SencapError as error:
        sys.stderr.write(f"sencap: error: {error}\n")
        return USER_ERROR
    except KeyboardInterrupt:
        sys.stderr.write(
            "sencap: interrupted; what was finished is kept, the same command goes on from there\n"
        )
        return INTERRUPTED
    except SystemExit as stop:  # argparse's own, after --help or a usage error
        return stop.code if isinstance(stop.code, int) else USER_ERROR
    return 0


def _call(command: Callable[..., str | None], values: dict[str, Any]) -> str | None:
    values.pop("config", None)
    settings = _settings_class(command)
    return command(settings(**values)) if settings else command(**values)


def _settings_class(command: Callable[..., Any]) -> type | None:
    """The class whose fields are the flags, of a command with the one parameter ``settings``."""
    parameters = inspect.signature(command, eval_str=True).parameters
    return parameters["settings"].annotation if list(parameters) == ["settings"] else None


def verb_parser(name: str, command: Callable[..., Any]) -> ArgumentParser:
    """The parser of a verb, made from its ``command``'s signature and docstring."""
    from docstring_parser import parse
    from jsonargparse import ActionConfigFile, ArgumentParser  # type: ignore[attr-defined]

    class Parser(ArgumentParser):
        def format_help(self, formatter: Any = None) -> str:
            return _hyphenated(super().format_help(formatter))

        def error(self, message: str, ex: Exception | None = None) -> NoReturn:  # noqa: ARG002
            flags = [flag for action in self._actions for flag in action.option_strings]
            unknown = re.search(r"unrecognized arguments: --([\w.]+)", message)
            in_file = re.search(r"(?:Group '([\w.]+)' )?does not accept option '([\w.]+)'", message)
            key = unknown[1] if unknown else ".".join(filter(None, in_file.groups())) if in_file else ""
            hint = nearest(f"--{key}", flags) if key else ""
            raise SettingsError(_hyphenated("; ".join(part for part in (message.strip(), hint) if part)))

    verb = VERBS[name]
    signature = inspect.signature(command, eval_str=True)
    documentation = parse(inspect.getdoc(command) or "")
    helps = {p.arg_name: p.description or "" for p in documentation.params}
    description = "\n\n".join(
        t for t in (documentation.short_description, documentation.long_description) if t
    )
    parser = Parser(prog=f"sencap {name}", description=description, allow_abbrev=False)
    done: set[str | int] = set()
    for argument in verb.positional:
        parameter = signature.parameters[argument]
        plural = str(parameter.annotation).startswith("list")
        optional = parameter.default is not inspect.Parameter.empty
        nargs = "+" if plural else "?" if optional else None
        extra = {"default": parameter.default} if optional else {}
        parser.add_argument(argument, nargs=nargs, type=str, help=helps.get(argument), **extra)
        done.add(argument)
    for argument, letter in verb.short.items():
        parser.add_argument(f"-{letter}", f"--{argument}", type=str, required=True, help=helps.get(argument))
        done.add(argument)
    for argument, parameter in signature.parameters.items():
        if parameter.annotation is bool and parameter.default is False:
            parser.add_argument(f"--{argument}", action="store_true", help=helps.get(argument))
            done.add(argument)
        elif argument not in done and str(parameter.annotation).startswith("list[str]"):
            parser.add_argument(f"--{argument}", nargs="+", type=str, help=helps.get(argument))
            done.add(argument)
    settings = _settings_class(command)
    if settings:
        parser.add_argument(
            "--config", action=ActionConfigFile, help="a YAML file with any of these settings"
        )
        parser.add_class_arguments(settings)
    else:
        parser.add_function_arguments(command, skip=done)
    return parser


def _hyphenated(text: str) -> str:
    return re.sub(r"(?<![\w-])--[a-z_.]+", lambda flag: flag[0].replace("_", "-"), text)


def _underscored(word: str) -> str:
    """--vocabulary-size=5 → --vocabulary_size=5: both spellings are taken."""
    if not word.startswith("--"):
        return word
    flag, equals, value = word.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value


if __name__ == "__main__":
    sys.exit(main())
