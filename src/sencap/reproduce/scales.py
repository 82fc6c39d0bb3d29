"""How large an experiment is run: the paper's size, two that a CPU can do, and one that
only shows that it runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sencap.errors import SettingsError, nearest

S = TypeVar("S")
# 127 / 255 and 128 / 255, as the authors of EfficientNet-Lite normalise.
LITE0_MEAN, LITE0_STD = (0.498,) * 3, (0.502,) * 3


@dataclass(frozen=True)
class RunScale:
    """What all rows of all experiments share at one size.

    training: settings of `sencap train` that differ from the paper's recipe. sen,
    compared: those that SEN and its structures, and the compared systems (their frozen
    extractors), get beside. pretraining: settings of `sencap pretrain` that differ.
    default_init: how an extractor starts in the tables that are not about it. seeds:
    the training seeds.
    """

    training: Mapping[str, Any] = field(default_factory=dict)
    sen: Mapping[str, Any] = field(default_factory=dict)
    compared: Mapping[str, Any] = field(default_factory=dict)
    pretraining: Mapping[str, Any] = field(default_factory=dict)
    default_init: str = "6c"
    seeds: tuple[int, ...] = (42, 43, 44)


SMALL = RunScale(
    training={
        "dimension": 128,
        "size": 96,
        "mean": LITE0_MEAN,
        "std": LITE0_STD,
        "extractor.backbone": "tf_efficientnet_lite0",
        "loading.batch_size": 40,
        "loading.one_pass": True,
        "loading.cache": True,
        "loading.colour": 0.5,
        "loading.geometry": True,
        "optimisation.epochs": 8,
        "optimisation.learning_rate": 1e-3,
        "optimisation.weight_decay": 0.05,
        "optimisation.schedule": "cosine",
        "optimisation.average": 0.98,
    },
    sen={
        "extractor.fine_tune_from": "conv1",
        "difference.dropout": 0.3,
        "decoder.dropout": 0.3,
    },
    # 96 pixels at the stride of 16 that this stage has are 6 cells a side.
    compared={"extractor.stage": 3, "extractor.grid": 6},
    pretraining={
        "backbone": "tf_efficientnet_lite0",
        "mean": LITE0_MEAN,
        "std": LITE0_STD,
        "views.crop": 64,
        "contrast.queue": 512,
        "contrast.momentum": 0.99,
        "contrast.groups": 2,
        "contrast.mask_own": True,
        "optimisation.epochs": 40,
        "optimisation.batch_size": 64,
        "watch.every": 10,
    },
    default_init="imagenet",
    seeds=(1, 2, 3),
)

SCALES: dict[str, RunScale] = {
    "paper": RunScale(),
    "small": SMALL,
    # As many epochs as the paper.
    "medium": dataclasses.replace(
        SMALL, training={**SMALL.training, "optimisation.epochs": 40}
    ),
    "smoke": RunScale(
        training={
            "dimension": 32,
            "size": 64,
            "extractor.backbone": "test_resnet",
            "vocabulary.minimum_count": 1,
            "loading.batch_size": 20,
            "loading.one_pass": True,
            "optimisation.epochs": 1,
        },
        sen={"difference.heads": 4, "decoder.heads": 4},
        compared={"extractor.stage": 3, "extractor.grid": 4},
        pretraining={
            "backbone": "test_resnet",
            "views.crop": 32,
            "contrast.queue": 16,
            "contrast.dimension": 8,
            "contrast.groups": 1,
            "contrast.mask_own": True,
            "optimisation.epochs": 3,
            "optimisation.batch_size": 4,
            "watch.held_out": 0,
        },
        # So small that it runs anywhere, without weights.
        default_init="random",
        seeds=(1,),
    ),
}


def scale_named(name: str) -> RunScale:
    """The scale of that name.

    Raises:
        SettingsError: there is none, with the nearest.
    """
    if name not in SCALES:
        raise SettingsError(f"scale={name!r} is unknown; {nearest(name, SCALES)}")
    return SCALES[name]


def changed(settings: S, values: Mapping[str, Any]) -> S:
    """Frozen settings with other values; ``{"difference.layers": 3}`` reaches into a
    group.

    Raises:
        SettingsError: no such setting, with the nearest; or a value that is refused.
    """
    known = [f.name for f in dataclasses.fields(settings)]  # type: ignore[arg-type]
    groups: dict[str, dict[str, Any]] = {}
    own: dict[str, Any] = {}
    for key, value in values.items():
        head, _, rest = key.partition(".")
        if head not in known:
            raise SettingsError(f"{key} is not a setting; {nearest(head, known)}")
        if rest:
            groups.setdefault(head, {})[rest] = value
        else:
            own[head] = value
    # A group is a frozen object itself, replaced with its own values changed.
    own |= {
        head: changed(getattr(settings, head), inner) for head, inner in groups.items()
    }
    return dataclasses.replace(settings, **own)  # type: ignore[type-var]
