"""How many pairs and seeds a claimed gain needs, from reports and from human captions;
docs/statistics.md.

    python benchmarks/pairs_and_seeds.py --system beam1 r1.json --system beam3 r3.json
    python benchmarks/pairs_and_seeds.py --system SEN s0.json s1.json s2.json --system
    PSNet p0.json p1.json p2.json python benchmarks/pairs_and_seeds.py --captions
    LevirCCcaptions.json python benchmarks/pairs_and_seeds.py --coverage

--system takes a name and the reports of sencap evaluate --json, one per seed; every two
  systems are compared.
--captions takes a LEVIR-CC caption file and uses human captions of its test split as
  systems: a pair's caption i
against its four others (for an unchanged pair against all five, as in the reference row
"human"). It needs Java, and 5 minutes on one core.
--coverage simulates how often the interval of several seeds holds the true difference.
  All draws are seeded.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sencap.data.vocabulary import Vocabulary
from sencap.evaluation.bootstrap import Spread, resample_subset, seed_weights
from sencap.evaluation.comparable import ComparedReport, check_comparable, read_report
from sencap.evaluation.metrics import Floats
from sencap.evaluation.planning import pairs_needed, seeds_needed, smallest_gain
from sencap.evaluation.protocol import texts
from sencap.evaluation.report import table
from sencap.evaluation.scoring import Scoring, score_all
from sencap.evaluation.statistics import PairStatistics, System, as_flags, members

SIZES = (125, 250, 500, 1000, 1929)
TEST_SETS = {125: 200, 250: 200, 500: 100, 1000: 30, 1929: 1}
"""Test sets drawn of each size, without replacement."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--system", nargs="+", action="append", default=[], metavar=("NAME", "REPORT")
    )
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--protocol", choices=("ids", "words"), default="ids")
    parser.add_argument("--metric", default="S*m")
    parser.add_argument(
        "--subset", choices=("all", "changed", "unchanged"), default="all"
    )
    parser.add_argument(
        "--gain",
        type=float,
        default=1.0,
        help="the gain to show, in points (default: 1)",
    )
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--trials",
        type=int,
        default=2000,
        help="how often --coverage simulates, and the most test sets that --captions "
        "draws of a size",
    )
    args = parser.parse_args()
    if args.system:
        groups = {
            name: [read_report(path) for path in paths] for name, *paths in args.system
        }
        print("\n".join(of_reports(groups, args)))
    if args.captions is not None:
        print("\n".join(of_humans(args.captions, args)))
    if args.coverage:
        print("\n".join(of_coverage(args.seed, args.trials)))


# ----------------------------------------------------------------------------------------- reports


def of_reports(
    groups: dict[str, list[ComparedReport]], args: argparse.Namespace
) -> list[str]:
    """Errors of every system and of every difference, and what a gain needs."""
    notes = check_comparable(
        [report for side in groups.values() for report in side], [args.protocol]
    )
    exact: dict[str, Floats] = {}
    means: dict[str, Floats] = {}
    for name, reports in groups.items():
        column = reports[0].system.columns().index((args.protocol, args.metric))
        exact[name] = np.array(
            [one.system.scores(args.subset)[0, column] for one in reports]
        )
        if np.isnan(exact[name]).any():
            raise SystemExit(
                f"{args.metric} is missing from reports of {name}: evaluate them where "
                "Java is, or name another --metric"
            )
        means[name] = np.mean(
            [_resampled(one.system, args)[:, column] for one in reports], axis=0
        )
    first = next(iter(groups.values()))[0].system
    number = members(first.changed, args.subset).size
    variances = [scores.var(ddof=1) for scores in exact.values() if len(scores) > 1]
    seed_sd = math.sqrt(np.mean(variances)) if variances else None
    lines = [
        f"{args.metric} under {args.protocol}, {args.subset} pairs: {number}; "
        f"{args.resamples:,} resamples.",
        "",
    ]
    rows = [
        [
            name,
            str(len(scores)),
            f"{scores.mean():.2f}",
            f"{_error(means[name]):.2f}",
            f"{scores.std(ddof=1):.2f}" if len(scores) > 1 else "–",
        ]
        for name, scores in exact.items()
    ]
    lines += [
        *table(["system", "seeds", args.metric, "error, pairs", "sd, seeds"], rows),
        "",
    ]
    if seed_sd is not None:
        degrees = sum(len(scores) - 1 for scores in exact.values())
        lines += [
            f"Between-seed standard deviation, pooled: {seed_sd:.3f} ({degrees} "
            "degrees of freedom).",
            "",
        ]
    rows = [
        [
            f"{a} → {b}",
            *_difference(
                (exact[a], exact[b]), (means[a], means[b]), number, seed_sd, args.gain
            ),
        ]
        for a, b in itertools.combinations(groups, 2)
    ]
    head = ["A → B", "B − A", "error if paired", "if not", "correlation"]
    head += [
        f"pairs for {args.gain:g}",
        "gain these pairs show",
        f"seeds for {args.gain:g}",
    ]
    return [*lines, *table(head, rows), "", *(f"- {note}" for note in notes), ""]


def _difference(
    exact: tuple[Floats, Floats],
    means: tuple[Floats, Floats],
    pairs: int,
    seed_sd: float | None,
    gain: float,
) -> list[str]:
    """B − A, its errors and what the gain needs; exact: scores of the seeds, means:
    resampled, over the seeds."""
    error = _error(means[1] - means[0])
    seeds = min(len(side) for side in exact)
    needed = None if seed_sd is None else seeds_needed(seed_sd, gain, error)
    return [
        f"{exact[1].mean() - exact[0].mean():+.2f}",
        f"{error:.2f}",
        f"{math.hypot(*(_error(side) for side in means)):.2f}",
        f"{np.corrcoef(*means)[0, 1]:.2f}",
        f"{pairs_needed(error, pairs, gain):,}",
        f"{smallest_gain(error, seed_sd or 0.0, seeds):.2f}",
        "–"
        if seed_sd is None
        else "more pairs first"
        if needed is None
        else str(needed),
    ]


def _resampled(
    system: System, args: argparse.Namespace, resamples: int | None = None
) -> Floats:
    return resample_subset(
        system, args.subset, resamples=resamples or args.resamples, seed=args.seed
    )


def _error(values: Floats) -> float:
    return float(values.std(ddof=1))


# ------------------------------------------------------------------------------------------ humans


def of_humans(path: Path, args: argparse.Namespace) -> list[str]:
    """The error of the difference of two humans, by the number of pairs, against what
    test sets really do."""
    scorings, changed = human_scorings(path, args.protocol)
    generator = np.random.default_rng(args.seed)
    lines = [
        f"Human captions as systems, {args.metric} under {args.protocol}, "
        f"{len(changed)} pairs.",
        "",
    ]
    scores = [scoring.total()[args.metric] for scoring in scorings]
    lines += [
        "Scores: " + ", ".join(f"{score:.2f}" for score in scores if score is not None),
        "",
    ]
    rows, constants, sizes = [], [], []
    for size in SIZES:
        errors, covered, spread = [], [], []
        for one, other in ((0, 1), (2, 3), (4, 0)):
            found = [
                _test_set(scorings[one], scorings[other], changed, rows_, args)
                for rows_ in _test_sets(len(changed), size, generator, args.trials)
            ]
            differences = np.array([difference for difference, _ in found])
            errors.append(np.median([each.error for _, each in found]))
            centre = differences.mean()
            covered.append(
                np.mean([each.low <= centre <= each.high for _, each in found])
            )
            finite = (
                math.sqrt(1 - size / len(changed)) if size < len(changed) else math.nan
            )
            spread.append(
                differences.std(ddof=1) / finite if len(found) > 1 else math.nan
            )
        error = float(np.mean(errors))
        constants.append(error * math.sqrt(size))
        sizes.append(size)
        rows.append(
            [
                f"{size:,}",
                f"{error:.2f}",
                _or_dash(np.mean(spread)),
                _or_dash(100 * np.mean(covered) if size < len(changed) else math.nan),
                f"{error * math.sqrt(size):.1f}",
            ]
        )
    head = [
        "pairs",
        "error by bootstrap",
        "sd of real test sets",
        "interval holds, %",
        "error × √pairs",
    ]
    constant = float(np.mean(constants))
    slope = np.polyfit(np.log(sizes), np.log(np.array(constants) / np.sqrt(sizes)), 1)[
        0
    ]
    needed = pairs_needed(constant, 1, args.gain)
    return [
        *lines,
        *table(head, rows),
        "",
        f"Fit: error = {constant:.1f} / √pairs (free exponent {slope:.3f}). "
        f"A gain of {args.gain:g} needs {needed:,} pairs at 5 % and a power of 80 %; "
        f"1,929 pairs show {smallest_gain(constant / math.sqrt(1929)):.2f}.",
        "",
    ]


def _or_dash(value: float) -> str:
    return (
        "–" if math.isnan(value) else f"{value:.2f}" if value < 20 else f"{value:.0f}"
    )


def human_scorings(
    path: Path, protocol: str
) -> tuple[list[Scoring], npt.NDArray[np.bool_]]:
    """Caption i of every test pair as a system, i = 0..4, and the change flags."""
    images = json.loads(path.read_text(encoding="utf-8"))["images"]
    captions = [
        [sentence["tokens"] for sentence in image["sentences"]] for image in images
    ]
    vocabulary = Vocabulary.build(
        [words for five in captions for words in five], minimum_count=6
    )
    encode = partial(texts, protocol=protocol, encoder=vocabulary)
    test = [index for index, image in enumerate(images) if image["split"] == "test"]
    truth = [[encode(words) for words in captions[index]] for index in test]
    flags = np.array([bool(images[index]["changeflag"]) for index in test])
    sets = []
    for human in range(5):
        others = [
            five[:human] + five[human + 1 :] if flag else five
            for five, flag in zip(truth, flags, strict=True)
        ]
        sets.append(([five[human] for five in truth], others))
    scorings, note = score_all(sets)
    if note is not None:
        raise SystemExit(note)
    return scorings, flags


def _test_sets(
    pairs: int, size: int, generator: np.random.Generator, most: int
) -> list[npt.NDArray[np.intp]]:
    count = min(most, TEST_SETS[size])
    return [generator.permutation(pairs)[:size] for _ in range(count)]


def _test_set(
    a: Scoring,
    b: Scoring,
    changed: npt.NDArray[np.bool_],
    rows: npt.NDArray[np.intp],
    args: argparse.Namespace,
) -> tuple[float, Spread]:
    """The difference of two systems on some pairs as a test set of their own, and its
    bootstrap spread."""
    systems = [
        _system(_part(scoring, rows), changed[rows], args.protocol)
        for scoring in (a, b)
    ]
    column = systems[0].columns().index((args.protocol, args.metric))
    values = [_resampled(system, args, 1000)[:, column] for system in systems]
    exact = [system.scores(args.subset)[0, column] for system in systems]
    spread = Spread.of(values[1] - values[0])
    assert spread is not None
    return float(exact[1] - exact[0]), spread


def _part(scoring: Scoring, rows: npt.NDArray[np.intp]) -> Scoring:
    def pick(sequence: Sequence[object]) -> list[object]:
        return [sequence[row] for row in rows]

    return replace(
        scoring,
        hypotheses=pick(scoring.hypotheses),  # type: ignore[arg-type]
        references=pick(scoring.references),  # type: ignore[arg-type]
        bleu=scoring.bleu[rows],
        rouge=scoring.rouge[rows],
        meteor=None if scoring.meteor is None else scoring.meteor[rows],
    )


def _system(scoring: Scoring, changed: npt.NDArray[np.bool_], protocol: str) -> System:
    flags = as_flags(changed.tolist())
    return System(
        {protocol: PairStatistics.of(scoring, flags)}, flags, np.ones(len(flags))
    )


# ---------------------------------------------------------------------------------------- coverage


def of_coverage(seed: int, trials: int = 2000, resamples: int = 2000) -> list[str]:
    """How often a 95 % interval over seeds holds the truth, where seeds are all that
    varies (the worst case)."""
    generator = np.random.default_rng(seed)
    rows = []
    for seeds in (2, 3, 5, 10, 20):
        held = {"stretched": 0, "as drawn": 0}
        for trial in range(trials):
            scores = generator.standard_normal((2, seeds))
            weights = [seed_weights(seeds, resamples, trial, side) for side in (0, 1)]
            plain = [
                1 / seeds + (one - 1 / seeds) / math.sqrt(seeds / (seeds - 1))
                for one in weights
            ]
            for name, drawn in (("stretched", weights), ("as drawn", plain)):
                difference = drawn[1] @ scores[1] - drawn[0] @ scores[0]
                low, high = np.quantile(difference, [0.025, 0.975])
                held[name] += bool(low <= 0 <= high)
        rows.append(
            [str(seeds), *(f"{100 * count / trials:.0f} %" for count in held.values())]
        )
    return [*table(["seeds of each system", "stretched (ours)", "as drawn"], rows), ""]


if __name__ == "__main__":
    main()
