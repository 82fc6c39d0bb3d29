"""Tensors that do not fit a model, told in one short sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sencap.json_files import shortened

_NAMED = 3  # tensors that a message names; the others are counted
_LONGEST = 48  # letters of a name or a shape in a message


class Shaped(Protocol):
    """Anything with a shape: a tensor of PyTorch or of NumPy, or what a file's header
    says of one."""

    @property
    def shape(self) -> Sequence[int]:
        """Length of each axis."""


def misfit(wanted: Mapping[str, Shaped], found: Mapping[str, Shaped]) -> str | None:
    """How ``found`` differs from ``wanted`` in names and shapes, or None if it does
    not.

    At most 600 letters: tensors are counted by kind (another shape, missing, unknown),
    and three of them named.

    >>> import numpy as np
    >>> misfit({"P.bias": np.zeros(4)}, {"P.bias": np.zeros(5)})
    '1 tensor of another shape (P.bias is (4,) here and (5,) there)'
    """
    reshaped = [
        name
        for name in wanted
        if name in found and _shape(wanted, name) != _shape(found, name)
    ]
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
    kinds = {
        "of another shape": [
            f"{_name(name)} is {_told(wanted, name)} here and {_told(found, name)} there"
            for name in reshaped
        ],
        "missing": [f"{_name(name)} {_told(wanted, name)}" for name in missing],
        "unknown": [f"{_name(name)} {_told(found, name)}" for name in unknown],
    }
    present = {kind: tensors for kind, tensors in kinds.items() if tensors}
    if not present:
        return None
    each = _NAMED // len(present)
    return ", ".join(_counted(kind, tensors, each) for kind, tensors in present.items())


def _counted(kind: str, tensors: list[str], named: int) -> str:
    number = "1 tensor" if len(tensors) == 1 else f"{len(tensors)} tensors"
    others = ", …" if len(tensors) > named else ""
    return f"{number} {kind} ({', '.join(tensors[:named])}{others})"


def _shape(tensors: Mapping[str, Shaped], name: str) -> tuple[int, ...]:
    return tuple(tensors[name].shape)


def _told(tensors: Mapping[str, Shaped], name: str) -> str:
    return shortened(str(_shape(tensors, name)), _LONGEST)


def _name(name: str) -> str:
    return shortened(name, _LONGEST)
