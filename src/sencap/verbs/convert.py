"""`sencap convert`: the SEN authors' own checkpoints into sencap's format."""

from __future__ import annotations

from sencap.errors import CheckpointError
from sencap.files import check_output_folder, not_a_file


def command(source: str, out: str, *, vocabulary: str) -> str:
    """Convert a checkpoint of SEN's authors into sencap's format, without running
    anything in it.

    Input: their file (whole pickled modules encoder_image, encoder_feat and decoder,
    compiled or not) and the word map it was trained with. Output: a checkpoint folder
    OUT, which caption, evaluate and --extractor.init take. The converted model gives
    the logits of the original.

    Args:
        source: Their checkpoint, a file such as official.pth.tar.
        out: The folder to write; it must not exist or be empty.
        vocabulary: Their word map, a JSON object word to id.
    """
    for path in (source, vocabulary):  # told here, before anything heavy is imported
        if reason := not_a_file(path):
            raise CheckpointError(f"{path} is not a file ({reason})")
    check_output_folder("out", out)
    from sencap.foreign.convert import convert

    return convert(source, vocabulary, out).message
