"""The folder of a run: whether one may be started or gone on with in it. Checked before
any data are read.

`RUN` records settings and figures for people, `RESUME` is what a run goes on from. Each
can be lost or damaged without the other. Nothing heavy is imported before there is a
resume file.
"""

from __future__ import annotations

import json
import logging
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sencap.config import as_dict
from sencap.environment import check_hardware
from sencap.errors import CheckpointError, SettingsError
from sencap.files import check_output_folder, delete_drafts, identity
from sencap.json_files import read_json, shown
from sencap.weights import is_hub_name

RESUME, RUN, LOGS = "resume.ckpt", "run.json", "logs"
# Of a run.json: enough for a million epochs. A larger file is not read.
_MOST_MEGABYTES = 256
EPOCHS = "optimisation.epochs"
# Changed settings that a message names.
_NAMED = 5

_log = logging.getLogger("sencap")


@dataclass(frozen=True)
class Kind:
    """What distinguishes one kind of run from another.

    recorder: the callback under whose name the resume file keeps history and settings.
    folders: what the run writes beside its logs. free: settings that may change before
    a run goes on, whole groups or ``group.name``. paths: settings that name a file,
    which may have moved. formerly: defaults of older versions that are None now.
    """

    recorder: str
    folders: tuple[str, ...]
    free: frozenset[str]
    paths: frozenset[str] = frozenset()
    formerly: Mapping[str, Any] = field(default_factory=dict)


def check_run(
    settings: Any,
    kind: Kind,
    *,
    other_epochs: bool,
    inputs: Iterable[str | Path | None] = (),
) -> int:
    """Refuse, before any data are read, hardware and a folder that a run cannot use;
    return the epochs done so far.

    ``settings`` are those of the run: hardware, out, resume and optimisation.epochs
    among them. ``other_epochs`` is whether a run that is asked for another number of
    epochs goes on as if it had been asked for it at the start. ``inputs`` are files and
    folders that the run starts from, and must not write over.

    Raises:
        SettingsError: hardware that is not here; a folder that is a file, or holds a
            run of other settings or something else.
        CheckpointError: what the run would go on from is damaged.
        OutputError: one may not write there.
    """
    # From what costs nothing to what reads a file.
    out = Path(settings.out)
    check_output_folder("out", out)
    check_hardware(settings.hardware)
    _check_entries(out, kind)
    _check_inputs(out, kind, inputs)
    resume, run = out / RESUME, out / RUN
    if resume.is_file() and not settings.resume:
        raise SettingsError(
            f"out={out} holds an unfinished or finished run and resume=false; choose "
            "another folder"
        )
    recorded = read_resume(resume, kind) if resume.is_file() else {}
    # The record says it from the start of a run, the resume file only after an epoch.
    before = recorded.get("settings")
    if run.is_file():
        before = _settings_before(run, recorded, resume)
    # An epoch has its loss only once it has ended.
    done = sum("loss" in epoch for epoch in recorded.get("history", ()))
    if before is not None:
        _check_same(before, settings, kind, done=done if other_epochs else None)
    elif not resume.is_file():
        _check_new(out, kind)
    return done


def tell_progress(done: int, settings: Any) -> None:
    """Log how far a run has come that is gone on with."""
    epochs, out = settings.optimisation.epochs, settings.out
    if done >= epochs:
        _log.info(f"the run in {out} has all its epochs; there is nothing left to do")
    elif done:
        _log.info(f"the run in {out} goes on after {done} of {epochs} epochs")


def clean(out: Path) -> None:
    """Delete the drafts that a killed run left."""
    # Drafts lie beside the files that they were to become, so one level down is enough.
    for folder in (out, *out.iterdir()):
        if folder.is_dir():
            delete_drafts(folder)


def read_record(run: Path) -> dict[str, Any]:
    """What run.json holds: settings, environment and epochs.

    Raises:
        CheckpointError: it is no such record; the message names the file.
    """
    record = read_json(run, most_megabytes=_MOST_MEGABYTES)
    record = record if isinstance(record, dict) else {}
    epochs, settings = record.get("epochs"), record.get("settings")
    whole = isinstance(epochs, list) and all(
        isinstance(epoch, dict) for epoch in epochs
    )
    if not (whole and isinstance(settings, dict)):
        raise CheckpointError(
            f"{run} is no record of a run of sencap (settings and epochs)"
        )
    return record


def load_resume(resume: str | Path, **options: Any) -> dict[str, Any]:
    """The content of a resume file, as plain data: code in it is not run, and refused.
    ``options`` of torch.load.

    Raises:
        CheckpointError: it cannot be read; the message names the file and says what to
            delete.
    """
    damaged = (
        f"{resume} is damaged, or no resume file of sencap; delete it, and the same "
        "command starts the run from its first epoch"
    )
    # PyTorch's files are zip archives. Asked first, since this needs no PyTorch.
    if not zipfile.is_zipfile(resume):
        raise CheckpointError(damaged)
    import pickle  # noqa: PLC0415  (late: see the head of this module)

    import torch  # noqa: PLC0415

    try:
        content = torch.load(resume, weights_only=True, **options)
    except (
        RuntimeError,
        ValueError,
        LookupError,
        OSError,
        EOFError,
        pickle.UnpicklingError,
    ) as error:
        raise CheckpointError(damaged) from error
    if not isinstance(content, dict):
        raise CheckpointError(damaged)
    return content


def read_resume(resume: Path, kind: Kind) -> dict[str, Any]:
    """What the recorder of a run has put into its resume file: the history, the
    settings.

    Raises:
        CheckpointError: it cannot be read, or is of another kind of run.
    """
    # Mapped into memory: only the history is read, not the weights beside it.
    content = load_resume(resume, map_location="cpu", mmap=True)
    callbacks = content.get("callbacks")
    recorded = callbacks.get(kind.recorder) if isinstance(callbacks, dict) else None
    if not isinstance(recorded, dict) or not isinstance(recorded.get("history"), list):
        raise CheckpointError(
            f"{resume} is a resume file of something else than this kind of run; "
            "choose another out, or delete it"
        )
    return recorded


def _check_entries(out: Path, kind: Kind) -> None:
    """Files where the run writes files, folders where it writes folders."""
    for name in (RESUME, RUN):
        if (out / name).is_dir():
            raise SettingsError(
                f"{out / name} is a folder, and a run writes a file there; rename "
                "it, or choose another out"
            )
    for name in (LOGS, *kind.folders):
        if (out / name).is_dir():
            check_output_folder("out", out / name)
        elif (out / name).exists():
            raise SettingsError(
                f"{out / name} is a file, and a run writes a folder there; rename "
                "it, or choose another out"
            )


def _check_inputs(out: Path, kind: Kind, inputs: Iterable[str | Path | None]) -> None:
    # By what the path leads to, so that a link to the same folder is found out.
    written = {identity(out / name) for name in kind.folders}
    for path in inputs:
        if path is not None and written & {identity(path), identity(Path(path).parent)}:
            raise SettingsError(
                f"out={out}: the run would write over {path}, which it starts from; "
                "choose another"
            )


def _check_new(out: Path, kind: Kind) -> None:
    """There is no run here: what has the names of a run's results is someone else's."""
    for name in kind.folders:
        if (out / name).is_dir() and any((out / name).iterdir()):
            raise SettingsError(
                f"out={out} holds {name}/ of another run, which would be written "
                f"over; choose another folder, or delete {out / name}"
            )


def _settings_before(
    run: Path, recorded: Mapping[str, Any], resume: Path
) -> dict[str, Any]:
    """The settings of the run in this folder, from its record, or else from its resume
    file."""
    try:
        settings: dict[str, Any] = read_record(run)["settings"]
    except CheckpointError as error:
        if "settings" in recorded:
            _log.warning(
                f"{error}; {resume} is whole, so the run goes on, and writes {RUN} anew"
            )
            settings = recorded["settings"]
        else:
            raise CheckpointError(
                f"{error}; delete it, or choose another out"
            ) from error
    return settings


def _check_same(
    before: dict[str, Any], settings: Any, kind: Kind, *, done: int | None
) -> None:
    """A run goes on with the settings it began with.

    ``done`` are the epochs behind a run whose number of epochs may change; None if it
    may not.
    """
    # Both as JSON has them, without the settings that may change.
    there = _comparable(before, kind)
    now = _comparable(as_dict(settings), kind)
    # Settings that were not there yet when the run began: it ran with what is their
    # default.
    bare = type(settings)(data=settings.data, out=settings.out)
    defaults = _comparable(as_dict(bare), kind)
    for name in now:
        there.setdefault(name, defaults[name])
    # An older version wrote the default out where None stands now, and means the same.
    for name, value in kind.formerly.items():
        if now.get(name) is None and there.get(name) == value:
            now[name] = value
    differing = [name for name, value in there.items() if now.get(name) != value]
    # More epochs are allowed if those behind it went as they would in a longer run.
    epochs_only = differing == [EPOCHS] and isinstance(there[EPOCHS], int)
    if not differing or (epochs_only and done is not None and now[EPOCHS] > done):
        return
    told = [
        f"{name}: {shown(there[name])} there, {shown(now.get(name))} now"
        for name in differing[:_NAMED]
    ]
    if len(differing) > _NAMED:
        told.append(f"and {len(differing) - _NAMED} more")
    advice = "choose another folder, or delete that one"
    if epochs_only and done is None and now[EPOCHS] > there[EPOCHS]:
        advice = (
            "its learning rate falls to nothing by its last epoch, so it cannot be "
            "made longer; give another folder, for a run of that many epochs or for "
            "one that starts from this run's weights"
        )
    raise SettingsError(
        f"out={settings.out} holds a run with other settings ({'; '.join(told)}); "
        f"{advice}"
    )


def _comparable(settings: dict[str, Any], kind: Kind) -> dict[str, Any]:
    """Settings by their dotted names, as JSON has them, without those that may
    change."""
    values: dict[str, Any] = json.loads(json.dumps(flat(settings)))
    result = {}
    for name, value in values.items():
        if name in kind.free or name.partition(".")[0] in kind.free:
            continue
        # A file may have moved: only its name has to be the same.
        moved = name in kind.paths and isinstance(value, str)
        result[name] = Path(value).name if moved else value
    return result


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their dotted names.

    >>> flat({"seed": 1, "decoder": {"layers": 2}})
    {'seed': 1, 'decoder.layers': 2}
    """
    result: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value
    return result


def keep_last_names(settings: dict[str, Any], *names: str) -> None:
    """Reduce the paths of these settings to their last names: folders of this machine
    mean nothing elsewhere. Names of the hub stay whole.

    >>> told = {"data": ["/data/one", "/data/two"], "start": "/runs/a/best", "seed": 0}
    >>> keep_last_names(told, "data", "start")
    >>> told
    {'data': ['one', 'two'], 'start': 'best', 'seed': 0}
    """
    for name in names:
        value = settings.get(name)
        if isinstance(value, list):
            settings[name] = [Path(path).name for path in value]
        elif value is not None and not is_hub_name(value):
            settings[name] = Path(value).name
