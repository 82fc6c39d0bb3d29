"""Settings that a pre-training run refuses, and the configs of the paper's rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sencap import cli
from sencap.config import HardwareSettings
from sencap.errors import SettingsError
from sencap.pretraining.settings import (
    ContrastSettings,
    PretrainingSettings,
    SgdSettings,
    ViewSettings,
    WatchSettings,
)

CONFIGS = Path(__file__).parents[2] / "configs" / "pretrain"


def run(**settings: Any) -> PretrainingSettings:
    return PretrainingSettings(**{"data": "d", "out": "o", **settings})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: run(data=""), "data is empty"),
        (
            lambda: run(method="moco"),
            "method is 'moco', which is unknown; did you mean 'moco-",
        ),
        (lambda: run(order="orderd"), "did you mean 'ordered'"),
        (
            lambda: run(method="moco-3c", order="unordered"),
            "order=unordered has no effect with method=moco-3c",
        ),
        (
            lambda: run(method="seco", season="random"),
            "season=random has no effect with method=seco",
        ),
        (
            lambda: run(method="moco-3c", views=ViewSettings(colour="per-date")),
            "views.colour=per-date has no effect",
        ),
        (lambda: run(std=(0.2, 0.0, 0.2)), "each value must be above 0"),
        (lambda: run(mean=(0.2, 0.2)), "mean is .* three values"),
        (lambda: run(mean=(0.2, 0.2, float("nan"))), "mean is .* must be a number"),
        (
            lambda: run(backbone="hf-hub:timm/resnet18.a1_in1k"),
            "backbone='hf-hub:.*' is not a timm model",
        ),
        (lambda: run(workers=-1), "workers is -1"),
        (
            lambda: ContrastSettings(queue=100_000_000),
            "queue is 100000000; it must .* from 1 to 1,000,000",
        ),
        (
            lambda: run(contrast=ContrastSettings(queue=255)),
            "batch_size=256 does not fit into contrast.queue=255",
        ),
        (
            lambda: run(hardware=HardwareSettings(devices=3)),
            r"batch_size=256 cannot be shared out evenly .* = 3 processes",
        ),
        (
            lambda: ViewSettings(crop=16),
            "views.crop is 16; it must be a whole number from 32 to",
        ),
        (
            lambda: ViewSettings(smallest=0),
            r"views.smallest is 0; it must be in \(0, 1\]",
        ),
        (lambda: ViewSettings(grey_probability=1.1), "views.grey_probability is 1.1"),
        (lambda: ViewSettings(blur=(2.0, 0.1)), "views.blur is"),
        (lambda: ContrastSettings(momentum=1.0), "contrast.momentum is 1.0"),
        (
            lambda: ContrastSettings(temperature=0),
            "contrast.temperature is 0; it must be above 0",
        ),
        (lambda: ContrastSettings(groups=0), "contrast.groups is 0"),
        (lambda: SgdSettings(batch_size=1), "optimisation.batch_size is 1"),
        (
            lambda: SgdSettings(learning_rate=float("nan")),
            "optimisation.learning_rate is nan",
        ),
        (
            lambda: WatchSettings(held_out=1),
            "watch.held_out is 1; a place cannot be found again",
        ),
        (lambda: WatchSettings(every=0), "watch.every is 0"),
    ],
)
def test_wrong_and_conflicting_settings_are_refused_with_their_names(
    make: Callable[[], object], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        make()


# method, order, season, epochs of each run of Tables II, III, VII, VIII
ROWS = {
    "6c-ordered-augment": ("moco-6c", "ordered", "augment", 300),
    "6c-ordered-random": ("moco-6c", "ordered", "random", 300),
    "6c-unordered-augment": ("moco-6c", "unordered", "augment", 300),
    "6c-unordered-random": ("moco-6c", "unordered", "random", 300),
    "6c-100-epochs": ("moco-6c", "ordered", "augment", 100),
    "6c-200-epochs": ("moco-6c", "ordered", "augment", 200),
    "6c-400-epochs": ("moco-6c", "ordered", "augment", 400),
    "6c-500-epochs": ("moco-6c", "ordered", "augment", 500),
    "3c": ("moco-3c", "ordered", "augment", 300),
    "seco": ("seco", "ordered", "augment", 300),
}


def test_there_is_one_config_per_row() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_every_config_is_its_row_and_otherwise_the_recipe(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sencap.verbs.pretrain import command

    monkeypatch.setitem(cli.VERBS, "pretrain", cli.Verb("sencap.verbs.pretrain", ""))
    path = CONFIGS / f"{name}.yaml"
    text = path.read_text(encoding="utf-8")
    head = text[: text.index("\ndata:")]
    assert f"sencap pretrain --config configs/pretrain/{path.name}" in head
    assert "NOT run by us" in head
    parser = cli.verb_parser("pretrain", command)
    values = vars(parser.instantiate(parser.parse_args(["--config", str(path)])))
    values.pop("config")
    settings = PretrainingSettings(**values)
    found = (
        settings.method,
        settings.order,
        settings.season,
        settings.optimisation.epochs,
    )
    assert found == ROWS[name]
    assert settings == run(
        data=settings.data,
        out=f"runs/pretrain/{name}",
        method=settings.method,
        order=settings.order,
        season=settings.season,
        optimisation=SgdSettings(epochs=settings.optimisation.epochs),
        workers=8,
    )


def test_the_small_config_loads_and_keeps_its_queue_within_an_epoch() -> None:
    from sencap.verbs.pretrain import command

    path = CONFIGS / "small" / "6c.yaml"
    parser = cli.verb_parser("pretrain", command)
    values = vars(parser.instantiate(parser.parse_args(["--config", str(path)])))
    values.pop("config")
    settings = PretrainingSettings(**values)
    assert (settings.method, settings.order, settings.season) == ROWS[
        "6c-ordered-augment"
    ][:3]
    assert settings.contrast.mask_own
    # The places of its smaller set that are trained on.
    assert settings.contrast.queue < 691
