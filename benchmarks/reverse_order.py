"""How well removals are told: the pairs of a data set in reverse order.

    python benchmarks/reverse_order.py DATA [--weights best] [--split val+test]

Each pair's dates are swapped, and its captions turned by the rule of
`sencap.data.reversal`: what was built is removed. A pair with a changed flag and no
caption that can be turned is left out. Printed are the scores of the pairs, first as
``--decision probability`` tells them, then as ``either-order`` does.

References and captions are turned by the same rule, so the scores say whether the right
removals are seen, not how well a person would have put them.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import sencap
from sencap.config import Decision
from sencap.data.entries import CaptionedPair
from sencap.data.levir_cc import read_dataset, splits_named
from sencap.data.reversal import reverse_words
from sencap.evaluating import report_on

DECISIONS: tuple[Decision, ...] = ("probability", "either-order")


def in_reverse_order(pair: CaptionedPair) -> CaptionedPair | None:
    """The pair with its dates swapped; None if no caption can be turned."""
    swapped = dataclasses.replace(pair, before=pair.after, after=pair.before)
    if not pair.changed:
        return swapped
    turned = [reverse_words(words) for words in pair.captions]
    captions = tuple(tuple(words) for words in turned if words is not None)
    return dataclasses.replace(swapped, captions=captions) if captions else None


def scores(
    data: Path, pairs: Sequence[CaptionedPair], weights: str | None, decision: Decision
) -> str:
    """What a report says of the pairs, in one line."""
    predictor = sencap.load(weights, decision=decision)
    report = report_on(data, pairs, predictor, batch_size=16, progress=False)
    found = report["ids"]
    return (
        f"{decision}: told right {report['change_accuracy']:.3f}, "
        f"S*m {found['all']['S*m']:.2f}, of changed pairs {found['changed']['S*m']:.2f}, "
        f"{report['diversity']['different']} different captions of them"
    )


def main() -> None:
    """Print a line for each decision."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--split", default="val+test")
    asked = parser.parse_args()
    found = read_dataset(asked.data, splits=splits_named(asked.split))
    swapped = [in_reverse_order(pair) for pair in found]
    pairs = [pair for pair in swapped if pair is not None]
    changed = sum(bool(pair.changed) for pair in pairs)
    print(f"{len(pairs)} of {len(found)} pairs, {changed} of them changed")
    for decision in DECISIONS:
        print(scores(asked.data, pairs, asked.weights, decision))


if __name__ == "__main__":
    main()
