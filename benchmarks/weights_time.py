"""The time of a pair with each of the weights that ship, as a multiple of the usual ones'.

    python benchmarks/weights_time.py DATA [--split val+test] [--rounds 5]

The weights take turns at 40 pairs, one by one and in batches of 16, pixels read and
resized before, each with the search that it ships with. The first round warms up.
"""

from __future__ import annotations

import argparse
import statistics
from itertools import islice
from pathlib import Path
from typing import Any

from search import BATCH, TIMED, seconds

import sencap
from sencap.data.levir_cc import read_dataset, splits_named
from sencap.images import as_pair, resize

# By name, what `sencap.load` is given. The first is the one that the others are
# compared with; those in one order leave out what asking in either order costs.
WEIGHTS: dict[str, dict[str, Any]] = {
    "usual": {},
    "usual, in one order": {"decision": "probability"},
    "best": {"weights": "best"},
    "best, in one order": {"weights": "best", "decision": "probability"},
    "sen": {"weights": "sen"},
}


def main() -> None:
    """Print a line for each weights and size of batch."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="val+test")
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    found = read_dataset(asked.data, splits=splits_named(asked.split))
    pairs = [as_pair(pair.before, pair.after) for pair in islice(found, TIMED)]
    predictors = {name: sencap.load(**given) for name, given in WEIGHTS.items()}
    times: dict[tuple[str, int], list[float]] = {}
    for _ in range(1 + asked.rounds):
        for name, predictor in predictors.items():
            sized = [resize(pair, predictor.size) for pair in pairs]
            for batch in (1, BATCH):
                spent = seconds(predictor, sized, batch)
                times.setdefault((name, batch), []).append(spent)
    for (name, batch), spent in times.items():
        usual = times["usual", batch]
        ratios = [mine / theirs for mine, theirs in zip(spent, usual, strict=True)]
        milliseconds = 1000 * statistics.median(spent[1:])
        ratio = statistics.median(ratios[1:])
        print(
            f"{name}, in batches of {batch}: {milliseconds:.1f} ms, {ratio:.2f} times"
        )


if __name__ == "__main__":
    main()
