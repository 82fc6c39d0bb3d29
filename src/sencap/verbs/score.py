"""`sencap score`: how good captions are that any system wrote."""

from __future__ import annotations

import sys

from sencap.errors import SencapError


def command(
    captions: str,
    *,
    data: str,
    split: str = "test",
    vocabulary: str | None = None,
    json: str | None = None,
    markdown: str | None = None,
    page: str | None = None,
    no_change: list[str] | None = None,
) -> None:
    """Score captions made by any system: BLEU-1..4, METEOR, ROUGE-L, CIDEr and S*m
    under both protocols, as sencap evaluate does.

    Input: a file of names and sentences, and a data folder. No model is needed, and no
    images. JSON: {"test_000001.png": "a road is built", ...}, or a list of objects with
    a name and a caption, such as {"image_id": 7, "caption": "a road is built"}; CSV or
    TSV: name, caption; or a text with one caption for each pair, in their order. Names
    are those of the images, or the ids in the caption file. Output: the Markdown report
    of sencap evaluate, printed, with its reference rows; and as files what is asked
    for. METEOR needs Java; without it the other metrics still come.

    Args:
        captions: The file of captions to score.
        data: The folder of captioned pairs, or its caption file.
        split: train, val or test; or several, joined by a plus sign: val+test.
        vocabulary: A vocabulary.json, or a checkpoint folder that holds one, for the
            protocol ids (default: the words of the data set are counted, as in
            training).
        json: Write the report, with every pair's caption and scores, to this JSON file.
        markdown: Write the printed report to this file too.
        page: Write a page of pictures (best, worst and random pairs) to this HTML file;
            needs the images.
        no_change: The sentences with which this data set says that nothing changed,
            where its pairs have no changeflag and its wording is its own.
    """
    from sencap.data.levir_cc import splits_named
    from sencap.reporting import printed
    from sencap.score_predictions import score

    report = score(
        captions,
        data,
        split=splits_named(split),
        vocabulary=vocabulary,
        json=json,
        markdown=markdown,
        page=page,
        no_change=no_change,
    )
    text, failed = printed(report)
    sys.stdout.write(text)
    sys.stdout.flush()
    if failed:
        raise SencapError(failed)
