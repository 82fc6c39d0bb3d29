"""The folder of a training run. Nothing heavy is imported, so that `sencap train` can
check it first of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sencap.config import FORMER_DEFAULTS, TrainingSettings
from sencap.errors import CheckpointError
from sencap.files import check_inputs
from sencap.runs.folder import RESUME, Kind, check_run, keep_last_names
from sencap.weights import is_hub_name, resolve_weights

BEST, LAST = "best", "last"
_KIND = Kind(
    recorder="Exporter",
    folders=(BEST, LAST),
    # Where the run reads and writes, and on what machine: none of it changes what the
    # run learns.
    free=frozenset(
        {"out", "data", "selection_data", "start", "resume", "progress", "hardware"}
        | {"loading.workers", "loading.cache", "loading.features"}
    ),
    paths=frozenset({"vocabulary.captions", "extractor.init"}),
    formerly={f"difference.{name}": value for name, value in FORMER_DEFAULTS.items()},
)


def check_training_folder(settings: TrainingSettings) -> int:
    """`check_run` for a training run: how many epochs are done.

    Raises:
        CheckpointError: as there, and where the best checkpoint of the epochs that are
            done is missing.
    """
    done = check_run(
        settings,
        _KIND,
        # The paper's decay rule does not know how many epochs there will be, so a run
        # can be made longer. The cosine reaches zero at the last one.
        other_epochs=settings.optimisation.schedule == "constant",
        inputs=(settings.start, settings.extractor.init),
    )
    # The resume file holds the last epoch only. If an earlier one was best and its
    # checkpoint is gone, the run can no longer end with its result.
    best = Path(settings.out) / BEST
    if done and not (best / "config.json").is_file():
        raise CheckpointError(
            f"{best} is no longer there, and it is the result of the epochs that are "
            f"done; put it back, or delete {Path(settings.out) / RESUME}, and the "
            "same command starts the run from its first epoch"
        )
    return done


def check_sources(settings: TrainingSettings) -> None:
    """Refuse data, captions and weights that are not there.

    Raises:
        SettingsError: with the setting and the path.
    """
    for folder in settings.folders:
        check_inputs({"data": folder})
    check_inputs(
        {
            "selection_data": settings.selection_data,
            "start": settings.start,
            "vocabulary.captions": settings.vocabulary.captions,
            "extractor.init": settings.extractor.init,
        }
    )
    # Weights that cannot be fetched from the hub are told now, before data are read.
    if is_hub_name(settings.start):
        resolve_weights(settings.start)


def without_folders(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run, with the last names of paths only."""
    keep_last_names(settings, "data", "out", "selection_data", "start")
    keep_last_names(settings["vocabulary"], "captions")
    keep_last_names(settings["extractor"], "init")
    keep_last_names(settings["loading"], "features")
    return settings
