"""Whether int8 is worth having for a checkpoint: compared with fp32 on captioned
pairs."""

from __future__ import annotations

import json
import logging
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from sencap.data.entries import CaptionedPair
from sencap.data.levir_cc import read_dataset
from sencap.engines import graphs
from sencap.engines.onnx import open_onnx
from sencap.environment import environment
from sencap.errors import SencapError
from sencap.evaluating import report_on
from sencap.files import write_whole
from sencap.images import read_pair, resize
from sencap.predictor import Predictor

# What int8 has to keep to be offered
FARTHEST_SCORE = 0.5  # points of S*m, up or down
LEAST_EQUAL_FLAGS = 0.98
LEAST_SPEED = 1.5  # times fp32, at the batch at which int8 is fastest
BATCHES = (1, 4, 16)
ROUNDS = 7

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Comparison:
    """int8 beside fp32, on one processor.

    ``score_fp32`` and ``score_int8`` are S*m under the protocol ids; ``equal_flags``
    the share of pairs of which both say the same, changed or not. By batch: ``encoder``
    and ``whole``, how many times as fast as fp32, medians of rounds in which both took
    turns; ``whole`` goes from pixels to captions. ``best`` is the batch at which int8
    is fastest.
    """

    data: str
    pairs: int
    score_fp32: float
    score_int8: float
    equal_flags: float
    encoder: dict[int, float]
    whole: dict[int, float]
    best: int
    processor: str

    def reasons_against(self) -> list[str]:
        """What int8 does not keep; none if it is to be offered."""
        found = []
        apart = self.score_int8 - self.score_fp32
        if abs(apart) > FARTHEST_SCORE:
            found.append(f"S*m differs by {apart:+.2f}; {FARTHEST_SCORE} is the most")
        if self.equal_flags < LEAST_EQUAL_FLAGS:
            found.append(
                f"the change flag is the same for {self.equal_flags:.1%} of the pairs; "
                f"{LEAST_EQUAL_FLAGS:.0%} is the least"
            )
        if self.whole[self.best] < LEAST_SPEED:
            found.append(
                f"captions come {self.whole[self.best]:.2f} times as fast at batch "
                f"{self.best}; {LEAST_SPEED} is the least"
            )
        return found

    def markdown(self) -> str:
        """The figures as a table."""
        lines = [
            f"int8 beside fp32 on {self.pairs} pairs; {self.processor}.",
            "",
            "| | fp32 | int8 |",
            "|---|---:|---:|",
            f"| S*m, ids | {self.score_fp32:.2f} | {self.score_int8:.2f} |",
            f"| the same change flag | | {self.equal_flags:.1%} |",
        ]
        for batch in self.whole:
            lines += [
                f"| speed of the encoder, batch {batch} | 1 | "
                f"{self.encoder[batch]:.2f} |",
                f"| speed from pixels to words, batch {batch} | 1 | "
                f"{self.whole[batch]:.2f} |",
            ]
        return "\n".join(lines)


def check_int8(folder: Path, data: str | Path, splits: Sequence[str]) -> Comparison:
    """Compare, and write what came out into the int8 graph; a graph that does not do is
    deleted.

    Raises:
        DataError, CheckpointError: what cannot be used, and why.
        SencapError: METEOR, and so S*m, cannot be had.
    """
    pairs = read_dataset(data, splits=splits)
    found = _compare(folder, Path(data), pairs)
    path = folder / graphs.ENCODER_INT8
    # A file that is there is offered: one that does not do goes, so that nobody takes
    # it.
    if found.reasons_against():
        path.unlink()
        return found
    model = graphs.read_graph(path)
    # The figures go into the graph itself; the engine looks for them when it opens one.
    record = {**graphs.int8_record(path), "measured": asdict(found)}
    metadata = {**graphs.metadata_of(model), graphs.INT8: json.dumps(record)}
    onnx.helper.set_model_props(model, metadata)
    write_whole(path, model.SerializeToString())
    return found


def _compare(folder: Path, data: Path, pairs: list[CaptionedPair]) -> Comparison:
    exact = Predictor(*open_onnx(folder))
    fast = Predictor(*open_onnx(folder, precision="int8"))
    reports = []
    # The same pairs and the same evaluation, with only the encoder exchanged.
    for predictor in (exact, fast):
        report = report_on(
            data, pairs, predictor, batch_size=max(BATCHES), progress=False
        )
        if report["ids"]["all"]["S*m"] is None:
            raise SencapError(f"S*m cannot be had: {' '.join(report['notes'])}")
        reports.append(report)
    score_fp32, score_int8 = (report["ids"]["all"]["S*m"] for report in reports)
    # Changed or not is told of each pair beside its caption, so it is compared by
    # itself.
    told = zip(*(report["pairs"] for report in reports), strict=True)
    equal = [one["told_changed"] == other["told_changed"] for one, other in told]
    encoder, whole, best = _speeds(exact, fast, pairs)
    return Comparison(
        data=data.name,
        pairs=len(pairs),
        score_fp32=score_fp32,
        score_int8=score_int8,
        equal_flags=sum(equal) / len(equal),
        encoder=encoder,
        whole=whole,
        best=best,
        processor=str(environment()["processor"]),
    )


def _speeds(
    exact: Predictor, fast: Predictor, pairs: Sequence[CaptionedPair]
) -> tuple[dict[int, float], dict[int, float], int]:
    """By batch the ratios of speeds, of the encoder and of the whole; and int8's
    fastest batch."""
    some = pairs[: max(BATCHES)]
    images = [read_pair(pair.before, pair.after, size=exact.size) for pair in some]
    encoder, whole, rates = {}, {}, {}
    for batch in BATCHES:
        _log.info("timing both at batch %d", batch)
        chosen = images[:batch]
        pixels = np.stack([resize(pair.images, exact.size) for pair in chosen])
        encoder[batch], _ = _ratio(exact.engine.encode, fast.engine.encode, pixels)
        whole[batch], seconds = _ratio(exact.caption_pairs, fast.caption_pairs, chosen)
        # Where the data have fewer pairs than a batch, all of them are one.
        rates[batch] = len(chosen) / seconds
    return encoder, whole, max(rates, key=lambda batch: rates[batch])


def _ratio(
    slow: Callable[[Any], Any], fast: Callable[[Any], Any], given: Any
) -> tuple[float, float]:
    """How many times as fast, in turns: the median of the rounds; and the median
    seconds of the fast one."""
    ratios, seconds = [], []
    for number in range(ROUNDS + 1):
        # Both in turns, so that a busy moment of the machine meets both.
        taken = [_seconds(way, given) for way in (slow, fast)]
        if number > 0:  # the first turn warms both up
            ratios.append(taken[0] / taken[1])
            seconds.append(taken[1])
    return statistics.median(ratios), statistics.median(seconds)


def _seconds(way: Callable[[Any], Any], given: Any) -> float:
    begin = time.perf_counter()
    way(given)
    return time.perf_counter() - begin
