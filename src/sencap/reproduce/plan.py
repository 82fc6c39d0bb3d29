"""From an experiment to the runs it needs: pre-trainings and trainings, each with its
settings and its folder.

A run's folder is named by what decides its result, so tables that share a row share its
run.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sencap.config import ModelSettings, TrainingSettings, as_dict
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
    Experiment,
    TableRow,
)
from sencap.reproduce.options import Options
from sencap.reproduce.scales import changed
from sencap.reproduce.starts import find_weights, fingerprint, fingerprint_of_captions
from sencap.runs.folder import flat

SMOKE_PLACES = "synthetic:12"
# Of a captioner that is built to see whether weights fit its extractor.
ANY_VOCABULARY = 10


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

    row: TableRow
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
    """`resolved`, which builds the network on no device to see; rows and tables share
    it."""
    return resolved(settings)


# Settings, or groups of them, that decide no result. The seed does, but has a folder of
# its own.
OF_NO_RESULT = frozenset(
    {"data", "out", "seed", "progress", "resume", "hardware"}
    | {"loading.workers", "loading.cache", "loading.features"}
)


def plan(experiment: Experiment, options: Options) -> list[Training]:
    """The trainings of an experiment, seeds outermost, so that a table of all rows is
    there early.

    Raises:
        SettingsError: a row needs weights or places that the options do not name, or
            has a wrong setting.
    """
    seeds = options.seeds or options.chosen.seeds
    rows = [row for row in experiment.rows if not _is_left_out(row, options)]
    return [
        _training(row, seed, options) for seed, row in itertools.product(seeds, rows)
    ]


def _training(row: TableRow, seed: int, options: Options) -> Training:
    scale = options.chosen
    # What the scale, the kind of system and the row say, each over the one before.
    settings = changed(
        TrainingSettings(
            data=options.data, out="unnamed", seed=seed, progress=options.progress
        ),
        {
            **scale.training,
            **(scale.compared if row.compared else scale.sen),
            **row.settings,
            "hardware": options.hardware,
            "loading.workers": options.workers,
            "vocabulary.captions": options.captions,
        },
    )
    backbone = str(_resolved(settings.model).extractor.backbone)
    init, pretraining = _start(row, options, backbone)
    start = None if init is None else fingerprint(init)
    # Weights that are not there yet are known by the folder of their pre-training.
    if pretraining is not None:
        init, start = str(pretraining.backbone), pretraining.folder.name
    # The name of the system for people, the digest for what else decides the result.
    variant = f"{settings.system}-{_digest(settings, start)}"
    out = Path(options.out) / "training" / variant / f"seed-{seed}"
    settings = changed(settings, {"out": str(out), "extractor.init": init})
    return Training(row, seed, settings, pretraining)


def _digest(settings: TrainingSettings, start: str | None) -> str:
    """Of all that decides a result, but for the seed, which has a folder of its own,
    and what a folder shares.

    What stands at its default is left out: a setting that comes with a later version
    then renames no folder of an older run.
    """
    # With what the system itself decides in place of None, so that a setting named or
    # left out at the same value is one run.
    values = flat(as_dict(settings) | as_dict(_resolved(settings.model)))
    bare = flat(as_dict(TrainingSettings(data=settings.data, out=settings.out)))
    chosen = {}
    for name, value in values.items():
        owner = name.partition(".")[0]
        decides = owner not in OF_NO_RESULT and name not in OF_NO_RESULT
        if decides and value != bare[name]:
            chosen[name] = value
    captions = settings.vocabulary.captions
    if captions:
        # By the content of the captions: the file may move.
        chosen["vocabulary.captions"] = fingerprint_of_captions(captions)
    content = json.dumps([chosen, start], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def _start(
    row: TableRow, options: Options, backbone: str
) -> tuple[str | None, Pretraining | None]:
    """How a row's extractor starts: weights, or a pre-training run, or neither
    (random)."""
    name = row.init
    if name in (DEFAULT, DEFAULT_3C):
        if options.init is not None and backbone == _usual_backbone(options):
            return find_weights(options.init, backbone, flag="init"), None
        name = _default_start(name, options, backbone)
    if name == RANDOM:
        return None, None
    if name == IMAGENET:
        return _imagenet(row.name, options, backbone), None
    if name == SECO and options.seco is not None:
        return find_weights(options.seco, backbone, flag="seco"), None
    return None, pretraining_named(name, options)


def _usual_backbone(options: Options) -> str | None:
    """The backbone of the scale, which the files of weights are for."""
    recipe = changed(
        TrainingSettings(data=options.data, out="unnamed"), options.chosen.training
    )
    return _resolved(recipe.model).extractor.backbone


def _default_start(name: str, options: Options, backbone: str) -> str:
    """How the tables start that are not about it, by the scale and the backbone."""
    default = options.chosen.default_init
    # A scale without pre-training: its weights fit the usual backbone only.
    if default != "6c":
        return default if backbone == _usual_backbone(options) else RANDOM
    # Weights fit one backbone, so another one has a pre-training of its own.
    if backbone != _usual_backbone(options):
        return f"6c-{backbone}"
    return "3c" if name == DEFAULT_3C else default


def _imagenet(name: str, options: Options, backbone: str) -> str | None:
    """ImageNet weights of the backbone; at smoke scale there need be none."""
    if options.imagenet is not None:
        return find_weights(options.imagenet, backbone, flag="imagenet")
    if options.scale == "smoke":
        return None
    raise SettingsError(
        f"{name!r} starts from ImageNet; give the weights of {backbone} with "
        f"--imagenet: their file, a folder that holds {backbone}.pth, or timm for "
        "timm's own"
    )


def pretraining_named(name: str, options: Options) -> Pretraining:
    """The pre-training run of that name at the options' scale.

    Raises:
        SettingsError: the options name no places.
    """
    places = options.places or (SMOKE_PLACES if options.scale == "smoke" else None)
    if places is None:
        raise SettingsError(
            f"pre-training {name!r} needs dated images of places; name them with "
            "--places (see docs/seasons.md)"
        )
    usual = changed(
        PretrainingSettings(data=places, out="unnamed"), options.chosen.pretraining
    )
    # A copy: some values become those of this scale.
    values = dict(PRETRAININGS[name])
    # A share of the scale's epochs, as of the paper's 300.
    if "optimisation.epochs" in values:
        epochs = usual.optimisation.epochs * values["optimisation.epochs"]
        values["optimisation.epochs"] = max(1, round(epochs))
    folder = name
    if values.get("init") == IMAGENET:
        # Other ImageNet weights give another pre-training, so their hash is in its
        # name.
        weights = _imagenet(name, options, values.get("backbone", usual.backbone))
        values["init"] = weights
        if weights is not None:
            _, _, content = fingerprint(weights).rpartition(":")
            folder = f"{name}-{content}"
    out = Path(options.out) / "pretraining" / folder
    own = {
        "out": str(out),
        "progress": options.progress,
        "hardware": options.hardware,
        "workers": options.workers,
    }
    return Pretraining(name, changed(usual, {**values, **own}))


def check_starts(trainings: Iterable[Training]) -> None:
    """Load every file of weights that is there into the extractor it is for, before
    hours of work.

    Raises:
        SettingsError: one does not fit, with its row.
    """
    seen = set()
    for training in trainings:
        extractor = _resolved(training.settings.model).extractor
        to_come = training.pretraining is not None
        if to_come or extractor.init is None or extractor in seen:
            continue
        seen.add(extractor)
        # Built to be loaded into and thrown away.
        captioner = build(training.settings.model, ANY_VOCABULARY)
        try:
            initialise_backbone(captioner.extractor, extractor.init)  # type: ignore[arg-type]
        except CheckpointError as error:
            raise SettingsError(
                f"row {training.row.name!r} cannot start: {error} (--imagenet also "
                "takes a folder with one file per backbone, such as resnet101.pth)"
            ) from error


def left_out(experiment: Experiment, options: Options) -> list[str]:
    """What the options leave out of an experiment, and how it is put in."""
    rows = [row for row in experiment.rows if _is_left_out(row, options)]
    return [f"{row.name} (give SeCo's weights with --seco FILE)" for row in rows]


def _is_left_out(row: TableRow, options: Options) -> bool:
    return row.init == SECO and options.seco is None
