"""Modules of somebody else's code matched with ours by what they hold: kinds and shapes,
the order in the file, and the usual words for siblings.

A `Unit` is a module without modules in it: a linear layer, a convolution, a norm, an
embedding, a whole attention, an LSTM cell. Two units may be one if their tensors have
the same shapes. Of several that may, the first of theirs is the first of ours. Whether
that is right is then checked: the units of one of their layers must all lie in one of
ours.
"""

from __future__ import annotations

import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from sencap.checkpoint_folder import COUNTER
from sencap.json_files import shortened

PROJECTIONS = ("query", "key", "value")
SLOTS = {
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "in_proj_weight",
    "in_proj_bias",
    "out_proj.weight",
    "out_proj.bias",
    "weight_ih",
    "weight_hh",
    "bias_ih",
    "bias_hh",
}
# Siblings of one shape by the words for them: the first group comes before the second
_FIRST = re.compile(r"^(self|h_|row|height|y_)")
_SECOND = re.compile(r"^(multihead|cross|w_|col|width|x_)")
_MOST_ORDERS = 720  # orders of a file's outermost modules that are tried


@dataclass(frozen=True)
class Unit:
    """A module without modules in it; ``tensors`` by their names within it."""

    path: str
    tensors: Mapping[str, Tensor]

    @property
    def kind(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Names and shapes; a 1×1 convolution is a linear layer."""
        shapes = {}
        for slot, tensor in self.tensors.items():
            shape = tuple(tensor.shape)
            shapes[slot] = shape[:2] if shape[2:] == (1, 1) else shape
        return tuple(sorted(shapes.items()))

    @property
    def layer(self) -> str:
        """The path up to its last number: the layer that the unit is of, "" for none."""
        numbered = re.match(r"(.*\.)?\d+(?=\.|$)", self.path)
        return numbered[0] if numbered else ""

    def __str__(self) -> str:
        shapes = [str(tuple(tensor.shape)) for tensor in self.tensors.values()]
        return f"{shortened(self.path, 48)} {shapes[0]}"


class Units(NamedTuple):
    """The units of a state dict, and the names of tensors that belong to none."""

    units: list[Unit]
    loose: list[str]


def units_of(tensors: Mapping[str, Tensor]) -> Units:
    """A state dict in units, in its order; ours and theirs alike."""
    grouped: dict[str, dict[str, Tensor]] = defaultdict(dict)
    loose = []
    for name, tensor in tensors.items():
        if name.endswith(COUNTER):
            continue
        path, slot = _split(name, tensors)
        if slot in SLOTS:
            grouped[path][slot] = tensor
        else:
            loose.append(name)
    return Units([Unit(path, held) for path, held in grouped.items()], loose)


def _split(name: str, tensors: Mapping[str, Tensor]) -> tuple[str, str]:
    """Path and name within the unit: an attention has its output layer with it."""
    path, _, slot = name.rpartition(".")
    outer, _, child = path.rpartition(".")
    if child == "out_proj" and f"{outer}.in_proj_weight" in tensors:
        return outer, f"out_proj.{slot}"
    return path, slot.removesuffix("_l0")


def joined_attentions(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict with query, key and value of each attention in one matrix, as
    torch.nn.MultiheadAttention keeps them."""
    joined: dict[str, Tensor] = {}
    for name, tensor in state.items():
        path, _, slot = name.rpartition(".")
        outer, _, child = path.rpartition(".")
        is_attention = f"{outer}.query.weight" in state
        if is_attention and child == "query":
            three = [state[f"{outer}.{part}.{slot}"] for part in PROJECTIONS]
            joined[f"{outer}.in_proj_{slot}"] = torch.cat(three)
        elif is_attention and child == "out":
            joined[f"{outer}.out_proj.{slot}"] = tensor
        elif not (is_attention and child in PROJECTIONS):
            joined[name] = tensor
    return joined


def parted_attentions(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `joined_attentions`."""
    parted = {}
    for name, tensor in state.items():
        path, _, slot = name.rpartition(".")
        if slot.startswith("in_proj_"):
            kind = slot.removeprefix("in_proj_")
            for part, piece in zip(PROJECTIONS, tensor.chunk(3), strict=True):
                parted[f"{path}.{part}.{kind}"] = piece
        else:
            parted[name.replace(".out_proj.", ".out.")] = tensor
    return parted


class MisfitError(Exception):
    """Their units are not those of this system; the message is half a sentence.

    ``lacking`` is how many of ours have no unit of theirs.
    """

    def __init__(self, message: str, lacking: int = 0) -> None:
        super().__init__(message)
        self.lacking = lacking


def match(ours: Sequence[Unit], theirs: Sequence[Unit]) -> dict[str, Unit]:
    """Their unit for each path of ours.

    Raises:
        MisfitError: one is missing, there are more of a kind than ours, or no order of
            theirs puts each of their layers into one of ours.
    """
    wanted = _by_kind(ours)
    found = _by_kind(theirs)
    missing = []
    for kind, units in wanted.items():
        missing += units[len(found.get(kind, ())) :]
    if missing:
        others = f" and {len(missing) - 2} more" if len(missing) > 2 else ""
        named = ", ".join(str(unit) for unit in missing[:2])
        raise MisfitError(f"it has nothing for our {named}{others}", len(missing))
    for kind, units in wanted.items():
        if len(found[kind]) > len(units):
            raise MisfitError(
                f"it has {len(found[kind])} modules like {found[kind][0]}, and "
                f"this system has {len(units)}"
            )
    useful = [unit for unit in theirs if unit.kind in wanted]
    for order in _orders(useful):
        ordered = _by_kind(_siblings_in_order(order))
        pairs = {}
        for kind, units in wanted.items():
            for our, their in zip(units, ordered[kind], strict=True):
                pairs[our.path] = their
        if _layers_hold_together(pairs):
            return pairs
    raise MisfitError("its layers do not hold what ours hold")


def _by_kind(units: Iterable[Unit]) -> dict[object, list[Unit]]:
    grouped: dict[object, list[Unit]] = defaultdict(list)
    for unit in units:
        grouped[unit.kind].append(unit)
    return grouped


def _orders(units: Sequence[Unit]) -> Iterable[list[Unit]]:
    """The units in the file's order, then with its outermost modules in other orders:
    the order in which modules are made is not always that in which they are used."""
    outermost: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        outermost[unit.path.partition(".")[0]].append(unit)
    orders = itertools.permutations(outermost)
    for order in itertools.islice(orders, _MOST_ORDERS):
        ordered: list[Unit] = []
        for name in order:
            ordered += outermost[name]
        yield ordered


def _siblings_in_order(units: Sequence[Unit]) -> list[Unit]:
    """Units of one kind in one module put in the order of their names, where these
    tell: norm1 before norm2, self_attn before multihead_attn, rows before columns."""
    places: dict[object, list[int]] = defaultdict(list)
    for place, unit in enumerate(units):
        parent = unit.path.rpartition(".")[0]
        places[parent, unit.kind].append(place)
    ordered = list(units)
    for siblings in places.values():
        by_rank = sorted((units[place] for place in siblings), key=_rank)
        for place, unit in zip(siblings, by_rank, strict=True):
            ordered[place] = unit
    return ordered


def _rank(unit: Unit) -> tuple[int, int]:
    last = unit.path.rpartition(".")[2]
    word = 1
    if _FIRST.match(last):
        word = 0
    elif _SECOND.match(last):
        word = 2
    number = re.search(r"\d+$", last)
    return word, int(number[0]) if number else 0


def _layers_hold_together(pairs: Mapping[str, Unit]) -> bool:
    """Each of their layers lies in one of ours, and each of ours in one of theirs
    (nested numbers, as of a Sequential within a layer, apart)."""
    ours: dict[str, set[str]] = defaultdict(set)
    for path, their in pairs.items():
        our_layer = Unit(path, {}).layer
        if our_layer and their.layer:
            ours[their.layer].add(our_layer)
    return all(len(layers) == 1 for layers in ours.values())
