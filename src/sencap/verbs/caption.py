"""`sencap caption`: what changed between two images, or between the images of many pairs."""

from __future__ import annotations

import json as json_
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sencap.errors import DataError, ImageError, SettingsError

if TYPE_CHECKING:
    from sencap.predictor import Predictor
    from sencap.structures import Caption, ImagePair


@dataclass(frozen=True)
class CaptionedFiles:
    """Two files and what was said of them."""

    before: Path
    after: Path
    name: str
    pair: ImagePair
    caption: Caption

    def details(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "before": str(self.before),
            "after": str(self.after),
            **_details(self.caption),
            "change_probability": self.caption.change_probability,
            "finished": self.caption.finished,
            "alternatives": [_details(other) for other in self.caption.alternatives],
        }


def _details(caption: Caption) -> dict[str, Any]:
    return {"caption": caption.text, "log_prob": round(caption.log_prob, 6), "changed": caption.changed}


def caption_files(
    predictor: Predictor, files: list[tuple[Path, Path, str]], problems: list[str], *, batch_size: int = 16
) -> Iterator[CaptionedFiles]:
    """Caption pairs of files in batches; what cannot be read is told in ``problems`` and left out."""
    from sencap.images import read_pair

    for first in range(0, len(files), batch_size):
        readable: list[tuple[Path, Path, str, ImagePair]] = []
        for before, after, name in files[first : first + batch_size]:
            try:
                readable.append((before, after, name, read_pair(before, after, name)))
            except ImageError as error:
                problems.append(str(error))
        captions = predictor.caption_pairs([item[3] for item in readable]) if readable else []
        for item, caption in zip(readable, captions, strict=True):
            yield CaptionedFiles(*item, caption)


def command(
    sources: list[str],
    *,
    weights: str | None = None,
    beam: int = 3,
    json: bool = False,
    picture: str | None = None,
    device: str = "auto",
    decision: Literal["probability", "search"] = "probability",
    batch_size: int = 16,
) -> None:
    """Say what changed between two images of one place.

    Input: BEFORE AFTER (two image files), or one folder (with subfolders A and B, or before and after, or files
    <name>_before.* and <name>_after.*), or one CSV file with columns before and after. PNG, JPEG, WebP or TIFF.
    Output: the sentence; for several pairs one line each: name, tab, sentence. Files that cannot be read are
    listed at the end, and the exit code is then 2.

    Args:
        sources: BEFORE and AFTER, or a folder, or a CSV file.
        weights: A checkpoint folder (default: the weights that ship with sencap).
        beam: Width of the beam search; 1 is greedy.
        json: Print all details as JSON (several pairs: one object per line).
        picture: Also write a picture with before, after and the sentence (several pairs: a folder for them).
        device: cpu, cuda, or auto.
        decision: What makes a pair changed: the model's probability of change (all sentences of no change
            counted together), or whatever the best caption of the search says.
        batch_size: Pairs captioned at once.
    """
    from sencap.images import IMAGE_SUFFIXES, find_pairs
    from sencap.predictor import load

    if len(sources) > 2:
        raise SettingsError(f"give BEFORE and AFTER, or one folder or CSV file; got {len(sources)} arguments")
    single = len(sources) == 2
    if not single and Path(sources[0]).is_file() and Path(sources[0]).suffix.lower() in IMAGE_SUFFIXES:
        raise SettingsError(f"{sources[0]} is one image; give two, BEFORE and AFTER, or a folder or CSV file")
    files = [(Path(sources[0]), Path(sources[1]), "")] if single else find_pairs(sources[0])
    if picture is not None:
        _check_picture(Path(picture), single=single)
    predictor = load(weights, beam=beam, device=device, decision=decision)
    problems: list[str] = []
    for found in caption_files(predictor, files, problems, batch_size=batch_size):
        if picture is not None:
            _save(found, Path(picture) if single else Path(picture) / f"{found.name}.png")
        text = found.caption.text
        line = json_.dumps(found.details()) if json else text if single else f"{found.name}\t{text}"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    if problems:
        raise DataError("\n".join(problems))


def _check_picture(path: Path, *, single: bool) -> None:
    if single and path.is_dir():
        raise SettingsError(f"picture={path} is a folder; for one pair name a file that ends in .png")
    if not single:
        if path.suffix:
            raise SettingsError(f"picture={path}: for several pairs name a folder, not a file")
        path.mkdir(parents=True, exist_ok=True)


def _save(found: CaptionedFiles, path: Path) -> None:
    from sencap.picture import draw_pair, save_picture

    save_picture(draw_pair(found.pair, found.caption.text), path)
