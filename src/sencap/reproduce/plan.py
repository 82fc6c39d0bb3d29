"""From an experiment to the runs it needs: pre-trainings and trainings, each with its settings and its folder.

A run's folder is named by what decides its result, so tables that share a row share its run.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sencap.config import HardwareSettings, Split, TrainingSettings, as_dict
from sencap.errors import SettingsError, nearest
from sencap.models.variants import resolved
from sencap.pretraining.settings import PretrainingSettings
from sencap.reproduce.experiments import (
    DEFAULT,
    DEFAULT_3C,
    EXPERIMENTS,
    IMAGENET,
    PRETRAININGS,
    RANDOM,
    Experiment,
    Row,
)
from sencap.reproduce.scales import Scale, changed, scale_named

SMOKE_PLACES = "synthetic:12"


@dataclass(frozen=True)
class Options:
    """Where and how an experiment is run.

    data: a folder of captioned pairs. out: the folder of all runs and tables; use one for all experiments.
    scale: paper, medium, small or smoke. test_data, split: the pairs that are scored (data's test split).
    places: dated images for pre-training. imagenet: a file of ImageNet weights of the backbone. init: weights that
    every extractor starts from in the tables that are not about it (else: the scale's default).
    captions: the captions whose words are known. seeds: instead of the scale's. pairs: the file names of the pairs
    that Fig. 3, 4 and 5 show.
    """

    data: str
    out: str
    scale: str = "small"
    test_data: str | None = None
    split: str = "test"
    places: str | None = None
    imagenet: str | None = None
    init: str | None = None
    captions: str | None = None
    seeds: tuple[int, ...] = ()
    pairs: tuple[str, ...] = ()
    hardware: HardwareSettings = dataclasses.field(default_factory=HardwareSettings)
    progress: bool = True

    def __post_init__(self) -> None:
        scale_named(self.scale)
        known: tuple[Split, ...] = ("train", "val", "test")
        for name in self.splits:
            if name not in known:
                raise SettingsError(f"split={self.split}: {name!r} is none of {', '.join(known)}")

    @property
    def splits(self) -> list[str]:
        """The splits that are scored."""
        return self.split.split("+")

    @property
    def chosen(self) -> Scale:
        """The scale itself."""
        return scale_named(self.scale)


@dataclass(frozen=True)
class Pretraining:
    """A pre-training run and the folder its backbone lands in."""

    name: str
    settings: PretrainingSettings

    @property
    def backbone(self) -> Path:
        """What `--extractor.init` takes, once the run is done."""
        return Path(self.settings.out) / "backbone"

    @property
    def done(self) -> bool:
        """Whether there is nothing left to run."""
        return (self.backbone / "config.json").is_file()


@dataclass(frozen=True)
class Training:
    """A row with one seed: its training run and its report."""

    row: Row
    seed: int
    settings: TrainingSettings
    pretraining: Pretraining | None

    @property
    def report(self) -> Path:
        """The evaluation's JSON file; there once the run is done."""
        return Path(self.settings.out) / f"report-beam-{self.row.beam}.json"

    @property
    def done(self) -> bool:
        """Whether there is nothing left to run."""
        return self.report.is_file()


def experiment_named(name: str) -> Experiment:
    """The experiment of that name.

    Raises:
        SettingsError: there is none, with the nearest.
    """
    if name not in EXPERIMENTS:
        raise SettingsError(f"{name!r} is no table or figure of the paper; {nearest(name, EXPERIMENTS)}")
    return EXPERIMENTS[name]


def plan(experiment: Experiment, options: Options) -> list[Training]:
    """The trainings of an experiment, seeds outermost, so that a table of all rows is there early.

    Raises:
        SettingsError: a row needs weights or places that the options do not name, or has a wrong setting.
    """
    return list(_trainings(experiment, options))


def _trainings(experiment: Experiment, options: Options) -> Iterator[Training]:
    scale = options.chosen
    for seed in options.seeds or scale.seeds:
        for row in experiment.rows:
            init, pretraining = _start(row, options)
            system = str(row.settings.get("system", "sen"))
            own = scale.sen if system.startswith("sen") else scale.compared
            settings = changed(
                TrainingSettings(data=options.data, out="unnamed", seed=seed, progress=options.progress),
                {**scale.training, **own, **row.settings, "hardware": options.hardware},
            )
            if options.captions is not None:
                settings = changed(settings, {"vocabulary.captions": options.captions})
            start = pretraining.name if pretraining else init and Path(init).name
            out = Path(options.out) / "training" / f"{system}-{_digest(settings, start)}" / f"seed-{seed}"
            weights = str(pretraining.backbone) if pretraining else init
            settings = changed(settings, {"out": str(out), "extractor.init": weights})
            yield Training(row, seed, settings, pretraining)


def _digest(settings: TrainingSettings, start: str | None) -> str:
    """Of all that decides a result, but for the seed, which has a folder of its own."""
    values = as_dict(settings) | as_dict(resolved(settings.model))
    for name in ("data", "out", "seed", "progress", "resume", "hardware"):
        del values[name]
    values["vocabulary"]["captions"] = values["vocabulary"]["captions"] and "given"
    return hashlib.sha256(json.dumps([values, start], sort_keys=True).encode()).hexdigest()[:8]


def _start(row: Row, options: Options) -> tuple[str | None, Pretraining | None]:
    """How a row's extractor starts: a file of weights, or a pre-training run, or neither (random)."""
    scale = options.chosen
    name = row.init
    if name in (DEFAULT, DEFAULT_3C):
        name = "3c" if name == DEFAULT_3C and scale.default_init == "6c" else scale.default_init
        recipe = changed(TrainingSettings(data=options.data, out="unnamed"), scale.training)
        usual = resolved(recipe.model).extractor.backbone
        other = row.settings.get("extractor.backbone", usual)
        if other != usual:
            name = f"6c-{other}" if scale.default_init == "6c" else RANDOM
        elif options.init is not None:
            return options.init, None
    if name == RANDOM:
        return None, None
    if name == IMAGENET:
        return _imagenet(row.name, options), None
    return None, pretraining_named(name, options)


def _imagenet(name: str, options: Options) -> str | None:
    """The file of ImageNet weights; at smoke scale there need be none."""
    if options.imagenet is None and options.scale != "smoke":
        raise SettingsError(
            f"{name!r} starts from ImageNet; give the backbone's weights with --imagenet FILE"
        )
    return options.imagenet


def pretraining_named(name: str, options: Options) -> Pretraining:
    """The pre-training run of that name at the options' scale.

    Raises:
        SettingsError: the options name no places.
    """
    places = options.places or (SMOKE_PLACES if options.scale == "smoke" else None)
    if places is None:
        raise SettingsError(
            f"pre-training {name!r} needs dated images of places; name them with --places (see docs/seasons.md)"
        )
    scale = options.chosen
    out = Path(options.out) / "pretraining" / name
    values = dict(PRETRAININGS[name])
    share = values.pop("optimisation.epochs", None)
    if values.get("init") == IMAGENET:
        values["init"] = _imagenet(name, options)
    settings = changed(
        PretrainingSettings(data=places, out=str(out), progress=options.progress),
        {**scale.pretraining, **values, "hardware": options.hardware},
    )
    if share is not None:
        epochs = max(1, round(settings.optimisation.epochs * share))
        settings = changed(settings, {"optimisation.epochs": epochs})
    return Pretraining(name, settings)
