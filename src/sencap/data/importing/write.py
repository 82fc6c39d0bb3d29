"""Imported pairs on disk: checked, split, named and written in LEVIR-CC's layout."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sencap.bounds import check_number, check_shares
from sencap.data.caption_files import CAPTION_FILE
from sencap.data.entries import SPLITS
from sencap.data.importing.coco import read_coco
from sencap.data.importing.recognise import recognise_records
from sencap.data.importing.records import Pair, Problems, join_rows
from sencap.data.importing.tables import read_tables
from sencap.data.levir_cc import DATE_FOLDERS
from sencap.data.vocabulary import normalise
from sencap.errors import DataError, ImageError, OutputError
from sencap.files import (
    check_output_folder,
    file_name,
    told_as_output,
    whole_file,
    write_whole,
)
from sencap.images import MIN_SIDE, read_pair
from sencap.images.marks import common_name

# By a file's first bytes; all else that is read is TIFF
_SUFFIXES = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"RIFF": ".webp"}


@dataclass(frozen=True)
class ImportReport:
    """What `import_dataset` wrote: ``pairs`` by split, and in all ``captions`` and
    different ``words``.

    ``changed`` and ``unchanged`` count the pairs of which the source says it. ``drawn``
    is whether the splits were drawn here, and not named by the source.
    """

    out: Path
    kind: str
    pairs: dict[str, int]
    captions: int
    words: int
    changed: int
    unchanged: int
    drawn: bool

    def __str__(self) -> str:
        splits = ", ".join(f"{count:,} {split}" for split, count in self.pairs.items())
        how = "drawn here" if self.drawn else "named by the source"
        flags = f"{self.changed:,} changed, {self.unchanged:,} unchanged"
        hint = "give more than --val 0" if self.drawn else "--resplit draws new splits"
        lines = [
            f"{sum(self.pairs.values()):,} pairs ({splits}; {how}), "
            f"{self.captions:,} captions, {self.words:,} different words",
            "change flags: "
            f"{flags if self.changed + self.unchanged else 'none in the source'}",
        ]
        empty = [
            split
            for split, count in self.pairs.items()
            if not count and split != "test"
        ]
        if empty:
            lines.append(
                f"no pair is in {' and '.join(empty)}, which training needs; {hint}"
            )
        return "\n".join([*lines, f"wrote {self.out}"])


def import_dataset(
    source: str | Path,
    out: str | Path,
    *,
    kind: str = "auto",
    val: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    resplit: bool = False,
    progress: bool = True,
) -> ImportReport:
    """Write captioned pairs of another layout in LEVIR-CC's, which `read_dataset` and
    `sencap check` take.

    ``source`` is a table (CSV, TSV, JSON lines), a COCO-style JSON file, or a folder
    with one of these or with Hugging Face's metadata.csv or metadata.jsonl; ``kind``
    (table, coco, huggingface) is told by the content. ``out`` is a new or empty folder.
    Images are copied byte for byte, under safe names. Splits that the source names are
    kept; if it names none, or with ``resplit``, the shares ``val`` and ``test`` of the
    pairs are drawn by ``seed``: where a pair goes depends on the seed and on the paths
    of the source's pairs, not on their order.

    Raises:
        DataError: the source is of no known kind, or anything in it is wrong: all at
            once, nothing is written.
        SettingsError: numbers out of their bounds, an unknown kind, or an ``out`` that
            is a file.
        OutputError: ``out`` cannot be written; what was begun is deleted.
    """
    source, out = Path(source), Path(out)
    check_number("seed", seed)
    check_shares(val=val, test=test)
    check_output_folder("out", out)
    if out.is_dir() and any(out.iterdir()):
        raise DataError(f"{out} is not empty; give a new or empty folder")
    found, files = recognise_records(source, kind)
    problems = Problems(source)
    # Rows are read lazily: what is wrong with them is collected while `join_rows` takes
    # them.
    if found == "coco":
        rows = read_coco(files, problems)
    else:
        rows = read_tables(files, problems, by_path=found == "huggingface")
    pairs = join_rows(rows, problems)
    drawn = resplit or not any(pair.split for pair in pairs)
    if drawn:
        _draw_splits(source, pairs, val=val, test=test, seed=seed)
    for pair in pairs:
        if not pair.split:
            problems.note(pair.place, "the pair has no split, but others have one")
    problems.refuse()  # before the images are read, which takes long
    _check_images(pairs, problems, progress=progress)
    problems.refuse()
    _check_room(out, pairs)
    entries = _write(out, source, pairs, progress=progress)
    return _report(out, found, entries, drawn=drawn)


def _draw_splits(
    source: Path, pairs: list[Pair], *, val: float, test: float, seed: int
) -> None:
    """Give each pair a split: pairs in the order of a hash of seed and paths, the first
    to val, the next to test."""
    base = source if source.is_dir() else source.parent
    by_hash: dict[str, Pair] = {}
    for pair in pairs:
        # Paths below the source, so that a moved source draws the same splits.
        paths = [_below(base, path) for path in (pair.before, pair.after)]
        key = json.dumps([seed, *paths])
        by_hash[hashlib.sha256(key.encode()).hexdigest()] = pair
    # A share above 0 gives at least one pair, however few there are.
    counts = {"val": round(val * len(pairs)), "test": round(test * len(pairs))}
    for split, share in (("val", val), ("test", test)):
        if share:
            counts[split] = max(counts[split], 1)
    # At least one pair has to be left for training.
    if pairs and sum(counts.values()) >= len(pairs):
        raise DataError(
            f"{source} has {len(pairs)} pairs, too few for val={val} and "
            f"test={test}; give --val 0 --test 0 to put all of them into train"
        )
    for number, (_, pair) in enumerate(sorted(by_hash.items())):
        if number < counts["val"]:
            pair.split = "val"
        elif number < counts["val"] + counts["test"]:
            pair.split = "test"
        else:
            pair.split = "train"


def _below(base: Path, path: Path) -> str:
    return str(path.relative_to(base) if path.is_relative_to(base) else path)


def _check_images(pairs: Iterable[Pair], problems: Problems, *, progress: bool) -> None:
    """Read each pair as training will, and note those that it would refuse."""
    for pair in tqdm(pairs, desc="reading", unit="pair", disable=not progress):
        try:
            # At the smallest size: every check is made, and as little as possible is
            # computed.
            read_pair(pair.before, pair.after, size=MIN_SIDE)
        except ImageError as error:
            problems.note(pair.place, str(error))


def _check_room(out: Path, pairs: Iterable[Pair]) -> None:
    there = out
    # The disk is that of the nearest folder that exists already.
    while not there.exists():
        there = there.parent
    sizes = [pair.before.stat().st_size + pair.after.stat().st_size for pair in pairs]
    needed = sum(sizes)
    free = shutil.disk_usage(there).free
    if needed > free:
        raise OutputError(
            f"{out} needs {needed / 1e9:.1f} GB, but its disk has {free / 1e9:.1f} "
            "GB left; make room"
        )


def _write(
    out: Path, source: Path, pairs: list[Pair], *, progress: bool
) -> list[dict[str, Any]]:
    """Copy the images, then write the captions; if that fails or is interrupted, delete
    what was written."""
    was_there = out.is_dir()
    names = _names(pairs)
    entries: list[dict[str, Any]] = []
    try:
        with told_as_output(out):
            for split in SPLITS:
                for date in DATE_FOLDERS:
                    (out / "images" / split / date).mkdir(parents=True, exist_ok=True)
        sentences = 0
        bar = tqdm(pairs, desc="copying", unit="pair", disable=not progress)
        for pair, name in zip(bar, names, strict=True):
            for date, path in zip(DATE_FOLDERS, (pair.before, pair.after), strict=True):
                target = out / "images" / pair.split / date / (name + _suffix(path))
                with whole_file(target) as draft:
                    shutil.copyfile(path, draft)
            entries.append(
                _entry(pair, name + _suffix(pair.before), len(entries), sentences)
            )
            sentences += len(pair.captions)
        body = {"dataset": file_name(source.resolve().stem), "images": entries}
        write_whole(out / CAPTION_FILE, json.dumps(body, ensure_ascii=False) + "\n")
    except BaseException:  # Ctrl-C too
        # The folder was empty, so all of it is ours.
        shutil.rmtree(out / "images" if was_there else out, ignore_errors=True)
        raise
    return entries


def _names(pairs: Iterable[Pair]) -> list[str]:
    """A safe name for the files of each pair, none twice, capitals not told."""
    taken: set[str] = set()
    tried: Counter[str] = Counter()  # by name, how many numbers were put behind it
    names = []
    for pair in pairs:
        # The source's own name for the pair if it has one, else what both files' names
        # share.
        own = common_name(pair.before.stem, pair.after.stem)
        given = re.sub(r"(?i)\.(png|jpe?g|tiff?|webp)$", "", pair.name)
        wanted = file_name(given or own)
        name = wanted
        # Numbers go on where they stopped for this name: counting from 2 each time
        # would take long with thousands of pairs of one name.
        while name.casefold() in taken:
            tried[wanted] += 1
            name = f"{wanted}-{tried[wanted] + 1}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _suffix(path: Path) -> str:
    """The ending that belongs to an image's content, whatever its name says."""
    with path.open("rb") as file:
        head = file.read(4)
    for begin, suffix in _SUFFIXES.items():
        if head.startswith(begin):
            return suffix
    return ".tif"


def _entry(
    pair: Pair, filename: str, imgid: int, first_sentence: int
) -> dict[str, Any]:
    """A pair as LEVIR-CC's file has it."""
    # Ids of sentences run through the whole file, as LEVIR-CC's do.
    sentids = list(range(first_sentence, first_sentence + len(pair.captions)))
    sentences = []
    for caption, sentid in zip(pair.captions, sentids, strict=True):
        words = normalise(caption.split())
        sentences.append(
            {"tokens": words, "raw": f" {caption}", "imgid": imgid, "sentid": sentid}
        )
    flag = {} if pair.changed is None else {"changeflag": pair.changed}
    head = {
        "filepath": pair.split,
        "filename": filename,
        "imgid": imgid,
        "split": pair.split,
    }
    return {**head, **flag, "sentids": sentids, "sentences": sentences}


def _report(
    out: Path, kind: str, entries: list[dict[str, Any]], *, drawn: bool
) -> ImportReport:
    pairs = Counter(entry["split"] for entry in entries)
    words: set[str] = set()
    captions = 0
    for entry in entries:
        captions += len(entry["sentences"])
        for sentence in entry["sentences"]:
            words.update(sentence["tokens"])
    flags = Counter(entry.get("changeflag") for entry in entries)
    return ImportReport(
        out=out,
        kind=kind,
        pairs={split: pairs[split] for split in SPLITS},
        captions=captions,
        words=len(words),
        changed=flags[1],
        unchanged=flags[0],
        drawn=drawn,
    )
