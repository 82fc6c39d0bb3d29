"""`sencap check`: everything that is wrong with a data set, at once."""

from __future__ import annotations

from sencap.errors import DataError


def command(
    data: str, *, captions_only: bool = False, no_change: list[str] | None = None
) -> str:
    """Find everything that is wrong with a data set of captioned pairs: its captions
    and its images.

    Input: a folder in LEVIR-CC's layout (images/{train,val,test}/{A,B}/<name>.png or
    .jpg and one JSON file), or Dubai-CC's three JSON files. Output: one line per
    problem with its file and entry, the counts per split, what a vocabulary would know,
    and what the data set can be used for: evaluation, training, or both. The exit code
    is 2 if there is an error, 0 if there are warnings at most.

    Args:
        data: The folder, or a caption file.
        captions_only: Do not look for the images.
        no_change: The sentences with which this data set says that nothing changed,
            where its pairs have no changeflag and its wording is its own.
    """
    from sencap.data.check import check_dataset

    report = check_dataset(data, images=not captions_only, no_change=no_change)
    if not report.ok:
        raise DataError(str(report))
    return str(report)
