"""The folder of a pre-training run. Nothing heavy is imported, so that `sencap
pretrain` can check it first of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sencap.errors import CheckpointError, SettingsError
from sencap.pretraining.settings import PretrainingSettings
from sencap.runs.folder import RESUME, RUN, Kind, check_run, read_record

BACKBONE, PICTURE = "backbone", "watch.png"
_KIND = Kind(
    recorder="Watcher",
    folders=(BACKBONE,),
    free=frozenset(
        {
            "out",
            "data",
            "kind",
            "init",
            "workers",
            "checkpoint_every",
            "resume",
            "progress",
            "hardware",
        }
    ),
)


def check_pretraining_folder(settings: PretrainingSettings) -> int:
    """`check_run` for a pre-training run: how many epochs are done.

    Raises:
        CheckpointError: as there, and where the backbone of a finished run is missing.
    """
    # The cosine ends at the last epoch, so a run cannot be made longer.
    done = check_run(settings, _KIND, other_epochs=False, inputs=(settings.init,))
    out = Path(settings.out)
    if (
        done >= settings.optimisation.epochs
        and not (out / BACKBONE / "config.json").is_file()
    ):
        raise CheckpointError(
            f"{out / BACKBONE} is no longer there, and it is the result of this "
            f"finished run; put it back, or delete {out / RESUME}, and the same "
            "command starts the run from its first epoch"
        )
    return done


def check_places(out: Path, now: dict[str, Any]) -> None:
    """A run goes on with the places it began with, wherever they lie by now.

    Raises:
        SettingsError: they are others.
    """
    before = _places_before(out / RUN)
    # A record of an older version may lack a key, and is then believed.
    differing = [key for key, value in now.items() if before.get(key, value) != value]
    if not differing:
        return
    there = [
        f"{key}: {before[key]:,} there, {now[key]:,} now"
        for key in ("training", "held_out")
        if key in before
    ]
    raise SettingsError(
        f"out={out} holds a run on other places ({'; '.join(there)}; differing: "
        f"{', '.join(differing)}); name the same data, or choose another folder"
    )


def _places_before(run: Path) -> dict[str, Any]:
    """What the record says of the places; nothing where it is damaged, since the resume
    file does not know them."""
    try:
        places = read_record(run).get("places")
    except CheckpointError:
        return {}
    return places if isinstance(places, dict) else {}
