"""A whole pickled torch.nn.Module, as `sencap.foreign.inert` reads it: its tensors and
its plain attributes by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from sencap.errors import CheckpointError
from sencap.foreign.inert import Placeholder, StoredTensor
from sencap.json_files import shortened

WRAPPERS = ("_orig_mod", "module")  # torch.compile's and DataParallel's
_DEEPEST = 24  # modules within modules; a hostile file may hold one that holds itself


@dataclass(frozen=True)
class PickledModule:
    """``tensors`` by their names in the module's state dict (buffers outside of it
    too), without wrappers.

    ``attributes`` holds each submodule's plain attributes ("" is the module itself);
    nothing for a state dict.
    """

    name: str
    tensors: dict[str, Tensor] = field(default_factory=dict)
    attributes: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def tensor(self, name: str, ndim: int) -> Tensor:
        """One tensor, which must have ``ndim`` axes, none of them empty.

        Raises:
            CheckpointError: there is none of that name, or of another shape.
        """
        if name not in self.tensors:
            raise CheckpointError(
                f"the module {self.name} has no {name}; is it one of the SEN authors'?"
            )
        tensor = self.tensors[name]
        if tensor.ndim != ndim or not tensor.numel():
            raise CheckpointError(
                f"{self.name}.{name} is {tuple(tensor.shape)}; it should have {ndim} "
                "axes"
            )
        return tensor

    def attribute(self, module: str, name: str, otherwise: Any) -> Any:
        """An attribute of a submodule, or ``otherwise`` where the file does not
        tell."""
        return self.attributes.get(module, {}).get(name, otherwise)

    def number(self, module: str, name: str, otherwise: float) -> Any:
        """An attribute that must be a number.

        Raises:
            CheckpointError: it is something else.
        """
        value = self.attribute(module, name, otherwise)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CheckpointError(
                f"{self.name}.{module}.{name} is {type(value).__name__}, not a number"
            )
        return value

    def count(self, pattern: str) -> int:
        """How many layers there are whose number the first group of ``pattern``
        catches."""
        found = (re.match(pattern, name) for name in self.tensors)
        return 1 + max((int(match[1]) for match in found if match), default=-1)

    def renamed(self, name: Callable[[str], str]) -> PickledModule:
        """The same with other names of tensors and submodules."""
        tensors = {name(theirs): tensor for theirs, tensor in self.tensors.items()}
        return PickledModule(
            self.name, tensors, {name(k): v for k, v in self.attributes.items()}
        )


def read_module(name: str, content: Any) -> PickledModule:
    """The module (or state dict) ``content`` of a file's entry ``name``.

    Raises:
        CheckpointError: it holds no tensors, or one of them is damaged.
    """
    module = PickledModule(name)
    _walk(content, "", module, 0)
    if not module.tensors:
        raise CheckpointError(f"its {name} is no module and no state dict")
    return module


def _walk(content: Any, prefix: str, into: PickledModule, depth: int) -> None:
    """Add a module's tensors and attributes, and those of the modules within it, under
    ``prefix``."""
    if depth > _DEEPEST:
        raise CheckpointError(
            f"its {into.name} has modules within modules, {depth} deep"
        )
    if isinstance(content, dict):  # a state dict
        for name, value in content.items():
            kept = [part for part in str(name).split(".") if part not in WRAPPERS]
            inner = prefix + ".".join(kept)
            _take(into, inner, value)
            if isinstance(value, dict | Placeholder):  # modules or dicts in a dict
                _walk(value, f"{inner}." if kept else prefix, into, depth + 1)
    elif isinstance(content, Placeholder) and isinstance(content.state, dict):
        state = content.state
        attributes = {
            k: v for k, v in state.items() if isinstance(k, str) and k[:1] != "_"
        }
        into.attributes[prefix.removesuffix(".")] = attributes
        # the position tables of the authors' modules are no buffers but plain
        # attributes
        for held in (state, _table(state, "_parameters"), _table(state, "_buffers")):
            for name, value in held.items():
                _take(into, f"{prefix}{name}", value)
        for name, child in _table(state, "_modules").items():
            inner = prefix if name in WRAPPERS else f"{prefix}{name}."
            _walk(child, inner, into, depth + 1)
    elif isinstance(content, Placeholder) and content.args:
        # torch.compile pickles the module as an argument
        _walk(content.args[0], prefix, into, depth + 1)


def _table(state: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A module's dict of that name; empty where the file has something else there."""
    found = state.get(name)
    return found if isinstance(found, dict) else {}


def _take(into: PickledModule, name: str, value: Any) -> None:
    if isinstance(value, StoredTensor):
        try:
            into.tensors[name] = value.tensor()
        except CheckpointError as error:
            raise CheckpointError(
                f"{into.name}.{shortened(name, 60)} cannot be read: {error}"
            ) from error
