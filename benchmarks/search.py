"""What a wider beam and length normalisation change, and what they cost.

    python benchmarks/search.py DATA [--split val] [--weights best] [--rounds 5]
    [--ways 3:0 10:1]

A way is BEAM:NORMALISATION. Every way captions the pairs of the split and is scored
(S*m needs Java). Then the ways take turns at 40 of the pairs, one by one and in batches
of 16, pixels read before. Printed as a table: words of a caption of a pair told
changed, S*m, S*m of the changed pairs alone, different captions of those, and the
median time of a pair as a multiple of the first way's.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
from itertools import islice
from pathlib import Path

import sencap
from sencap.data.levir_cc import read_dataset, splits_named
from sencap.evaluating import report_on
from sencap.images import as_pair, resize
from sencap.predictor import Predictor
from sencap.structures import ImagePair

TIMED, BATCH = 40, 16


def of_way(predictor: Predictor, way: str) -> Predictor:
    """The same weights, searched another way; the engine is shared."""
    beam, normalisation = way.split(":")
    other = copy.copy(predictor)
    other.beam, other.length_normalisation = int(beam), float(normalisation)
    return other


def seconds(predictor: Predictor, pairs: list[ImagePair], batch: int) -> float:
    """The time of a pair, in batches of so many."""
    start = time.perf_counter()
    for _ in predictor.stream(pairs, batch_size=batch):
        pass
    return (time.perf_counter() - start) / len(pairs)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--weights")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--ways", nargs="+", default=["3:0", "10:0", "5:1", "10:0.8", "10:1", "10:1.2"]
    )
    asked = parser.parse_args()
    predictor = sencap.load(asked.weights)
    ways = {way: of_way(predictor, way) for way in asked.ways}
    pairs = read_dataset(asked.data, splits=splits_named(asked.split))
    reports = {
        way: report_on(asked.data, pairs, one, batch_size=BATCH, progress=False)
        for way, one in ways.items()
    }
    some = [
        resize(as_pair(pair.before, pair.after), predictor.size)
        for pair in islice(pairs, TIMED)
    ]
    times: dict[tuple[str, int], list[float]] = {}
    for _ in range(asked.rounds):
        for way, one in ways.items():
            for batch in (1, BATCH):
                times.setdefault((way, batch), []).append(seconds(one, some, batch))
    print(
        "| beam | normalisation | words | S\\*m | changed apart | different | ", end=""
    )
    print(f"time alone | in batches of {BATCH} |\n|" + "---:|" * 8)
    for way, report in reports.items():
        said = [
            len(pair["hypothesis"].split())
            for pair in report["pairs"]
            if pair["told_changed"]
        ]
        scores = report["ids"]
        words = f"{statistics.mean(said):.1f}" if said else "–"
        cells = [*way.split(":"), words]
        for part in ("all", "changed"):
            value = scores[part]["S*m"]
            cells.append("–" if value is None else f"{value:.2f}")
        cells.append(str(report["diversity"]["different"]))
        for batch in (1, BATCH):
            first = statistics.median(times[asked.ways[0], batch])
            cells.append(f"{statistics.median(times[way, batch]) / first:.2f}")
        print("| " + " | ".join(cells) + " |")
    for batch in (1, BATCH):
        first = 1000 * statistics.median(times[asked.ways[0], batch])
        print(f"first way, batches of {batch}: {first:.1f} ms a pair")


if __name__ == "__main__":
    main()
