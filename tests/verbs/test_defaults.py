"""What a verb does without a flag is what its function does without an argument."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable

import pytest

from sencap.cli import VERBS, verb_parser
from sencap.evaluating import evaluate
from sencap.flags import LoadFlags, ReadingFlags
from sencap.images.options import USUAL
from sencap.parsing import flag_groups
from sencap.places import pack
from sencap.predictor import load
from sencap.synthetic import write_dataset
from sencap.verbs import evaluate as evaluate_verb
from sencap.verbs import pack as pack_verb
from sencap.verbs import synth as synth_verb

# Where the command line differs on purpose: packing from a script stays in the script's
# process.
APART = {"pack": {"workers"}, "synth": set(), "evaluate": set()}


def defaults(function: Callable[..., object]) -> dict[str, object]:
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }


def test_flags_that_verbs_share_have_the_defaults_of_loading_and_reading() -> None:
    loads = defaults(load)
    shared = defaults(LoadFlags)
    assert shared == {name: loads[name] for name in shared}
    assert ReadingFlags().parsed() == USUAL


@pytest.mark.parametrize("name", ["caption", "explain", "evaluate", "scan", "archive"])
def test_a_group_of_flags_stands_in_the_help_of_its_verbs(name: str) -> None:
    command = importlib.import_module(VERBS[name].module).command
    text = verb_parser(name, command).format_help()
    groups = flag_groups(command)
    assert groups
    for group in groups.values():
        for flag in defaults(group):
            assert f"--{flag.replace('_', '-')}" in text
    # No flag of the group's own name, nor one with the group before it.
    assert not {f"--{parameter}" for parameter in groups} & set(text.split())


@pytest.mark.parametrize(
    ("name", "verb", "function"),
    [
        ("synth", synth_verb.command, write_dataset),
        ("pack", pack_verb.command, pack),
        ("evaluate", evaluate_verb.command, evaluate),
    ],
)
def test_a_verb_has_its_functions_defaults(
    name: str, verb: Callable[..., object], function: Callable[..., object]
) -> None:
    flags, arguments = defaults(verb), defaults(function)
    for group in flag_groups(verb).values():
        flags |= defaults(group)
    shared = (flags.keys() & arguments.keys()) - APART[name]
    assert shared
    for flag in shared:
        assert flags[flag] == arguments[flag], flag
