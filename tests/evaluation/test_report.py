from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.caption_sets import Numbers
from sencap.evaluation.names import METRICS
from sencap.evaluation.protocol import ScoredPair, score_pairs
from sencap.evaluation.report import report_as_dict, report_as_markdown, signatures

NUMBERS = Numbers(("a", "road", "is", "built", "there", "no", "difference"))
SAME = ["there", "is", "no", "difference"]
PAIRS = [
    ScoredPair(
        "a.png",
        [["a", "road", "is", "built"], ["a", "road"]],
        ["a", "road"],
        -0.7,
        True,
    ),
    ScoredPair("b.png", [SAME, SAME], [], float("-inf"), False),
    ScoredPair("c.png", [SAME, SAME], SAME, -0.1, False),
]


def report_of(pairs: list[ScoredPair]) -> dict[str, Any]:
    return report_as_dict(
        score_pairs(pairs, NUMBERS),
        beam=3,
        environment={"python": "3.11", "memory": np.float32(1.5), "bad": float("nan")},
        parameters={"total": 39_858_900},
        pairs_per_second=23.7,
    )


@pytest.fixture
def no_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)


@pytest.fixture
def a_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A made-up METEOR: half the words of every pair match."""
    answer = "4.0 4.0 0.0 0.0 2.0 2.0 " + "0.0 " * 14 + "1.0 2.0 2.0"
    script = tmp_path / "java"
    script.write_text(
        f"#!{sys.executable}\nimport sys\nfor line in sys.stdin: print('{answer}')\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("a_java")
def test_the_report_is_whole_and_json_can_hold_it() -> None:
    report = report_of(PAIRS)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert set(report) == {
        "ids", "words", "reference_rows", "change_accuracy", "confusion", "calibration",
        "intervals", "pairs",
        "diversity", "environment", "signatures", "parameters", "pairs_per_second", "notes",
    }  # fmt: skip
    for protocol in ("ids", "words"):
        assert set(report[protocol]) == {"all", "changed", "unchanged"}
        for scores in report[protocol].values():
            assert tuple(scores) == METRICS
            assert None not in scores.values()
        for name in ("constant", "perfect_flag", "human"):
            assert tuple(report["reference_rows"][name][protocol]) == METRICS
    assert (
        report["reference_rows"]["constant"]["sentence"]
        == "the scene is the same as before"
    )
    assert report["reference_rows"]["perfect_flag"]["sentences"]["words"][
        "unchanged"
    ] == " ".join(SAME)
    assert report["pairs"][0]["hypothesis"] == "a road"
    assert report["pairs"][1]["log_prob"] is None
    assert set(report["pairs"][0]["scores"]) == {"ids", "words"}
    assert report["change_accuracy"] == pytest.approx(2 / 3)
    assert report["confusion"] == {
        "changed": {"changed": 1, "unchanged": 0},
        "unchanged": {"changed": 1, "unchanged": 1},
    }
    assert report["environment"] == {"python": "3.11", "memory": 1.5, "bad": None}
    mean = (
        sum(
            report["ids"]["all"][name]
            for name in ("BLEU-4", "METEOR", "ROUGE-L", "CIDEr")
        )
        / 4
    )
    assert report["ids"]["all"]["S*m"] == pytest.approx(mean)
    assert report["signatures"]["ids"].startswith("S*m+")


@pytest.mark.usefixtures("no_java")
def test_the_signature_names_what_a_score_depends_on() -> None:
    evaluation = score_pairs(PAIRS, NUMBERS, rows=False)
    parts = signatures(evaluation, beam=3)["ids"].split("|")
    assert parts[1:7] == [
        "protocol:ids",
        f"vocab:11:{NUMBERS.digest[:8]}",
        "refs:2",
        "beam:3",
        "decision:search",
        "pairs:3",
    ]
    assert parts[8] == "metric:pycocoevalcap-1.2/no-meteor"
    assert "vocab:none" in signatures(evaluation, beam=3)["words"]
    normalised = signatures(evaluation, beam=10, length_normalisation=1.0)["ids"]
    assert "|beam:10|length:1|decision:search|" in normalised
    fewer = signatures(score_pairs(PAIRS[:2], NUMBERS, rows=False), beam=3)[
        "ids"
    ].split("|")
    assert fewer[7] != parts[7]
    uneven = [ScoredPair("d.png", [SAME], SAME, 0.0, False), *PAIRS]
    assert (
        "refs:1-2"
        in signatures(score_pairs(uneven, NUMBERS, rows=False), beam=1)["words"]
    )


@pytest.mark.usefixtures("no_java")
def test_markdown_shows_both_protocols_the_rows_and_why_there_is_no_meteor() -> None:
    report = report_of(PAIRS)
    text = report_as_markdown(report)
    for wanted in (
        "## Protocol `ids`", "## Protocol `words`", "| **all pairs** |", "| *constant sentence* |",
        "| *perfect flag, the best two sentences* |", "| *one human against the others* |",
        "| unchanged pairs | 1 | 1 |", "**66.7 %** of 3 pairs", report["signatures"]["ids"],
        "total 39,858,900", "23.7 pairs/s", "install Java",
    ):  # fmt: skip
        assert wanted in text
    rows = [line for line in text.splitlines() if line.startswith("| **all pairs**")]
    assert len(rows) == 2
    assert all(row.split(" | ")[5] == "–" and row.count("|") == 10 for row in rows)


@pytest.mark.usefixtures("no_java")
def test_a_report_without_flags_shows_no_split_and_no_change_accuracy() -> None:
    unknown = [
        ScoredPair(
            f"{n}.png", [["ein", "weg"], ["neuer", "weg"]], ["ein", "weg"], -1.0, None
        )
        for n in range(12)
    ]
    report = report_of(unknown)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["change_accuracy"] is None
    assert report["confusion"] is None
    assert {pair["changed"] for pair in report["pairs"]} == {None}
    assert set(report["ids"]["changed"].values()) == {None}
    text = report_as_markdown(report)
    assert "| **all pairs** |" in text
    for absent in (
        "changed pairs |",
        "Told right",
        "*constant",
        "*perfect flag",
        "the scene is the same as before",
    ):
        assert absent not in text
    assert "Which pairs changed is not known" in text


@pytest.mark.usefixtures("no_java")
def test_few_pairs_show_no_interval() -> None:
    text = report_as_markdown(report_of(PAIRS))
    assert "**66.7 %** of 3 pairs (no interval)" in text
    assert "No interval of all pairs: there are 3" in text
    intervals = [line for line in text.splitlines() if line.startswith("| interval")]
    assert intervals
    assert all(not any(letter.isdigit() for letter in line) for line in intervals)


@pytest.mark.usefixtures("no_java")
def test_markdown_of_a_bare_report() -> None:
    text = report_as_markdown(
        report_as_dict(score_pairs(PAIRS[:1], NUMBERS, rows=False), beam=1)
    )
    assert "## Run" not in text
    assert "reference rows" not in text


@pytest.mark.usefixtures("no_java")
def test_a_report_says_how_sure_the_model_was() -> None:
    sure = [dataclasses.replace(pair, change_probability=0.75) for pair in PAIRS]
    report = report_as_dict(score_pairs(sure, NUMBERS, rows=False), beam=1)
    share = sum(bool(pair.changed) for pair in PAIRS) / len(PAIRS)
    assert report["calibration"]["ece"] == pytest.approx(abs(0.75 - share), abs=1e-5)
    assert report["pairs"][0]["change_probability"] == 0.75
    assert f"**{abs(0.75 - share):.3f}** (3 pairs)" in report_as_markdown(report)
    assert "How sure" not in report_as_markdown(
        report_as_dict(score_pairs(PAIRS, NUMBERS, rows=False), beam=1)
    )
