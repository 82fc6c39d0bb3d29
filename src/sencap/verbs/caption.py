"""`sencap caption`: what changed between two images, or between the images of many
pairs."""

from __future__ import annotations

import json as json_
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sencap.bounds import check_number
from sencap.errors import SencapError, SettingsError
from sencap.files import check_output_folder, check_outputs, told_as_output
from sencap.flags import LoadFlags, ReadingFlags
from sencap.shards import shard_of

if TYPE_CHECKING:
    from sencap.captioning import CaptionedFiles, Files, WindowReport
    from sencap.images import Reading


def command(
    sources: list[str],
    *,
    model: LoadFlags,
    pixels: ReadingFlags,
    json: bool = False,
    picture: str | None = None,
    batch_size: int = 16,
    windows: int | None = None,
    shard: str | None = None,
) -> None:
    """Say what changed between two images of one place.

    Input: BEFORE AFTER (two image files), or one folder (with folders A and B, before
    and after, T1 and T2, 2018 and 2019, …, or files <name>_before.* and
    <name>_after.*), or one CSV file with columns before and after. PNG, JPEG, WebP or
    TIFF; of files with a georeference, AFTER is put on the grid of BEFORE. Output: the
    sentence; for several pairs one line each: name, tab, sentence. Files that cannot be
    read are listed at the end, as are pictures that cannot be written, and the exit
    code is then 2. Of a list with the column id (CSV or Parquet) --json prints the rows
    that sencap archive writes, a row with its reason for each pair that cannot be read.

    Args:
        sources: BEFORE and AFTER, or a folder, or a CSV file.
        json: Print all details as JSON (several pairs: one object per line).
        picture: Also write a picture with before, after and the sentence (several
            pairs: a folder for them).
        batch_size: Pairs captioned at once.
        windows: Side in pixels, such as 256, of the windows in which one large pair is
            captioned too; those that changed are printed with their place.
        shard: I/N, as in 3/16: only the third of sixteen parts of many pairs. The
            outputs of all parts, one after another, are that of a single run. Batches
            are never parted.
    """
    reading = pixels.parsed()
    check_number("windows", windows)
    if windows is not None and len(sources) != 2:
        raise SettingsError("windows are captioned of one pair: give BEFORE and AFTER")
    from sencap.images.lists import is_list

    if json and len(sources) == 1 and is_list(sources[0]):
        if picture is not None:
            raise SettingsError(
                "picture is not of a list with ids; leave --json or --picture out"
            )
        _print_rows(_list_rows(sources[0], shard, reading, batch_size, model))
        return
    files = _files(sources)
    single = len(sources) == 2
    if single and shard is not None:
        raise SettingsError(
            "shard is a part of many pairs: give a folder or a CSV file"
        )
    pictures = _pictures(
        picture, files, single=single, inputs=_inputs(sources, files, model.weights)
    )
    part = shard_of(len(files), shard, together=batch_size)
    files, pictures = files[part.start : part.stop], pictures[part.start : part.stop]
    if not files:
        return  # there are more parts than pairs
    from sencap.captioning import caption_files, caption_windows, read_first
    from sencap.checkpoint_folder import image_size
    from sencap.weights import checkpoint_folder

    # no model is loaded where nothing can be read
    already = read_first(files, image_size(checkpoint_folder(model.weights)), reading)
    predictor = model.load()
    if picture is not None and not single:
        with told_as_output(picture):
            Path(picture).mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    captioned = caption_files(
        predictor,
        files,
        problems,
        batch_size=batch_size,
        reading=reading,
        already=already,
    )
    for found in captioned:
        path = pictures[found.number]
        if path is not None:
            try:
                found.draw(path)
            except SencapError as error:
                problems.append(str(error))
                path = None
        report = None
        if windows is not None:
            report = caption_windows(
                predictor,
                *sources,
                side=windows,
                batch_size=batch_size,
                reading=reading,
            )
        sys.stdout.write(
            _told(found, report, path, first=part.start, json=json, single=single)
            + "\n"
        )
        sys.stdout.flush()
        if found.caption.note and not json:
            place = "" if single else f"{_one_line(found.name)}: "
            sys.stderr.write(f"sencap: note: {place}{found.caption.note}\n")
    if problems:
        raise SencapError("\n".join(problems))


def _list_rows(
    source: str,
    shard: str | None,
    reading: Reading,
    batch_size: int,
    model: LoadFlags,
) -> Iterator[dict[str, Any]]:
    """The rows of a list with ids, or of a part of it."""
    from sencap.images.lists import read_list
    from sencap.weights import checkpoint_folder

    checkpoint_folder(model.weights)
    pairs = list(read_list(source))
    part = shard_of(len(pairs), shard, together=batch_size)
    if not part:
        return  # there are more parts than pairs
    from sencap.listed import caption_list

    yield from caption_list(
        model.load(),
        pairs[part.start : part.stop],
        batch_size=batch_size,
        reading=reading,
    )


def _print_rows(rows: Iterator[dict[str, Any]]) -> None:
    """A line of JSON for each row.

    Raises:
        SencapError: some could not be read; why, of each.
    """
    problems = []
    for row in rows:
        sys.stdout.write(json_.dumps(row) + "\n")
        sys.stdout.flush()
        if row["error"] is not None:
            problems.append(f"{row['id']}: {row['error']}")
    if problems:
        raise SencapError("\n".join(problems))


def _told(
    found: CaptionedFiles,
    report: WindowReport | None,
    picture: Path | None,
    *,
    first: int,
    json: bool,
    single: bool,
) -> str:
    """What is printed of one pair."""
    if json:
        details = found.details(picture)
        if not single:  # names may be the same
            details = {"id": first + found.number, **details}
        if report is not None:
            details["windows"] = report.details()
        return json_.dumps(details)
    if not single:
        return f"{_one_line(found.name)}\t{found.caption.text}"
    return found.caption.text if report is None else f"{found.caption.text}\n{report}"


def _files(sources: Sequence[str]) -> list[Files]:
    """The pairs that the arguments name."""
    from sencap.images import IMAGE_SUFFIXES, find_pairs

    if len(sources) > 2:
        raise SettingsError(
            f"give BEFORE and AFTER, or one folder or CSV file; got {len(sources)} "
            "arguments"
        )
    if len(sources) == 2:
        return [(Path(sources[0]), Path(sources[1]), "")]
    source = Path(sources[0])
    if source.is_file() and source.suffix.lower() in IMAGE_SUFFIXES:
        raise SettingsError(
            f"{source} is one image; give two, BEFORE and AFTER, or a folder or CSV "
            "file"
        )
    return find_pairs(source)


def _inputs(
    sources: Sequence[str], files: Sequence[Files], weights: str | None
) -> list[Path]:
    """All files that the run reads."""
    from sencap.weights import checkpoint_files

    paths = [Path(source) for source in sources]
    for before, after, _ in files:
        paths += [before, after]
    return [*paths, *checkpoint_files(weights)]


def _pictures(
    picture: str | None, files: Sequence[Files], *, single: bool, inputs: Sequence[Path]
) -> list[Path | None]:
    """Where each pair's picture goes, checked before any work; None without
    pictures."""
    from sencap.captioning import picture_paths
    from sencap.figures.pair import FORMATS, check_ending

    if picture is None:
        return [None] * len(files)
    path = Path(picture)
    if single:
        if path.is_dir():
            raise SettingsError(
                f"picture={path} is a folder; for one pair name a file that ends in "
                ".png"
            )
        check_ending(path)
        check_outputs({"picture": path}, inputs)
        return [path]
    if path.suffix.lower() in FORMATS and not path.is_dir():
        raise SettingsError(
            f"picture={path}: for several pairs name a folder, not a file"
        )
    check_output_folder("picture", path)
    paths = picture_paths(path, [name for _, _, name in files])
    # a picture that is not there yet can destroy nothing
    existing = {
        f"picture {number}": one for number, one in enumerate(paths, 1) if one.exists()
    }
    check_outputs(existing, inputs)
    return [*paths]


def _one_line(name: str) -> str:
    """A name without the white space that would break a line of the output, or its
    columns."""
    return re.sub(r"\s", " ", name)
