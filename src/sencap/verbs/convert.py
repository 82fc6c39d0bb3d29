"""`sencap convert`: published checkpoints of captioners into sencap's format."""

from __future__ import annotations

from sencap.errors import CheckpointError
from sencap.files import check_output_folder, not_a_file


def command(
    source: str, out: str, *, vocabulary: str, backbone: str | None = None
) -> str:
    """Convert a published checkpoint of a captioner into sencap's format, without
    running anything in it.

    Input: a file of SEN, RSICCformer, PSNet, MCCFormer-S or -D or DUDA (whole pickled
    modules, compiled or not, or state dicts) and the word map it was trained with.
    Which system it is, is told by what it holds. Output: a checkpoint folder OUT, which
    caption, evaluate and --extractor.init take. The converted model gives the logits of
    the original.

    Args:
        source: Their checkpoint, a file such as official.pth.tar.
        out: The folder to write; it must not exist or be empty.
        vocabulary: Their word map, a JSON object word to id.
        backbone: Weights of the frozen network, as --extractor.init takes them, where
            the file holds none.
    """
    for path in (source, vocabulary):  # told here, before anything heavy is imported
        if reason := not_a_file(path):
            raise CheckpointError(f"{path} is not a file ({reason})")
    check_output_folder("out", out)
    from sencap.foreign.convert import convert

    return convert(source, vocabulary, out, backbone=backbone).message
