"""`sencap evaluate`: how good a checkpoint is on captioned pairs."""

from __future__ import annotations

import sys
from dataclasses import asdict

from sencap.errors import SencapError
from sencap.flags import LoadFlags


def command(
    *,
    data: str,
    model: LoadFlags,
    split: str = "test",
    json: str | None = None,
    markdown: str | None = None,
    page: str | None = None,
    batch_size: int = 16,
    limit: int | None = None,
    no_change: list[str] | None = None,
    quiet: bool = False,
) -> None:
    """Score a checkpoint on captioned pairs: BLEU-1..4, METEOR, ROUGE-L, CIDEr and S*m
    under both protocols.

    Input: a data folder (see sencap check --help) and a checkpoint folder. Output: a
    Markdown report, printed; and as files what is asked for. METEOR needs Java; without
    it the other metrics still come. Captions made elsewhere are scored by sencap score,
    without a model.

    Args:
        data: The folder of captioned pairs.
        split: train, val or test; or several, joined by a plus sign: val+test.
        json: Write the report, with every pair's caption and scores, to this JSON file.
        markdown: Write the printed report to this file too.
        page: Write a page of pictures (best, worst and random pairs) to this HTML file.
        batch_size: Pairs captioned at once.
        limit: Evaluate the first pairs only.
        no_change: The sentences with which this data set says that nothing changed,
            where its pairs have no changeflag and its wording is its own.
        quiet: No progress bar.
    """
    from sencap.data.levir_cc import splits_named
    from sencap.evaluating import evaluate
    from sencap.reporting import printed

    report = evaluate(
        data,
        split=splits_named(split),
        **asdict(model),
        json=json,
        markdown=markdown,
        page=page,
        batch_size=batch_size,
        limit=limit,
        no_change=no_change,
        progress=not quiet,
    )
    text, failed = printed(report)
    sys.stdout.write(text)
    sys.stdout.flush()
    if failed:
        raise SencapError(failed)
