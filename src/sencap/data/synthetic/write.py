"""A synthetic data set on disk, in LEVIR-CC's layout, the same bytes for the same seed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from sencap import __version__
from sencap.data.synthetic.pair import captions_of, plan_pair, render_pair
from sencap.errors import DataError, SettingsError

CAPTIONS_FILE = "LevirCCcaptions.json"
SETTINGS_FILE = "synthetic.json"
FEWEST = 10
ORDER = 1_000_003  # the stream of the change flags' order, apart from those of the pairs
README = """\
# Synthetic change captioning pairs

{pairs} pairs of rendered overhead scenes (256x256 RGB, 0.5 m per pixel) with five captions each, half of them
unchanged, in the layout of LEVIR-CC. Everything in it was drawn by a program; no photograph is part of it.

- made by sencap {version}: `sencap synth OUT --pairs {pairs} --seed {seed}{extra}`
- splits: {splits}
- images: `images/{{train,val,test}}/{{A,B}}/*.png`, A before, B after
- captions: `LevirCCcaptions.json`; `kind` names the kind of change
- the same command gives the same bytes
"""


@dataclass(frozen=True)
class Job:
    """One pair to write: its place in the data set and whether it changes."""

    folder: str
    seed: int
    imgid: int
    split: str
    filename: str
    changed: bool


def _split_sizes(pairs: int, val: float, test: float) -> dict[str, int]:
    """Pairs per split, even numbers where that is possible."""
    sizes = {"val": 2 * round(pairs * val / 2), "test": 2 * round(pairs * test / 2)}
    for name, share in (("val", val), ("test", test)):
        if share > 0:
            sizes[name] = max(sizes[name], 2)
    return {"train": pairs - sizes["val"] - sizes["test"], **sizes}


def _check(pairs: int, seed: int, val: float, test: float, workers: int) -> None:
    """Refuse settings that make no data set."""
    if pairs < FEWEST:
        raise SettingsError(f"pairs={pairs} is too few for three splits; give at least {FEWEST}")
    if seed < 0:
        raise SettingsError(f"seed={seed} must be 0 or more")
    if workers < 0:
        raise SettingsError(f"workers={workers} must be 0 (one per core) or more")
    for name, share in (("val", val), ("test", test)):
        if not 0 <= share < 1:
            raise SettingsError(f"{name}={share} must be a share of the pairs: 0 or more, less than 1")
    if val + test >= 1 or _split_sizes(pairs, val, test)["train"] < 2:
        raise SettingsError(f"val={val} and test={test} leave nothing to train on; lower them")


def _jobs(out: Path, pairs: int, seed: int, val: float, test: float) -> list[Job]:
    """All pairs of the data set; in each split the flags are half and half in a seeded order."""
    jobs: list[Job] = []
    for number, (split, size) in enumerate(_split_sizes(pairs, val, test).items()):
        flags = np.arange(size) % 2 == 1
        np.random.default_rng((seed, ORDER, number)).shuffle(flags)
        for position, changed in enumerate(flags.tolist()):
            name = f"{split}_{position + 1:06d}.png"
            jobs.append(Job(str(out), seed, len(jobs), split, name, changed))
    return jobs


def _write_image(path: Path, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """Write a PNG whole or not at all."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    Image.fromarray(pixels).save(partial, "PNG", compress_level=4)
    partial.replace(path)


def _is_whole(path: Path) -> bool:
    """Whether an image file is there and can be read to its end."""
    try:
        with Image.open(path) as image:
            image.load()
    except OSError:
        return False
    return True


def _work(job: Job) -> dict[str, Any]:
    """Draw and write one pair unless it is there; returns its entry of the captions file."""
    folder = Path(job.folder) / "images" / job.split
    paths = [folder / date / job.filename for date in ("A", "B")]
    if not all(_is_whole(path) for path in paths):
        pair = render_pair(job.seed, job.imgid, changed=job.changed)
        for path, pixels in zip(paths, (pair.before, pair.after), strict=True):
            _write_image(path, pixels)
    plan = plan_pair(job.seed, job.imgid, changed=job.changed)
    captions = captions_of(job.seed, job.imgid, plan)
    sentids = [job.imgid * len(captions) + number for number in range(len(captions))]
    return {
        "filepath": job.split,
        "filename": job.filename,
        "imgid": job.imgid,
        "split": job.split,
        "changeflag": int(job.changed),
        "sentids": sentids,
        "sentences": [
            {"tokens": caption.split(), "raw": f" {caption} .", "imgid": job.imgid, "sentid": sentid}
            for caption, sentid in zip(captions, sentids, strict=True)
        ],
        "kind": plan.kind,
    }


def _results(jobs: list[Job], workers: int) -> Iterator[dict[str, Any]]:
    """The entries in order, from this process or from several."""
    if workers == 1:
        yield from map(_work, jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_work, jobs, chunksize=4)


def _claim(out: Path, settings: str) -> None:
    """Make the folder ours: empty, or begun with the same settings."""
    note = out / SETTINGS_FILE
    if out.exists() and not out.is_dir():
        raise DataError(f"{out} is a file; give a folder for the synthetic data set")
    if out.is_dir() and any(out.iterdir()):
        if not note.is_file():
            raise DataError(f"{out} holds something else; give an empty or new folder")
        if note.read_text(encoding="utf-8") != settings:
            raise DataError(
                f"{out} holds a synthetic data set of other settings (see {note}); give another folder"
            )
    for split in ("train", "val", "test"):
        for date in ("A", "B"):
            (out / "images" / split / date).mkdir(parents=True, exist_ok=True)
    _write_text(note, settings)
    for stray in sorted(out.glob("images/*/*/*.partial")):
        stray.unlink()


def _write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, with Unix line ends."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8", newline="\n")
    partial.replace(path)


def write_dataset(
    out: Path,
    *,
    pairs: int,
    seed: int = 0,
    val: float = 0.1,
    test: float = 0.1,
    workers: int = 0,
    progress: bool = True,
) -> Path:
    """Write a synthetic data set in LEVIR-CC's layout and return its folder.

    `val` and `test` are shares of `pairs`; `workers` is the number of processes, 0 for one per core. In every
    split half of the pairs are unchanged. The same settings give the same bytes in every file, whatever the
    number of workers. A run that was stopped continues: images that are there and whole are kept.

    Raises SettingsError for fewer than 10 pairs, wrong shares or a negative seed or number of workers;
    DataError for a folder that holds something else or a data set of other settings.
    """
    out = Path(out)
    _check(pairs, seed, val, test, workers)
    settings = {"made by": f"sencap {__version__}", "pairs": pairs, "seed": seed, "val": val, "test": test}
    _claim(out, json.dumps(settings, indent=1) + "\n")
    jobs = _jobs(out, pairs, seed, val, test)
    workers = min(workers or os.cpu_count() or 1, len(jobs))
    entries = list(tqdm(_results(jobs, workers), total=len(jobs), unit="pair", disable=not progress))
    body = {"dataset": "sencap-synthetic", "images": entries}
    _write_text(out / CAPTIONS_FILE, json.dumps(body, indent=None, separators=(", ", ": ")) + "\n")
    extra = "".join(f" --{name} {share}" for name, share in (("val", val), ("test", test)) if share != 0.1)
    splits = ", ".join(f"{split} {size}" for split, size in _split_sizes(pairs, val, test).items())
    readme = README.format(pairs=pairs, version=__version__, seed=seed, extra=extra, splits=splits)
    _write_text(out / "README.md", readme)
    return out
