"""Which of a source's tensors are the backbone's, told by their names, or by their order and
shapes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from sencap.checkpoint_folder import COUNTER
from sencap.errors import CheckpointError
from sencap.foreign.inert import StoredTensor
from sencap.foreign.read import Source
from sencap.json_files import shortened
from sencap.models.misfit import misfit

# torchvision's children in their order, as they are numbered in a Sequential made of them
NUMBERED = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
# Of several networks in one file the one that is meant to be used: MoCo's query encoder, DINO's
# teacher, averages
PREFERRED = ("encoder_q", "teacher", "state_dict_ema")


@dataclass(frozen=True)
class Recognised:
    """The backbone's tensors under the backbone's names, as they are in the source.

    ``kind`` says what the source is, ``how`` the tensors were matched, ``left`` what was not taken.
    """

    kind: str
    how: str
    tensors: dict[str, Tensor]
    left: tuple[str, ...]


class _Place(NamedTuple):
    """Where the backbone's tensors may lie: ``container``[``prefix`` + alias(name)]."""

    container: str
    prefix: str
    layout: str

    @property
    def full(self) -> str:
        return f"{self.container}.{self.prefix}" if self.container else self.prefix


def _same(name: str) -> str:
    return name


def _dotted(name: str) -> str:
    return re.sub(
        r"^([a-z]+)_(\d+)\.", r"\1.\2.", name
    )  # stages_0.… of a features_only model is timm's stages.0.…


def _numbered(name: str) -> str:
    first, dot, rest = name.partition(".")
    return NUMBERED.get(first, first) + dot + rest


LAYOUTS: dict[str, Callable[[str], str]] = {
    "by name": _same,
    "by timm's names": _dotted,
    "by the numbers of a ResNet's children": _numbered,
}


def recognise(source: Source, target: Mapping[str, Tensor]) -> Recognised:
    """The tensors of ``source`` that the backbone's state ``target`` wants, shapes not yet
    compared.

    By name, under any prefix, in any of `LAYOUTS`; else by order, in one dict, where every shape
    agrees (the first convolution's input channels apart).

    Raises:
        CheckpointError: no such tensors, or those of a deeper network; the message names a tensor
            and both shapes.
    """
    # files of before 2018 lack the counters, and nothing depends on them
    wanted = [name for name in target if not name.endswith(COUNTER)]
    best: tuple[int, _Place] | None = None
    for layout, alias in LAYOUTS.items():
        names = [alias(name) for name in wanted]
        whole = []
        for place in _places(source, layout, names[0]):
            held = source.containers[place.container]
            found = sum(place.prefix + name in held for name in names)
            if found == len(names):
                whole.append(place)
            elif best is None or found > best[0]:
                best = found, place
        if whole:
            return _by_name(source, target, _choose(source, whole))
    container = max(source.containers, key=lambda name: len(source.containers[name]))
    in_order = [
        (key, value)
        for key, value in source.containers[container].items()
        if not key.endswith(COUNTER) and len(value.shape)
    ]
    first = first_convolution(target)
    for i, name in enumerate(wanted):
        here = tuple(target[name].shape)
        there = tuple(in_order[i][1].shape) if i < len(in_order) else None
        if there != here and not (
            name == first and there is not None and _ignoring_inputs(here, there)
        ):
            if best is not None:
                raise _differences(source, target, best[1])
            raise _misfit(
                source,
                name,
                here,
                f"{there} ({shortened(in_order[i][0], 60)})" if there else "nothing",
            )
    taken = dict(zip(wanted, in_order, strict=False))
    left = [key for key, _ in in_order[len(wanted) :]]
    return Recognised(
        "weights under another library's names",
        "by order and shape",
        {name: _tensor(source, *item) for name, item in taken.items()},
        _left(source, _Place(container, "", "by name"), left),
    )


def first_convolution(target: Mapping[str, Tensor]) -> str:
    """The name of the convolution that the image goes into."""
    return next(name for name, tensor in target.items() if tensor.ndim == 4)


def _places(source: Source, layout: str, first: str) -> Iterator[_Place]:
    for container, tensors in source.containers.items():
        for key in tensors:
            prefix = key.removesuffix(first)
            if prefix != key and (not prefix or prefix.endswith(".")):
                yield _Place(container, prefix, layout)


def _choose(source: Source, places: list[_Place]) -> _Place:
    for preferred in PREFERRED:
        chosen = [place for place in places if preferred in place.full]
        if len(chosen) == 1:
            return chosen[0]
    if len(places) > 1:
        raise CheckpointError(
            f"extractor.init={source.name} holds {len(places)} networks of this shape, under "
            f"{', '.join(repr(place.full) for place in places)}; save the one that is meant in a "
            "file of its own"
        )
    return places[0]


def _by_name(source: Source, target: Mapping[str, Tensor], place: _Place) -> Recognised:
    alias = LAYOUTS[place.layout]
    held = source.containers[place.container]
    taken = {
        name: place.prefix + alias(name) for name in target if place.prefix + alias(name) in held
    }
    used = set(taken.values())
    left = [key for key in held if key not in used and not key.endswith(COUNTER)]
    stages = {_stage(alias(name)) for name in target}
    for key in left:
        if key.startswith(place.prefix) and _stage(key.removeprefix(place.prefix)) in stages:
            raise CheckpointError(
                f"extractor.init={source.name} does not fit the backbone: it holds {key} "
                f"{tuple(held[key].shape)}, which the backbone lacks. Is extractor.backbone the "
                "network these weights are of, not a shallower one?"
            )
    tensors = {name: _tensor(source, key, held[key]) for name, key in taken.items()}
    return Recognised(_kind(source, place), place.layout, tensors, _left(source, place, left))


def _kind(source: Source, place: _Place) -> str:
    if source.kind:
        return source.kind
    if "encoder_q." in place.full:
        numbered = place.layout.endswith("children")
        return "a SeCo checkpoint (encoder_q)" if numbered else "a MoCo checkpoint (encoder_q)"
    if place.full == "extractor.backbone.":
        return "the weights of a sencap captioner"
    if place.full in ("", "state_dict.", "module.", "state_dict.module."):
        return "a state dict in the names of torchvision, timm and torchgeo"
    return f"a network under {place.full!r}"


def _left(source: Source, place: _Place, names: list[str]) -> tuple[str, ...]:
    """What is not taken, in groups: the parts beside the network, the other dicts, and what is no
    tensor."""
    groups: Counter[str] = Counter()
    for name in names:
        rest = name.removeprefix(place.prefix).removeprefix("module.")
        groups[rest.partition(".")[0]] += 1
    for container, tensors in source.containers.items():
        if container != place.container:
            groups[container.partition(".")[0]] += len(tensors)
    return *(f"{name} ({count})" for name, count in groups.items()), *source.others


def _stage(name: str) -> str:
    """layer3.1.conv1.weight → layer3, blocks.2.0.bn1.weight → blocks.2: the part that is there
    wholly or not at all."""
    first, second, *_ = [*name.split("."), ""]
    return f"{first}.{second}" if second.isdigit() and not first[-1].isdigit() else first


def _differences(source: Source, target: Mapping[str, Tensor], place: _Place) -> CheckpointError:
    """How the tensors in the likeliest place differ from the backbone's, the input channels
    apart."""
    held, alias = source.containers[place.container], LAYOUTS[place.layout]
    first = first_convolution(target)
    wanted = {name: tensor for name, tensor in target.items() if not name.endswith(COUNTER)}
    places = {name: place.prefix + alias(name) for name in wanted}
    found = {name: held[key] for name, key in places.items() if key in held}
    if first in found and _ignoring_inputs(tuple(target[first].shape), tuple(found[first].shape)):
        del wanted[first], found[first]
    differences = misfit(wanted, found)
    if differences is None:
        return _misfit(source, first, tuple(target[first].shape), "of another network")
    return CheckpointError(
        f"extractor.init={source.name} does not fit the backbone: {differences}. "
        "Is extractor.backbone the network these weights are of?"
    )


def _misfit(source: Source, name: str, here: tuple[int, ...], there: str) -> CheckpointError:
    return CheckpointError(
        f"extractor.init={source.name} does not fit the backbone: {name} is {here} here and "
        f"{there} there. Is extractor.backbone the network these weights are of?"
    )


def _ignoring_inputs(here: tuple[int, ...], there: tuple[int, ...]) -> bool:
    return len(here) == len(there) == 4 and (here[0], here[2:]) == (there[0], there[2:])


def _tensor(source: Source, key: str, value: Tensor | StoredTensor) -> Tensor:
    if isinstance(value, Tensor):
        return value
    try:
        return value.tensor()
    except CheckpointError as error:
        raise CheckpointError(
            f"extractor.init={source.name}: {key} cannot be read: {error}"
        ) from error
