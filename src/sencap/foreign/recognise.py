"""Which of a source's tensors are the backbone's, told by their names, or by their
order and shapes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from sencap.checkpoint_folder import COUNTER
from sencap.errors import CheckpointError
from sencap.foreign.read import Source
from sencap.json_files import shortened
from sencap.models.misfit import misfit

# torchvision's children in their order, as they are numbered in a Sequential made of
# them
NUMBERED = {
    "conv1": "0",
    "bn1": "1",
    "layer1": "4",
    "layer2": "5",
    "layer3": "6",
    "layer4": "7",
}
# Of several networks in one file the one that is meant to be used: MoCo's query
# encoder, DINO's teacher, averages
PREFERRED = ("encoder_q", "teacher", "state_dict_ema")
ENCODERS = {"query": PREFERRED, "key": ("encoder_k",)}


@dataclass(frozen=True)
class Recognised:
    """The backbone's tensors under the backbone's names, as they are in the source.

    ``kind`` says what the source is, ``how`` the tensors were matched, ``left`` what
    was not taken.
    """

    kind: str
    how: str
    tensors: dict[str, Tensor]
    left: tuple[str, ...]


class _Place(NamedTuple):
    """Where the backbone's tensors may lie, ``found`` of them: ``container``[``prefix``
    + alias(name)]."""

    container: str
    prefix: str
    layout: str
    found: int = 0

    @property
    def full(self) -> str:
        return f"{self.container}.{self.prefix}" if self.container else self.prefix


def _same(name: str) -> str:
    return name


def _dotted(name: str) -> str:
    # stages_0.… of a features_only model is stages.0.… in timm's own
    return re.sub(r"^([a-z]+)_(\d+)\.", r"\1.\2.", name)


def _numbered(name: str) -> str:
    first, dot, rest = name.partition(".")
    return NUMBERED.get(first, first) + dot + rest


LAYOUTS: dict[str, Callable[[str], str]] = {
    "by name": _same,
    "by timm's names": _dotted,
    "by the numbers of a ResNet's children": _numbered,
}


def recognise(
    source: Source, target: Mapping[str, Tensor], *, encoder: str = "query"
) -> Recognised:
    """The tensors of ``source`` that the backbone's state ``target`` wants, shapes not
    yet compared.

    By name, under any prefix, in any of `LAYOUTS`; else by order, in one dict, where
    every shape agrees (the first convolution's input channels apart). ``encoder`` says
    which of MoCo's two is meant.

    Raises:
        CheckpointError: no such tensors, or those of a deeper network; the message
            names a tensor and both shapes.
    """
    # files of before 2018 lack the counters, and nothing depends on them
    wanted = {
        name: tensor for name, tensor in target.items() if not name.endswith(COUNTER)
    }
    partly: list[_Place] = []
    for layout in LAYOUTS:
        places = list(_places(source, layout, list(wanted)))
        whole = [place for place in places if place.found == len(wanted)]
        if whole:
            return _by_name(source, target, _choose(source, whole, encoder))
        partly += places
    try:
        return _by_order(source, wanted)
    except CheckpointError as error:
        if not partly:
            raise
        # where some names agree, names tell more of what is wrong than the order does
        likeliest = max(partly, key=lambda place: place.found)
        raise _differences(source, wanted, likeliest) from error


def _by_order(source: Source, wanted: Mapping[str, Tensor]) -> Recognised:
    """Another library's port of the network: the tensors one after the other, the
    shapes alike.

    Raises:
        CheckpointError: a shape differs, the first convolution's input channels apart.
    """
    container = max(source.containers, key=lambda name: len(source.containers[name]))
    held = source.containers[container]
    # a counter under another name is a single number without axes
    keys = [key for key in held if not key.endswith(COUNTER) and held[key].ndim]
    first = first_convolution(wanted)
    for number, (name, tensor) in enumerate(wanted.items()):
        here = tuple(tensor.shape)
        if number == len(keys):
            raise _misfit(source, name, here, "nothing")
        key = keys[number]
        there = tuple(held[key].shape)
        alike = _ignoring_inputs(here, there) if name == first else here == there
        if not alike:
            raise _misfit(source, name, here, f"{there} ({shortened(key, 60)})")
    return Recognised(
        "weights under another library's names",
        "by order and shape",
        {name: held[key] for name, key in zip(wanted, keys, strict=False)},
        _left(source, _Place(container, "", "by name"), keys[len(wanted) :]),
    )


def first_convolution(target: Mapping[str, Tensor]) -> str:
    """The name of the convolution that the image goes into."""
    return next(name for name, tensor in target.items() if tensor.ndim == 4)


def _places(source: Source, layout: str, wanted: list[str]) -> Iterator[_Place]:
    """Every place that holds the first of the wanted tensors, and how many of all it
    holds."""
    names = [LAYOUTS[layout](name) for name in wanted]
    for container, held in source.containers.items():
        for key in held:
            prefix = key.removesuffix(names[0])
            if prefix != key and (not prefix or prefix.endswith(".")):
                found = sum(prefix + name in held for name in names)
                yield _Place(container, prefix, layout, found)


def _choose(source: Source, places: list[_Place], encoder: str) -> _Place:
    for preferred in ENCODERS[encoder]:
        chosen = [place for place in places if preferred in place.full]
        if len(chosen) == 1:
            return chosen[0]
    if encoder == "key":
        raise CheckpointError(
            f"extractor.init={source.name}?encoder=key: the file holds no key encoder "
            "(encoder_k); leave encoder=key out"
        )
    if len(places) > 1:
        raise CheckpointError(
            f"extractor.init={source.name} holds {len(places)} networks of this "
            f"shape, under {', '.join(repr(place.full) for place in places)}; save "
            "the one that is meant in a file of its own"
        )
    return places[0]


def _by_name(source: Source, target: Mapping[str, Tensor], place: _Place) -> Recognised:
    alias = LAYOUTS[place.layout]
    held = source.containers[place.container]
    taken = {
        name: place.prefix + alias(name)
        for name in target
        if place.prefix + alias(name) in held
    }
    used = set(taken.values())
    left = [key for key in held if key not in used and not key.endswith(COUNTER)]
    stages = {_stage(alias(name)) for name in target}
    for key in left:
        if (
            key.startswith(place.prefix)
            and _stage(key.removeprefix(place.prefix)) in stages
        ):
            raise CheckpointError(
                f"extractor.init={source.name} does not fit the backbone: it holds "
                f"{key} {tuple(held[key].shape)}, which the backbone lacks. Is "
                "extractor.backbone the network these weights are of, not a "
                "shallower one?"
            )
    tensors = {name: held[key] for name, key in taken.items()}
    return Recognised(
        _kind(source, place), place.layout, tensors, _left(source, place, left)
    )


def _kind(source: Source, place: _Place) -> str:
    if source.kind:
        return source.kind
    for encoder in ("encoder_q", "encoder_k"):
        if f"{encoder}." in place.full:
            numbered = place.layout.endswith("children")
            method = "SeCo" if numbered else "MoCo"
            return f"a {method} checkpoint ({encoder})"
    if place.full == "extractor.backbone.":
        return "the weights of a sencap captioner"
    if place.full in ("", "state_dict.", "module.", "state_dict.module."):
        return "a state dict in the names of torchvision, timm and torchgeo"
    return f"a network under {place.full!r}"


def _left(source: Source, place: _Place, names: list[str]) -> tuple[str, ...]:
    """What is not taken, in groups: the parts beside the network, the other dicts, and
    what is no tensor."""
    groups: Counter[str] = Counter()
    for name in names:
        rest = name.removeprefix(place.prefix).removeprefix("module.")
        groups[rest.partition(".")[0]] += 1
    for container, tensors in source.containers.items():
        if container != place.container:
            groups[container.partition(".")[0]] += len(tensors)
    return *(f"{name} ({count})" for name, count in groups.items()), *source.others


def _stage(name: str) -> str:
    """layer3.1.conv1.weight → layer3, blocks.2.0.bn1.weight → blocks.2: the part that
    is there wholly or not at all."""
    first, second, *_ = [*name.split("."), ""]
    return (
        f"{first}.{second}" if second.isdigit() and not first[-1].isdigit() else first
    )


def _differences(
    source: Source, wanted: Mapping[str, Tensor], place: _Place
) -> CheckpointError:
    """How the tensors in the likeliest place differ from the backbone's, the input
    channels apart."""
    held, alias = source.containers[place.container], LAYOUTS[place.layout]
    keys = {name: place.prefix + alias(name) for name in wanted}
    found = {name: held[key] for name, key in keys.items() if key in held}
    first = first_convolution(wanted)
    here = tuple(wanted[first].shape)
    others = dict(wanted)
    if first in found and _ignoring_inputs(here, tuple(found[first].shape)):
        del others[first], found[first]
    differences = misfit(others, found)
    if differences is None:
        return _misfit(source, first, here, "of another network")
    return CheckpointError(
        f"extractor.init={source.name} does not fit the backbone: {differences}. "
        "Is extractor.backbone the network these weights are of?"
    )


def _misfit(
    source: Source, name: str, here: tuple[int, ...], there: str
) -> CheckpointError:
    return CheckpointError(
        f"extractor.init={source.name} does not fit the backbone: {name} is {here} "
        f"here and {there} there. Is extractor.backbone the network these weights "
        "are of?"
    )


def _ignoring_inputs(here: tuple[int, ...], there: tuple[int, ...]) -> bool:
    return len(here) == len(there) == 4 and (here[0], here[2:]) == (there[0], there[2:])
