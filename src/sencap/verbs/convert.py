"""`sencap convert`: the SEN authors' own checkpoints into sencap's format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sencap.errors import CheckpointError
from sencap.files import check_output_folder

if TYPE_CHECKING:
    from sencap.foreign.convert import Converted


def convert(source: str | Path, vocabulary: str | Path, out: str | Path) -> Path:
    """Write the authors' checkpoint as a checkpoint folder; returns it. See `sencap.foreign.convert`."""
    _convert(source, vocabulary, out)
    return Path(out)


def command(source: str, out: str, *, vocabulary: str) -> str:
    """Convert a checkpoint of SEN's authors into sencap's format, without running anything in it.

    Input: their file (whole pickled modules encoder_image, encoder_feat and decoder, compiled or not) and the word
    map it was trained with. Output: a checkpoint folder OUT, which caption, evaluate and --extractor.init take. The
    converted model gives the logits of the original.

    Args:
        source: Their checkpoint, a file such as official.pth.tar.
        out: The folder to write; it must not exist or be empty.
        vocabulary: Their word map, a JSON object word to id.
    """
    return _convert(source, vocabulary, out).message


def _convert(source: str | Path, vocabulary: str | Path, out: str | Path) -> Converted:
    for path in (source, vocabulary):  # told here, before anything heavy is imported
        if not Path(path).is_file():
            raise CheckpointError(f"{path} is not a file")
    check_output_folder("out", out)
    from sencap.foreign.convert import convert_official
    from sencap.models.checkpoint import load_checkpoint
    from sencap.models.export import export_checkpoint

    converted = convert_official(source, vocabulary, out)
    export_checkpoint(load_checkpoint(out))
    return converted
