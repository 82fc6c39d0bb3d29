"""What a verb does without a flag is what its function does without an argument."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from sencap.evaluating import evaluate
from sencap.places import pack
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
    shared = (flags.keys() & arguments.keys()) - APART[name]
    assert shared
    for flag in shared:
        assert flags[flag] == arguments[flag], flag
