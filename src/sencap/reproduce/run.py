"""Runs an experiment: pre-trains, trains, evaluates, times, and renders; what is
finished is not run again."""

from __future__ import annotations

import json
import logging
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sencap.data.entries import CaptionedPair
from sencap.data.levir_cc import read_dataset
from sencap.environment import check_hardware, device_type, environment
from sencap.errors import CheckpointError, DataError, SettingsError
from sencap.evaluating import evaluate
from sencap.evaluation.meteor import check_meteor
from sencap.figures.files import check_path
from sencap.files import check_output_folder, check_outputs, write_whole
from sencap.images import read_pair
from sencap.json_files import read_json
from sencap.places import open_places
from sencap.predictor import Predictor, load
from sencap.pretraining.fit import pretrain
from sencap.reproduce.experiments import Experiment, experiment_named
from sencap.reproduce.options import Options
from sencap.reproduce.pictures import choose_pairs, draw_figure
from sencap.reproduce.plan import Training, check_starts, left_out, plan
from sencap.reproduce.render import as_markdown
from sencap.reproduce.starts import fingerprint_of_captions
from sencap.runs.folder import RUN, read_record
from sencap.training.fit import fit
from sencap.training.folder import BEST

# The file that tells what all runs in one folder share.
_SAME = "options.json"
TIMED_PAIRS, TIMED_ROUNDS = 16, 5
POLL_SECONDS = 5.0
# What is taken from a report.
REPORTED = ("parameters", "ids", "change_accuracy", "signatures", "reference_rows")
REPORT_MEGABYTES = 256
_AGAIN = "delete it, and the same command evaluates that run again"

_log = logging.getLogger("sencap")


def reproduce(name: str, options: Options) -> Path:
    """Run what is left of a table or figure, and write ``OUT/<name>.md`` and ``.json``,
    of a figure ``.png`` too.

    A run that was cut off goes on when the same is asked again. Several processes may
    work in one folder: each run is done by one of them, and all wait for the last.
    Returns the Markdown file.

    Raises:
        SettingsError: an unknown name, options that do not go together, weights that do
            not fit, or a folder of other options.
        DataError: the data cannot be used.
        MissingDependencyError: a figure, and matplotlib is not installed; Fig. 6, and
            there is no Java.
    """
    experiment = experiment_named(name)
    check_hardware(options.hardware)
    out = Path(options.out)
    for folder in (out, out / "training", out / "pretraining"):
        check_output_folder("out", folder)
    # The runs, the pairs that they are scored on, and those that a figure shows.
    trainings = plan(experiment, options)
    scored = read_dataset(options.test_data or options.data, splits=options.splits)
    shown = choose_pairs(scored, options.pairs)
    picture = out / f"{name}.png"
    # Whatever can be refused is refused here, before hours of work.
    _check_folder(options)
    check_outputs({file: out / file for file in (f"{name}.md", f"{name}.json")})
    _check_places(trainings, options)
    for training in trainings:
        # A report that is damaged is told now, not when the table is written.
        if training.done:
            read_run_report(training.report)
    check_starts(trainings)
    if experiment.drawing is not None:
        check_path(picture)
    # The sweeps plot S*m, which METEOR is a part of.
    if experiment.drawing == "sweeps":
        check_meteor()
    # Each run brings the table up to date, so that it can be read while others run.
    for number, training in _claimed(trainings):
        _log.info(
            f"{name}: run {number} of {len(trainings)}: {training.row.name}, seed "
            f"{training.seed}"
        )
        run_training(training, options)
        _write(name, experiment, trainings, options, speeds={})
    # Two processes that measure at once would both measure wrong.
    with FileLock(out / "speeds.lock"):
        predictors = load_first_seeds(trainings, options)
        speeds = measure_speeds(predictors, scored[:TIMED_PAIRS])
        path, result = _write(name, experiment, trainings, options, speeds=speeds)
        if experiment.drawing is not None:
            draw_figure(
                experiment.drawing,
                picture,
                predictors=predictors,
                pairs=shown,
                result=result,
            )
    return path


def _claimed(trainings: Sequence[Training]) -> Iterator[tuple[int, Training]]:
    """Each run that is left, with its number, while this process alone holds it; waits
    for what others hold."""
    told = False
    while any(not training.done for training in trainings):
        # Once through the runs; what others hold is looked at again after a while.
        held = False
        for number, training in enumerate(trainings, start=1):
            if training.done:
                continue
            with _claim(training) as ours:
                held |= not ours
                # Another process may have finished it meanwhile.
                if ours and not training.done:
                    yield number, training
        if held:
            if not told:
                _log.info("waiting for runs that other processes are busy with")
            told = True
            time.sleep(POLL_SECONDS)


@contextmanager
def _claim(training: Training) -> Iterator[bool]:
    """Whether the run and the pre-training it needs are ours; the system lets go of a
    process that dies."""
    # Several trainings may need the same pre-training, so it has a lock of its own.
    folders = [Path(training.settings.out)]
    if training.pretraining is not None and not training.pretraining.done:
        folders.append(Path(training.pretraining.settings.out))
    with ExitStack() as stack:
        try:
            for folder in folders:
                folder.parent.mkdir(parents=True, exist_ok=True)
                lock = FileLock(folder.with_suffix(".lock"), blocking=False)
                stack.enter_context(lock)
        except Timeout:
            yield False
        else:
            yield True


def run_training(training: Training, options: Options) -> None:
    """One training with all that it needs, to its report."""
    if training.pretraining is not None and not training.pretraining.done:
        _log.info(f"pre-training {training.pretraining.name}")
        pretrain(training.pretraining.settings)
    out = Path(training.settings.out)
    # Rows that differ in the beam alone share one training and have a report each.
    if not any(out.glob("report-beam-*.json")):
        fit(training.settings)
    report = evaluate(
        options.test_data or options.data,
        split=options.splits,  # type: ignore[arg-type]  # checked by Options
        weights=out / BEST,
        beam=training.row.beam,
        device=_device(options),
        # The literature's, and every system has it.
        decision="search",
    )
    write_whole(training.report, json.dumps(report) + "\n")


def read_run_report(path: Path) -> dict[str, Any]:
    """The report of a run.

    Raises:
        DataError: it is none; the message names the file and says what to delete.
    """
    try:
        report = read_json(path, most_megabytes=REPORT_MEGABYTES, error=DataError)
    except DataError as error:
        raise DataError(f"{error}; {_AGAIN}") from error
    entries = report if isinstance(report, dict) else {}
    for key in REPORTED:
        if key not in entries:
            raise DataError(
                f"{path} is no report of `sencap evaluate` (no {key}); {_AGAIN}"
            )
    whole: dict[str, Any] = report
    return whole


def load_first_seeds(
    trainings: list[Training], options: Options
) -> dict[str, Predictor]:
    """Each row's first seed, ready to caption."""
    found: dict[str, Predictor] = {}
    for training in trainings:
        if training.row.name not in found:
            weights = Path(training.settings.out) / BEST
            found[training.row.name] = load(
                weights,
                beam=training.row.beam,
                device=_device(options),
                # As the paper's speeds are, and the same for all rows.
                engine="torch",
                decision="search",
                # The speed is that of the caption alone.
                change_probability=False,
            )
    return found


def measure_speeds(
    predictors: Mapping[str, Predictor], pairs: Sequence[CaptionedPair]
) -> dict[str, list[float]]:
    """Pairs per second of each row in each of some rounds, in which the rows take
    turns."""
    # Read before the clock runs: the speed is that of the model.
    images = [read_pair(pair.before, pair.after) for pair in pairs]
    speeds: dict[str, list[float]] = {name: [] for name in predictors}
    # The rows take turns, so that a machine that grows slower does so for all of them.
    for round_ in range(TIMED_ROUNDS + 1):
        for name, predictor in predictors.items():
            began = time.perf_counter()
            predictor.caption_pairs(images)
            # The first round is for warming up.
            if round_:
                speeds[name].append(len(images) / (time.perf_counter() - began))
    return speeds


def _device(options: Options) -> str:
    return device_type(options.hardware.accelerator)


def _check_folder(options: Options) -> None:
    """One folder holds runs on the same data at the same scale, or tables would mix
    what cannot be compared."""
    now = {
        "scale": options.scale,
        "data": fingerprint_of_captions(options.data),
        "scored data": fingerprint_of_captions(options.test_data or options.data),
        "split": options.split,
        "precision": options.hardware.precision,
    }
    path = Path(options.out) / _SAME
    # A new folder has nothing to differ from.
    before = _read_same(path) if path.exists() else now
    differing = [
        f"{key} is {before.get(key, 'unknown')} there, {value} now"
        for key, value in now.items()
        if before.get(key) != value
    ]
    if differing:
        raise SettingsError(
            f"out={options.out} holds runs of another kind ({'; '.join(differing)}; "
            "data are named by a hash of their captions); choose another folder"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(now, indent=2) + "\n")


def _read_same(path: Path) -> dict[str, Any]:
    advice = (
        "delete it if all runs in this folder are of these data and this scale, or "
        "choose another out"
    )
    try:
        before = read_json(path, error=DataError)
    except DataError as error:
        raise DataError(f"{error}; {advice}") from error
    if not isinstance(before, dict):
        raise DataError(f"{path} is no record of a folder of runs; {advice}")
    return before


def _check_places(trainings: Iterable[Training], options: Options) -> None:
    """A pre-training that is done was done on the places that are named now."""
    done = {
        t.pretraining.folder: t.pretraining
        for t in trainings
        if t.pretraining and t.pretraining.done
    }
    if not done:
        return
    places = open_places(next(iter(done.values())).settings.data).fingerprint()
    for folder, pretraining in done.items():
        before = _fingerprint(folder, default=places)
        if before != places:
            raise SettingsError(
                f"out={options.out} holds pre-training {pretraining.name!r} on other "
                f"places than {pretraining.settings.data}; name the same ones with "
                "--places, or choose another folder"
            )


def _fingerprint(folder: Path, *, default: str) -> str:
    """Of the places of a pre-training; the default where they have none."""
    try:
        of_run = read_record(folder / RUN).get("places")
    except CheckpointError as error:
        raise CheckpointError(
            f"{error}; delete {folder}, and the same command pre-trains it again"
        ) from error
    if not isinstance(of_run, dict):
        return default
    fingerprint: str = of_run.get("fingerprint", default)
    return fingerprint


def _start_of(training: Training) -> str:
    if training.pretraining is not None:
        return training.pretraining.name
    init = training.settings.extractor.init
    return "random" if init is None else Path(init).name


def _seconds(training: Training) -> float | None:
    """Of the training's epochs; None if the run has no record of one."""
    try:
        record = read_record(Path(training.settings.out) / RUN)
    except CheckpointError:
        return None
    seconds = [epoch.get("seconds") for epoch in record["epochs"]]
    return None if None in seconds else sum(seconds)


def _write(
    name: str,
    experiment: Experiment,
    trainings: list[Training],
    options: Options,
    *,
    speeds: Mapping[str, list[float]],
) -> tuple[Path, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    # A set that keeps its order.
    notes: dict[str, None] = {}
    for training in trainings:
        measured = speeds.get(training.row.name, [])
        # One row for all seeds of it.
        row = rows.setdefault(
            training.row.name,
            {
                "settings": dict(training.row.settings),
                "start": _start_of(training),
                "pretrained": training.pretraining is not None,
                "beam": training.row.beam,
                "paper": dict(training.row.paper),
                "seeds": {},
                "pairs_per_second": statistics.median(measured) if measured else None,
                "speeds": measured,
            },
        )
        # Runs that are left have no figures yet.
        if training.done:
            report = read_run_report(training.report)
            row["parameters"] = report["parameters"]["total"]
            row["seeds"][str(training.seed)] = {
                **report["ids"]["all"],
                "change_accuracy": report["change_accuracy"],
                "seconds": _seconds(training),
            }
            # The same in all reports, which are of the same pairs.
            signature = report["signatures"]["ids"]
            references = report["reference_rows"]
            # The table has figures of all pairs only.
            told = [
                note for note in report.get("notes", []) if "by themselves" not in note
            ]
            notes.update(dict.fromkeys(told))
    result = {
        "experiment": name,
        "title": experiment.title,
        "picture": f"{name}.png" if experiment.drawing is not None else None,
        "scale": options.scale,
        "split": options.split,
        "signature": signature,
        "reference_rows": references,
        "rows": rows,
        "notes": list(notes),
        "left_out": left_out(experiment, options),
        "environment": environment(),
    }
    out = Path(options.out)
    write_whole(out / f"{name}.json", json.dumps(result, indent=2) + "\n")
    write_whole(out / f"{name}.md", as_markdown(result))
    return out / f"{name}.md", result
