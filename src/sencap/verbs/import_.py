"""`sencap import`: captioned pairs of another layout, written in LEVIR-CC's."""

from __future__ import annotations


def command(
    source: str,
    out: str,
    *,
    kind: str = "auto",
    val: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    resplit: bool = False,
    quiet: bool = False,
) -> str:
    """Write captioned pairs of another layout in LEVIR-CC's, for `sencap check`,
    `train` and `evaluate`.

    Input: a table (CSV, TSV or JSON lines: before, after, caption; perhaps split,
    changed, name), a COCO-style JSON file, or a Hugging Face image folder with
    metadata.csv or metadata.jsonl. Output: OUT/images/{train,val,test}/{A,B} and
    OUT/LevirCCcaptions.json; pairs, captions and words are printed. Everything that is
    wrong is told at once, and nothing is written then.

    Args:
        source: The file, or the folder that holds it.
        out: The folder to write; new or empty.
        kind: table, coco, huggingface, or auto (told by the content).
        val: Share of the pairs that goes to the split val, if the source names no
            splits.
        test: Share of the pairs that goes to the split test, if the source names no
            splits.
        seed: Seed of the splits that are drawn.
        resplit: Draw new splits even if the source names some.
        quiet: No progress bar.
    """
    from sencap.data.importing import import_dataset

    report = import_dataset(
        source,
        out,
        kind=kind,
        val=val,
        test=test,
        seed=seed,
        resplit=resplit,
        progress=not quiet,
    )
    return str(report)
