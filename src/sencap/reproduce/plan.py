"""From an experiment to the runs it needs: pre-trainings and trainings, each with its settings and
its folder.

A run's folder is named by what decides its result, so tables that share a row share its run.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sencap.config import FORMER_DEFAULTS, ModelSettings, TrainingSettings, as_dict
from sencap.errors import CheckpointError, SettingsError
from sencap.foreign import initialise_backbone
from sencap.models.variants import build, resolved
from sencap.pretraining.settings import PretrainingSettings
from sencap.reproduce.experiments import (
    DEFAULT,
    DEFAULT_3C,
    IMAGENET,
    PRETRAININGS,
    RANDOM,
    SECO,
    SEN,
    Experiment,
    Row,
)
from sencap.reproduce.options import Options
from sencap.reproduce.scales import changed
from sencap.reproduce.starts import find_weights, fingerprint, fingerprint_of_captions

SMOKE_PLACES = "synthetic:12"
ANY_VOCABULARY = 10  # of a captioner that is built to see whether weights fit


@dataclass(frozen=True)
class Pretraining:
    """A pre-training run and the folder its backbone lands in."""

    name: str
    settings: PretrainingSettings

    @property
    def folder(self) -> Path:
        """Of the run; its name tells pre-trainings of one experiment's folder apart."""
        return Path(self.settings.out)

    @property
    def backbone(self) -> Path:
        """What `--extractor.init` takes, once the run is done."""
        return self.folder / "backbone"

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


@functools.lru_cache(maxsize=512)
def _resolved(settings: ModelSettings) -> ModelSettings:
    """`resolved`, which builds the network on no device to see; rows and tables share it."""
    return resolved(settings)


def plan(experiment: Experiment, options: Options) -> list[Training]:
    """The trainings of an experiment, seeds outermost, so that a table of all rows is there early.

    Raises:
        SettingsError: a row needs weights or places that the options do not name, or has a wrong
            setting.
    """
    return list(_trainings(experiment, options))


def _trainings(experiment: Experiment, options: Options) -> Iterator[Training]:
    scale = options.chosen
    for seed in options.seeds or scale.seeds:
        for row in experiment.rows:
            if row.init == SECO and options.seco is None:
                continue
            system = str(row.settings.get("system", SEN))
            own = scale.sen if system.startswith(SEN) else scale.compared
            settings = changed(
                TrainingSettings(
                    data=options.data, out="unnamed", seed=seed, progress=options.progress
                ),
                {**scale.training, **own, **row.settings, "hardware": options.hardware}
                | {"loading.workers": options.workers, "vocabulary.captions": options.captions},
            )
            weights, pretraining = _start(
                row, options, str(_resolved(settings.model).extractor.backbone)
            )
            start = pretraining.folder.name if pretraining else weights and fingerprint(weights)
            out = (
                Path(options.out)
                / "training"
                / f"{system}-{_digest(settings, start)}"
                / f"seed-{seed}"
            )
            init = str(pretraining.backbone) if pretraining else weights
            yield Training(
                row, seed, changed(settings, {"out": str(out), "extractor.init": init}), pretraining
            )


def _digest(settings: TrainingSettings, start: str | None) -> str:
    """Of all that decides a result, but for the seed, which has a folder of its own, and what a
    folder shares."""
    values = as_dict(settings) | as_dict(_resolved(settings.model))
    for (
        name,
        number,
    ) in FORMER_DEFAULTS.items():  # of systems without them: the folders of older runs are found
        if values["difference"][name] is None:
            values["difference"][name] = number
    for name in ("data", "out", "seed", "progress", "resume", "hardware"):
        del values[name]
    for name in ("workers", "cache"):
        del values["loading"][name]
    captions = settings.vocabulary.captions
    values["vocabulary"]["captions"] = captions and fingerprint_of_captions(captions)
    return hashlib.sha256(json.dumps([values, start], sort_keys=True).encode()).hexdigest()[:8]


def _start(row: Row, options: Options, backbone: str) -> tuple[str | None, Pretraining | None]:
    """How a row's extractor starts: weights, or a pre-training run, or neither (random)."""
    scale = options.chosen
    name = row.init
    if name in (DEFAULT, DEFAULT_3C):
        name = "3c" if name == DEFAULT_3C and scale.default_init == "6c" else scale.default_init
        recipe = changed(TrainingSettings(data=options.data, out="unnamed"), scale.training)
        if backbone != _resolved(recipe.model).extractor.backbone:
            name = f"6c-{backbone}" if scale.default_init == "6c" else RANDOM
        elif options.init is not None:
            return find_weights(options.init, backbone, flag="init"), None
    if name == RANDOM:
        return None, None
    if name == IMAGENET:
        return _imagenet(row.name, options, backbone), None
    if name == SECO and options.seco is not None:
        return find_weights(options.seco, backbone, flag="seco"), None
    return None, pretraining_named(name, options)


def _imagenet(name: str, options: Options, backbone: str) -> str | None:
    """ImageNet weights of the backbone; at smoke scale there need be none."""
    if options.imagenet is not None:
        return find_weights(options.imagenet, backbone, flag="imagenet")
    if options.scale == "smoke":
        return None
    raise SettingsError(
        f"{name!r} starts from ImageNet; give the weights of {backbone} with --imagenet: their "
        f"file, a folder that holds {backbone}.pth, or timm for timm's own"
    )


def pretraining_named(name: str, options: Options) -> Pretraining:
    """The pre-training run of that name at the options' scale.

    Raises:
        SettingsError: the options name no places.
    """
    places = options.places or (SMOKE_PLACES if options.scale == "smoke" else None)
    if places is None:
        raise SettingsError(
            f"pre-training {name!r} needs dated images of places; name them with --places (see "
            "docs/seasons.md)"
        )
    values = {**options.chosen.pretraining, **PRETRAININGS[name]}
    share = PRETRAININGS[name].get("optimisation.epochs")
    folder = name
    if share is not None:
        usual = changed(PretrainingSettings(data=places, out="unnamed"), options.chosen.pretraining)
        values["optimisation.epochs"] = max(1, round(usual.optimisation.epochs * share))
    if values.get("init") == IMAGENET:
        backbone = values.get("backbone", PretrainingSettings(data=places, out="unnamed").backbone)
        values["init"] = _imagenet(name, options, backbone)
        folder += "-" + fingerprint(values["init"]).rpartition(":")[2] if values["init"] else ""
    out = Path(options.out) / "pretraining" / folder
    settings = changed(
        PretrainingSettings(data=places, out=str(out), progress=options.progress),
        {**values, "hardware": options.hardware, "workers": options.workers},
    )
    return Pretraining(name, settings)


def check_starts(trainings: Iterable[Training]) -> None:
    """Load every file of weights that is there into the extractor it is for, before hours of work.

    Raises:
        SettingsError: one does not fit, with its row.
    """
    seen = set()
    for training in trainings:
        extractor = _resolved(training.settings.model).extractor
        if training.pretraining is not None or extractor.init is None or extractor in seen:
            continue
        seen.add(extractor)
        captioner = build(training.settings.model, ANY_VOCABULARY)
        try:
            initialise_backbone(captioner.extractor, extractor.init)  # type: ignore[arg-type]
        except CheckpointError as error:
            raise SettingsError(
                f"row {training.row.name!r} cannot start: {error} (--imagenet also takes a "
                "folder with one file per backbone, such as resnet101.pth)"
            ) from error


def left_out(experiment: Experiment, options: Options) -> list[str]:
    """What the options leave out of an experiment, and how it is put in."""
    return [
        f"{row.name} (give SeCo's weights with --seco FILE)"
        for row in experiment.rows
        if row.init == SECO and options.seco is None
    ]
