"""The command line: ``sencap VERB …``. Nothing heavy is imported before a verb runs."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from sencap.bounds import BOUNDS, check_number
from sencap.errors import SencapError, SettingsError, Terminated, nearest
from sencap.extras import missing_extra
from sencap.files import cannot_write
from sencap.version import __version__

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

# Exit codes. The last three are 128 and the signal's number, as shells have them.
USER_ERROR, INTERRUPTED, READER_GONE, TERMINATED = 2, 130, 141, 143


@dataclass(frozen=True)
class Verb:
    """A verb: the module whose ``command`` it runs, its line in the overview, its
    positional arguments.

    ``short`` gives a required flag a letter: {"out": "o"} makes ``-o`` the same as
    ``--out``. ``resumes``: a run that was stopped goes on when the same command is
    given again.
    """

    module: str
    summary: str
    positional: tuple[str, ...] = ()
    short: Mapping[str, str] = field(default_factory=dict)
    resumes: bool = False


VERBS = {
    "caption": Verb(
        "sencap.verbs.caption", "say what changed between two images", ("sources",)
    ),
    "explain": Verb(
        "sencap.verbs.explain",
        "show where the model looked as it chose each word",
        ("before", "after"),
        {"out": "o"},
    ),
    "scan": Verb(
        "sencap.verbs.scan",
        "say what changed where over georeferenced rasters of any size",
        ("images",),
        {"out": "o"},
        resumes=True,
    ),
    "archive": Verb(
        "sencap.verbs.archive",
        "caption a long list of pairs, on one machine or on many",
        ("source",),
        {"out": "o"},
        resumes=True,
    ),
    "demo": Verb(
        "sencap.verbs.demo", "caption the example pairs and write a page of pictures"
    ),
    "evaluate": Verb(
        "sencap.verbs.evaluate",
        "score a checkpoint on captioned pairs, under both protocols",
    ),
    "score": Verb(
        "sencap.verbs.score",
        "score anybody's captions as evaluate does, without a model",
        ("captions",),
    ),
    "compare": Verb(
        "sencap.verbs.compare",
        "compare two evaluated systems, with intervals",
        ("reports",),
    ),
    "train": Verb(
        "sencap.verbs.train", "train a captioner from a config file", resumes=True
    ),
    "convert": Verb(
        "sencap.verbs.convert",
        "convert a published checkpoint of SEN or a compared system, running nothing in it",
        ("source", "out"),
    ),
    "export": Verb(
        "sencap.verbs.export",
        "write a checkpoint's graphs, which need no PyTorch",
        ("checkpoint",),
    ),
    "push": Verb(
        "sencap.verbs.push",
        "hand weights to others: card, STAC item, upload to the hub",
        ("folder", "repository"),
    ),
    "bench": Verb(
        "sencap.verbs.bench", "measure how fast captions come on this machine"
    ),
    "pack": Verb(
        "sencap.verbs.pack",
        "pack dated images of places into one fast, checked folder",
        ("source", "out"),
        resumes=True,
    ),
    "pretrain": Verb(
        "sencap.verbs.pretrain",
        "pre-train a backbone on dated images, without labels",
        resumes=True,
    ),
    "reproduce": Verb(
        "sencap.verbs.reproduce",
        "run a table of the paper, with its figures beside yours",
        ("name",),
        resumes=True,
    ),
    "synth": Verb(
        "sencap.verbs.synth",
        "write a data set of synthetic captioned pairs",
        ("out",),
        resumes=True,
    ),
    "check": Verb(
        "sencap.verbs.check", "find everything that is wrong with a data set", ("data",)
    ),
    "import": Verb(
        "sencap.verbs.import_",
        "bring a table, COCO-style JSON or a Hugging Face folder into LEVIR-CC's "
        "layout",
        ("source", "out"),
    ),
    "serve": Verb(
        "sencap.verbs.serve", "serve a page to drop images on, and an HTTP interface"
    ),
    "doctor": Verb("sencap.verbs.doctor", "tell what works here and what does not"),
    "info": Verb(
        "sencap.verbs.info", "count the parameters of a system, by part", ("name",)
    ),
}


def overview() -> str:
    """What ``sencap --help`` prints."""
    lines = "\n".join(f"  {name:<10}{verb.summary}" for name, verb in VERBS.items())
    return (
        f"sencap {__version__}: what changed between two images of one place, in a "
        f"sentence\n\nusage: sencap VERB [arguments]\n\n{lines}\n\nsencap VERB "
        "--help tells a verb's inputs, outputs and defaults."
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code.

    0; 2 for what the user can mend; 130 after Ctrl-C and 143 after SIGTERM; 141 where
    the reader of the output has gone, as after ``| head -1``.
    """
    argv = list(sys.argv[1:] if arguments is None else arguments)
    _take_any_letter(sys.stdout, sys.stderr)
    try:
        code = _main(argv)
        sys.stdout.flush()  # here, where what goes wrong can still be told
    except BrokenPipeError:
        _leave_quietly(sys.stdout)
        return READER_GONE
    except OSError as error:
        _leave_quietly(sys.stdout)
        sys.stderr.write(f"sencap: error: {_told(error)}\n")
        return USER_ERROR
    return code


def _main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        sys.stdout.write(overview() + "\n")
        return 0
    if argv[0] == "--version":
        sys.stdout.write(f"sencap {__version__}\n")
        return 0
    if argv[0] not in VERBS:
        sys.stderr.write(
            f"sencap: error: {argv[0]!r} is not a verb; {nearest(argv[0], VERBS)}\n"
        )
        return USER_ERROR
    # Results go to stdout and everything else to stderr, so that results can be piped
    # on.
    _log_to_stderr()
    return _run(argv[0], argv[1:])


def _take_any_letter(*streams: Any) -> None:
    """Letters that a terminal cannot show (it is in ASCII, or they are half a letter)
    are written as \\u2026."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _leave_quietly(stream: Any) -> None:
    """Let what is still in the stream's buffer go nowhere, or Python would fail once
    more as it ends."""
    with contextlib.suppress(OSError, ValueError):  # a stream of the tests has no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _told(error: OSError) -> str:
    """An error of the system that no part of sencap has put into words of its own."""
    if error.filename is None:
        return cannot_write("the output", error)
    return f"{error.filename}: {error.strerror or error}"


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM raise `Terminated`, so that a run ends as after Ctrl-C: helpers
    ended, drafts deleted."""

    def stop(*_: object) -> NoReturn:
        raise Terminated

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread: whoever started it has the say
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _log_to_stderr() -> None:
    logger = logging.getLogger("sencap")
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)
        # Otherwise a root logger that somebody set up would print each line twice.
        logger.propagate = False
    for handler in logger.handlers:
        if type(handler) is logging.StreamHandler:
            # That of an earlier command in this process may be closed.
            handler.stream = sys.stderr


def _run(name: str, argv: list[str]) -> int:
    """One verb, and all ways in which it can end."""
    try:
        with _terminable():
            text = _result(name, argv)
        if text:
            sys.stdout.write(text + "\n")
    except SencapError as error:
        sys.stderr.write(f"sencap: error: {error}\n")
        return USER_ERROR
    except KeyboardInterrupt as stop:
        # Ctrl-C and SIGTERM end in the same way: `Terminated` is a KeyboardInterrupt.
        terminated = isinstance(stop, Terminated)
        sys.stderr.write(
            f"sencap: {'terminated' if terminated else 'interrupted'}; "
            f"{_next_time(name)}\n"
        )
        return TERMINATED if terminated else INTERRUPTED
    except MemoryError:
        sys.stderr.write(
            "sencap: error: there is not enough memory; give less at once, or a "
            "smaller batch\n"
        )
        return USER_ERROR
    except SystemExit as stop:  # argparse's own, after --help or a usage error
        return stop.code if isinstance(stop.code, int) else USER_ERROR
    return 0


def _result(name: str, argv: list[str]) -> str | None:
    """What a verb has to say, after it has worked."""
    from sencap.parsing import underscored

    try:
        # The verb's module is imported only now: `sencap --help` stays quick, and a
        # verb whose extra is missing does not break the others.
        command: Callable[..., str | None] = importlib.import_module(
            VERBS[name].module
        ).command
        parser = verb_parser(name, command)
        # Two steps: the first gives plain values, the second makes settings classes of
        # them, whose own checks then run.
        values = parser.parse_args([underscored(word) for word in argv])
        values = parser.instantiate(values)
        _check_values(vars(values))
        return _call(command, vars(values))
    # An import that fails for want of an extra is answered with how to install it. Any
    # other is a mistake of the program, and passes through.
    except ModuleNotFoundError as error:
        missing = missing_extra(error, f"sencap {name}")
        if missing is None:
            raise
        raise missing from error


def _next_time(name: str) -> str:
    if VERBS[name].resumes:
        return "what was finished is kept, the same command goes on from there"
    return "the same command starts from the beginning"


def _check_values(values: Mapping[str, Any], prefix: str = "") -> None:
    """What holds for any flag of that name: no empty text, and numbers within `BOUNDS`.

    Settings classes have checked their numbers at birth.
    """
    for name, value in values.items():
        key = f"{prefix}{name}"
        if is_dataclass(value):
            _check_values(
                {f.name: getattr(value, f.name) for f in fields(value)}, f"{key}."
            )
            continue
        texts = value if isinstance(value, list) else [value]
        # An empty path would mean the working folder to most of Python.
        if "" in texts:
            raise SettingsError(
                f"{key} is empty (a variable of the shell that is not set?); give a "
                "value, or leave it out"
            )
        is_text = isinstance(value, str | list)  # the pairs of `reproduce` are names
        if name in BOUNDS and not prefix and not is_text:
            check_number(name, value)


def _call(command: Callable[..., str | None], values: dict[str, Any]) -> str | None:
    from sencap.parsing import flag_groups, settings_class

    # What the file holds is in the other values by now.
    values.pop("config", None)
    settings = settings_class(command)
    if settings is not None:
        return command(settings(**values))
    for parameter, group in flag_groups(command).items():
        given = {flag.name: values.pop(flag.name) for flag in fields(group)}
        values[parameter] = group(**given)
    return command(**values)


def verb_parser(name: str, command: Callable[..., Any]) -> ArgumentParser:
    """The parser of a verb."""
    from sencap.parsing import parser_of

    verb = VERBS[name]
    return parser_of(name, command, positional=verb.positional, short=verb.short)


if __name__ == "__main__":
    sys.exit(main())
