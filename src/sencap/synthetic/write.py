"""A synthetic data set on disk, in LEVIR-CC's layout, the same bytes for the same seed."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from sencap.bounds import check_numbers, check_shares
from sencap.data.caption_files import CAPTION_FILE
from sencap.data.entries import SPLITS
from sencap.data.resumable import claim
from sencap.errors import SettingsError
from sencap.files import delete_drafts, write_whole
from sencap.processes import map_in_order
from sencap.synthetic.pair import captions_of, plan_pair, render_pair
from sencap.version import __version__

SETTINGS_FILE = "synthetic.json"
# Before, after, mask of change: each a folder below its split's.
IMAGES = ("A", "B", "label")
FOLDERS = tuple(
    f"images/{split}/{name}" for split, name in itertools.product(SPLITS, IMAGES)
)
# The stream of the change flags' order, apart from those of the pairs
_ORDER = 1_000_003
README = """\
# Synthetic change captioning pairs

{pairs} pairs of rendered overhead scenes (256x256 RGB, 0.5 m per pixel) with five captions each,
half of them unchanged, in the layout of LEVIR-CC. Everything in it was drawn by a program; no
photograph is part of it.

- made by sencap {version}: `sencap synth OUT --pairs {pairs} --seed {seed}{extra}`
- splits: {splits}
- images: `images/{{train,val,test}}/{{A,B}}/*.png`, A before, B after
- masks of change: `images/{{train,val,test}}/label/*.png`, 255 a building was built or torn down,
  128 a road or other paved ground changed, 0 neither; trees, water, cleared ground are not in them
- captions: `LevirCCcaptions.json`; `kind` names the kind of change
- the same command gives the same bytes
"""


@dataclass(frozen=True)
class _Job:
    """One pair to write: its place in the data set and whether it changes."""

    folder: str
    seed: int
    imgid: int
    split: str
    filename: str
    changed: bool


def _split_sizes(pairs: int, val: float, test: float) -> dict[str, int]:
    """Pairs per split, even numbers where that is possible."""
    # Even, so that half of each split is unchanged.
    sizes = {"val": 2 * round(pairs * val / 2), "test": 2 * round(pairs * test / 2)}
    for name, share in (("val", val), ("test", test)):
        if share > 0:
            sizes[name] = max(sizes[name], 2)
    return {"train": pairs - sizes["val"] - sizes["test"], **sizes}


def _check(pairs: int, seed: int, val: float, test: float, workers: int) -> None:
    """Refuse settings that make no data set."""
    check_numbers(pairs=pairs, seed=seed, workers=workers)
    check_shares(val=val, test=test)
    if _split_sizes(pairs, val, test)["train"] < 2:
        raise SettingsError(
            f"val={val} and test={test} leave nothing to train on; lower them"
        )


def _jobs(out: Path, pairs: int, seed: int, val: float, test: float) -> list[_Job]:
    """All pairs of the data set; in each split the flags are half and half in a seeded order."""
    jobs: list[_Job] = []
    for number, (split, size) in enumerate(_split_sizes(pairs, val, test).items()):
        # As many of each, then shuffled with a seed of the split's own: adding pairs to
        # one split leaves the others' order.
        flags = np.arange(size) % 2 == 1
        np.random.default_rng((seed, _ORDER, number)).shuffle(flags)
        for position, changed in enumerate(flags.tolist()):
            name = f"{split}_{position + 1:06d}.png"
            jobs.append(_Job(str(out), seed, len(jobs), split, name, changed))
    return jobs


def _write_image(path: Path, pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
    """Write a PNG whole or not at all."""
    # The level of compression decides the bytes of the file, so it is fixed here.
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", compress_level=4)
    write_whole(path, content.getvalue())


def _is_whole(path: Path) -> bool:
    """Whether an image file is there and can be read to its end."""
    try:
        with Image.open(path) as image:
            image.load()
    except Exception:  # the decoder raises errors of any kind for damaged files
        return False
    return True


def _work(job: _Job) -> dict[str, Any]:
    """Draw and write one pair unless it is there; returns its entry of the captions file."""
    folder = Path(job.folder) / "images" / job.split
    # A pair is drawn as a whole; only the files that were missing are written.
    missing = [name for name in IMAGES if not _is_whole(folder / name / job.filename)]
    if missing:
        pair = render_pair(job.seed, job.imgid, changed=job.changed)
        images = {"A": pair.before, "B": pair.after, "label": pair.mask}
        for name in missing:
            _write_image(folder / name / job.filename, images[name])
    plan = plan_pair(job.seed, job.imgid, changed=job.changed)
    captions = captions_of(job.seed, job.imgid, plan)
    # Numbers of the sentences run through the whole data set, as in LEVIR-CC's own
    # file.
    sentids = [job.imgid * len(captions) + number for number in range(len(captions))]
    return {
        "filepath": job.split,
        "filename": job.filename,
        "imgid": job.imgid,
        "split": job.split,
        "changeflag": int(job.changed),
        "sentids": sentids,
        "sentences": [
            {
                "tokens": caption.split(),
                # LEVIR-CC's raw sentences begin with a space and end in a full stop
                # after another.
                "raw": f" {caption} .",
                "imgid": job.imgid,
                "sentid": sentid,
            }
            for caption, sentid in zip(captions, sentids, strict=True)
        ],
        "kind": plan.kind,
    }


def write_dataset(
    out: str | Path,
    *,
    pairs: int = 1000,
    seed: int = 0,
    val: float = 0.1,
    test: float = 0.1,
    workers: int = 0,
    progress: bool = True,
) -> Path:
    """Write a synthetic data set in LEVIR-CC's layout and return its folder.

    `val` and `test` are shares of `pairs`; `workers` is the number of processes, 0 for one per
    core. In every split half of the pairs are unchanged. The same settings give the same bytes in
    every file, whatever the number of workers. A run that was stopped continues: images that are
    there and whole are kept. So a folder of an older sencap that wrote no masks of change
    (`images/*/label`) gets them, if its settings are the same.

    Raises:
        SettingsError: numbers out of their bounds, or a folder that is a file.
        DataError: a folder that holds something else, or a data set of other settings.
        OutputError: what cannot be written.
    """
    out = Path(out)
    _check(pairs, seed, val, test, workers)
    settings = {
        "made by": f"sencap {__version__}",
        "pairs": pairs,
        "seed": seed,
        "val": val,
        "test": test,
    }
    # The folder remembers its settings: a run that goes on with others would mix two
    # data sets.
    claim(out, SETTINGS_FILE, settings, FOLDERS)
    jobs = _jobs(out, pairs, seed, val, test)
    try:
        # In the order of the jobs, whichever process is first: so the file of captions
        # has the same bytes.
        with contextlib.closing(map_in_order(_work, jobs, workers=workers)) as entries:
            bar = tqdm(entries, total=len(jobs), unit="pair", disable=not progress)
            images = list(bar)
    finally:
        for folder in FOLDERS:  # a worker that was ended as it wrote leaves a draft
            delete_drafts(out / folder)
    body = {"dataset": "sencap-synthetic", "images": images}
    write_whole(
        out / CAPTION_FILE,
        json.dumps(body, indent=None, separators=(", ", ": ")) + "\n",
    )
    extra = "".join(
        f" --{name} {share}"
        for name, share in (("val", val), ("test", test))
        if share != 0.1
    )
    splits = ", ".join(
        f"{split} {size}" for split, size in _split_sizes(pairs, val, test).items()
    )
    readme = README.format(
        pairs=pairs, version=__version__, seed=seed, extra=extra, splits=splits
    )
    write_whole(out / "README.md", readme)
    return out
