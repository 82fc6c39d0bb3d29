from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.caption_sets import SAME, Numbers
from evaluation.test_bootstrap import CHANGES, NUMBERS, made_up
from sencap.cli import main
from sencap.errors import DataError, SettingsError
from sencap.evaluation.comparable import ComparedReport, read_report
from sencap.evaluation.compare import compare, comparison_as_markdown, metric_named
from sencap.evaluation.names import METRICS, SUBSETS
from sencap.evaluation.protocol import ScoredPair, score_pairs
from sencap.evaluation.report import as_json, report_as_dict

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes the report of some pairs, without METEOR unless a made-up one is asked
    for."""
    answer = "4.0 4.0 0.0 0.0 2.0 2.0 " + "0.0 " * 14 + "1.0 2.0 2.0"
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text(f"#!/bin/sh\nwhile read line; do echo '{answer}'; done\n")
    java.chmod(0o755)

    def written(
        name: str,
        pairs: list[ScoredPair],
        numbers: Numbers = NUMBERS,
        meteor: bool = True,
        **more: Any,
    ) -> str:
        monkeypatch.setenv("PATH", str(java.parent) if meteor else "")
        monkeypatch.delenv("JAVA_HOME", raising=False)
        report = report_as_dict(
            score_pairs(pairs, numbers, rows=False),
            **{"beam": 3, "resamples": 100, **more},
        )
        path = tmp_path / f"{name}.json"
        path.write_text(as_json(report))
        return str(path)

    return written


def found(a: str | list[str], b: str | list[str], **more: Any) -> dict[str, Any]:
    return compare(a, b, **{"resamples": 500, **more})


def test_a_report_compared_with_itself_gives_exactly_nothing(write: Write) -> None:
    path = write("a", made_up(40, 1))
    result = found(path, path)
    for group in (
        *result["ids"].values(),
        *result["words"].values(),
        result["change_accuracy"],
    ):
        for row in group.values():
            assert row["difference"] == 0
            assert [row[name] for name in NOTHING] == [None] * len(NOTHING)
            assert row["note"] == "no difference in any resample"


NOTHING = ("low", "high", "error", "share", "p")


def test_one_pair_gives_no_interval_and_no_p_and_the_row_says_why(write: Write) -> None:
    one, other = made_up(1, 1, 1.0), made_up(1, 2, 0.0)
    paths = [write("a", one), write("b", other)]
    result = found(*paths)
    assert result["words"]["all"]["ROUGE-L"]["difference"] != 0
    for group in (*result["ids"].values(), *result["words"].values()):
        for row in group.values():
            assert [row[name] for name in NOTHING] == [None] * len(NOTHING)
            assert (
                row["a"] is None or row["note"] == "too few pairs (1) for an interval"
            )
    text = comparison_as_markdown(result)
    assert "| too few pairs (1) for an interval | – | – |" in text
    assert "| unchanged (0)" not in text
    assert "CIDEr of all pairs is 0 for A and B: so it is by construction" in text


def test_scores_that_are_both_shown_as_nothing_have_no_p(write: Write) -> None:
    """BLEU-4 of captions without a match is not quite 0, and differs with their
    length."""
    pairs = made_up(40, 1)
    short, longer = (
        [ScoredPair(p.filename, p.references, words, -1.0, p.changed) for p in pairs]
        for words in (["a", "b"], ["a", "b", "c", "d", "e"])
    )
    row = found(write("a", short), write("b", longer))["words"]["all"]["BLEU-4"]
    assert 0 < abs(row["difference"]) < 0.005
    assert [row[name] for name in NOTHING] == [None] * len(NOTHING)
    assert row["note"] == "no difference in any resample"


def test_the_same_difference_of_every_pair_has_no_p(write: Write) -> None:
    """One right about every pair, one wrong about every pair: no resample can tell of
    others."""
    pairs = made_up(40, 1)
    right, wrong = (
        [
            ScoredPair(
                p.filename,
                p.references,
                (CHANGES[0] if flag else SAME).split(),
                -1.0,
                p.changed,
            )
            for p in pairs
            for flag in [bool(p.changed) == truth]
        ]
        for truth in (True, False)
    )
    row = found(write("a", wrong), write("b", right))["change_accuracy"]["all"]
    assert (row["difference"], row["p"], row["note"]) == (
        100,
        None,
        "the same in every resample",
    )
    assert (
        found(write("c", pairs), write("b", right))["change_accuracy"]["all"]["p"]
        is not None
    )


def test_without_flags_all_pairs_alone_are_compared(write: Write) -> None:
    unknown = [
        [
            ScoredPair(p.filename, p.references, p.hypothesis, p.log_prob, None)
            for p in made_up(40, seed)
        ]
        for seed in (1, 2)
    ]
    result = found(write("a", unknown[0]), write("b", unknown[1]))
    assert result["pairs"] == {"all": 40, "changed": 0, "unchanged": 0}
    assert result["change_accuracy"]["all"]["difference"] is None
    assert result["words"]["all"]["ROUGE-L"]["low"] is not None
    text = comparison_as_markdown(result)
    assert "told right" not in text
    assert "changed (" not in text
    assert "Which pairs changed is not known" in text


def test_scores_are_those_of_the_reports_and_the_better_system_wins(
    write: Write,
) -> None:
    paths = [write("a", made_up(80, 1, 0.3)), write("b", made_up(80, 2, 0.95))]
    reports = [json.loads(Path(path).read_text()) for path in paths]
    result = found(*paths)
    for subset in SUBSETS:
        for metric in METRICS:
            row = result["words"][subset][metric]
            for side, report in zip("ab", reports, strict=True):
                assert row[side] == pytest.approx(
                    report["words"][subset][metric], abs=1e-9
                )
            assert row["difference"] == pytest.approx(row["b"] - row["a"])
    best = result["words"]["all"]["BLEU-4"]
    assert best["low"] > 0
    assert best["p"] < 0.05
    assert found(*reversed(paths))["words"]["all"]["BLEU-4"]["high"] == pytest.approx(
        -best["low"]
    )
    assert found(*paths) == result
    assert found(*paths, seed=1) != result


def test_without_java_what_both_have_is_compared(write: Write) -> None:
    paths = [write("a", made_up(30, 1)), write("b", made_up(30, 2), meteor=False)]
    result = found(*paths)
    row = result["ids"]["all"]
    assert row["METEOR"]["a"] is not None
    assert [row["S*m"][name] for name in ("b", "difference", "low", "p")] == [None] * 4
    assert row["CIDEr"]["low"] is not None
    assert any("No METEOR" in note and "b.json" in note for note in result["notes"])
    line = next(
        line
        for line in comparison_as_markdown(result).splitlines()
        if "| METEOR |" in line
    )
    assert line.endswith("| – | – | – | – | – |")


def test_several_seeds_are_averaged_and_widen_the_interval(write: Write) -> None:
    a = [write(f"a{seed}", made_up(60, seed, 0.5)) for seed in (1, 2, 3)]
    b = [write(f"b{seed}", made_up(60, seed, 0.8)) for seed in (4, 5, 6)]
    result = found(a, b)
    row = result["words"]["all"]["ROUGE-L"]
    scores = [
        json.loads(Path(path).read_text())["words"]["all"]["ROUGE-L"] for path in b
    ]
    assert row["b"] == pytest.approx(np.mean(scores))
    assert row["b_seed_sd"] == pytest.approx(np.std(scores, ddof=1))
    assert result["method"]["name"].endswith("pairs and seeds")
    assert not any("training seed" in note for note in result["notes"])
    reports = [[read_report(path) for path in side] for side in (a, b)]
    pairs_only = np.diff(
        [
            np.mean([resampled(one) for one in side], axis=0)
            for side in reports
        ],
        axis=0,
    )  # fmt: skip
    assert row["error"] > pairs_only.std(ddof=1)
    with pytest.raises(SettingsError, match=r"a1\.json is given twice"):
        found([a[0], a[0]], b)


def resampled(report: ComparedReport) -> Any:
    from sencap.evaluation.bootstrap import resample_subset

    column = report.system.columns().index(("words", "ROUGE-L"))
    return resample_subset(report.system, "all", resamples=500)[:, column]


def test_what_may_not_be_compared_is_refused_with_the_reason(write: Write) -> None:
    pairs = made_up(20, 1)
    path = write("a", pairs)
    with pytest.raises(DataError, match="numbers of pairs differ"):
        found(path, write("fewer", pairs[:18]))
    swapped = [ScoredPair("x.png", pairs[0].references, ["a"], -1.0, True), *pairs[1:]]
    with pytest.raises(DataError, match="on other pairs or references"):
        found(path, write("swapped", swapped))
    other = write("vocabulary", pairs, Numbers(("a", "road")))
    with pytest.raises(DataError, match=r"vocabularies differ.*--protocol words"):
        found(path, other)
    assert (
        found(path, other, protocol="words")["words"]["all"]["BLEU-1"]["difference"]
        == 0
    )
    edited = (
        Path(path)
        .read_text()
        .replace("metric:pycocoevalcap-", "metric:pycocoevalcap-0.")
    )
    newer = Path(path).with_name("newer.json")
    newer.write_text(edited)
    with pytest.raises(DataError, match="other versions"):
        found(path, str(newer))


def test_another_search_or_decision_is_only_noted(write: Write) -> None:
    paths = [
        write("a", made_up(20, 1), beam=1),
        write("b", made_up(20, 1), decision="probability", length_normalisation=0.7),
    ]
    notes = found(*paths)["notes"]
    assert any(note.startswith("beam differs: 1 in") for note in notes)
    assert any(note.startswith("decision differs: search in") for note in notes)
    assert any(note.startswith("length differs: 0 in") for note in notes)


def test_files_that_are_no_whole_report_are_refused(
    write: Write, tmp_path: Path
) -> None:
    path = Path(write("a", made_up(20, 1)))
    with pytest.raises(DataError, match=r"none\.json cannot be read"):
        read_report(tmp_path / "none.json")
    bad = tmp_path / "bad.json"
    for text, message in (
        ("{", "is not readable JSON"),
        ("[]", "is not a report"),
        ('{"pairs": []}', "is not a report"),
    ):
        bad.write_text(text)
        with pytest.raises(DataError, match=message):
            read_report(bad)
    report = json.loads(path.read_text())
    del report["pairs"][3]["statistics"]["ids"]["bleu"]
    bad.write_text(json.dumps(report))
    with pytest.raises(
        DataError, match=r"not a whole report: the statistics of pair 3 have no 'bleu'"
    ):
        read_report(bad)
    for pair in report["pairs"]:
        del pair["statistics"]
    bad.write_text(json.dumps(report))
    with pytest.raises(
        DataError, match=r"hold no statistics.*run sencap evaluate --json again"
    ):
        read_report(bad)


DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]
HUGE = int("9" * 1000)
ODD = [
    None,
    True,
    -1,
    0.5,
    float("nan"),
    float("inf"),
    1e300,
    HUGE,
    "",
    "x",
    "\ud800",
    [],
    {},
    [HUGE],
    [[]],
    DEEP,
]
PLACES = [
    ("pairs",),
    ("signatures",),
    ("signatures", "ids"),
    ("environment",),
    ("pairs", 0),
    ("pairs", 3),
    ("pairs", 3, "filename"),
    ("pairs", 3, "changed"),
    ("pairs", 3, "told_changed"),
    ("pairs", 3, "statistics"),
    ("pairs", 3, "statistics", "ids"),
    ("pairs", 3, "statistics", "ids", "bleu"),
    ("pairs", 3, "statistics", "ids", "bleu", 2),
    ("pairs", 3, "statistics", "words", "rouge"),
    ("pairs", 3, "statistics", "words", "cider"),
    ("pairs", 3, "statistics", "words", "cider", 1),
    ("pairs", 3, "statistics", "words", "meteor"),
    ("pairs", 3, "statistics", "words", "meteor", 5),
]


def spoiled(report: dict[str, Any], place: tuple[str | int, ...], value: Any) -> str:
    """The JSON of a report with a value replaced."""
    copy = json.loads(json.dumps(report))
    *way, last = place
    inner = copy
    for key in way:
        inner = inner[key]
    inner[last] = value
    return json.dumps(copy)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_a_report_with_odd_values_is_compared_or_refused_in_our_words(
    write: Write, tmp_path: Path, place: tuple[str | int, ...]
) -> None:
    path = write("a", made_up(12, 1))
    report = json.loads(Path(path).read_text())
    bad = tmp_path / "bad.json"
    errors = []
    for value in ODD:
        bad.write_text(spoiled(report, place, value))
        try:
            found(path, str(bad), resamples=100)
        except DataError as error:
            errors.append(str(error))
    assert len(errors) >= (2 if place == ("environment",) else 9)
    for message in errors:
        assert not re.search(
            r"Error|Exception|NoneType|dtype|ndarray|object is not", message
        )
        assert "bad.json" in message
        assert len(message) < 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested deeper"),
        ('{"pairs": ' + "[" * 900 + "]" * 900 + "}", "nested deeper"),
        ('{"pairs": ' + "9" * 5000 + "}", "thousands of digits"),
        ("null", "is not a report"),
        ('{"pairs": {"a": 1}, "signatures": {}}', "is not a report"),
        ("[" + "1," * 1_000_000 + "1]", "is not a report"),
        (
            '{"signatures": {}, "pairs": [' + "1," * 1_000_000 + "1]}",
            r"pairs\[0\] is 1, and no object",
        ),
        (
            '{"signatures": {}, "pairs": [' + "{}," * 1_000_000 + "{}]}",
            "hold no statistics",
        ),
        (
            '{"signatures": {}, "environment": [], "pairs": [{}]}',
            "sencap of an unknown version",
        ),
        ("\ufeff\0", "is not readable JSON"),
    ],
    ids=range(10),
)
def test_files_that_are_anything_else_are_refused_soon(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    begin = time.perf_counter()
    with pytest.raises(DataError, match=message):
        read_report(path)
    assert time.perf_counter() - begin < 5


def test_a_signature_without_its_fields_is_refused(write: Write) -> None:
    path = Path(write("a", made_up(12, 1)))
    path.write_text(path.read_text().replace("|beam:3|", "|"))
    with pytest.raises(
        DataError, match=r"not a whole report: the signature .* does not name beam"
    ):
        read_report(path)


def test_a_report_of_the_official_test_split_stays_a_few_megabytes(
    write: Write,
) -> None:
    size = Path(write("a", made_up(200, 1))).stat().st_size
    assert size / 200 * 125 < 500_000
    assert size / 200 * 1929 < 5_000_000


@pytest.mark.parametrize(
    "name", ["S*m", "Sm", "s_m", "bleu4", "rouge_l", "change accuracy"]
)
def test_metrics_are_known_without_their_punctuation(name: str) -> None:
    assert metric_named(name) in {*METRICS, "change accuracy"}


def test_the_command(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write("a", made_up(40, 1, 0.4)), write("b", made_up(40, 2, 0.9))
    out = tmp_path / "comparison.json"
    options = ["--resamples", "200", "--metric", "S*m", "BLEU-4", "--json", str(out)]
    assert main(["compare", a, b, *options]) == 0
    text = capsys.readouterr().out
    assert text.count("| S\\*m |") == 6
    assert "told right" not in text
    comparison = json.loads(out.read_text())
    assert set(comparison["ids"]["changed"]) == {"S*m", "BLEU-4"}
    assert comparison["pairs"] == {"all": 40, "changed": 20, "unchanged": 20}
    assert (
        main(
            ["compare", a, "--against", b, "--protocol", "words", "--resamples", "200"]
        )
        == 0
    )
    text = capsys.readouterr().out
    assert "## Protocol `ids`" not in text
    assert "told right" in text
    for arguments, message in (
        ([a], "got 1; for several seeds"),
        ([a, b, "--metric", "BLUE-4"], "did you mean 'BLEU-4'?"),
        ([a, b, "--resamples", "5"], "resamples is 5; it must be"),
        ([a, b, "--json", str(tmp_path / "none" / "c.json")], "does not exist"),
        ([a, str(tmp_path / "c.json")], "cannot be read"),
    ):
        assert main(["compare", *arguments]) == 2
        assert message in capsys.readouterr().err
