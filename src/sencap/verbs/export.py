"""`sencap export`: the graphs that ONNX Runtime runs, written into a checkpoint."""

from __future__ import annotations

from pathlib import Path


def export(checkpoint: str | Path) -> list[Path]:
    """Write a checkpoint's graphs beside its weights; returns their paths. See `sencap.models.export`.

    Raises:
        CheckpointError: the folder is not a whole checkpoint. OutputError: it cannot be written to.
    """
    from sencap.models.checkpoint import load_checkpoint
    from sencap.models.export import export_checkpoint

    return export_checkpoint(load_checkpoint(checkpoint))


def command(checkpoint: str) -> str:
    """Write the graphs that ONNX Runtime runs into a checkpoint folder, so that captioning needs no PyTorch.

    `sencap train` and `sencap convert` do it themselves; this is for older checkpoints. The weights stay where they
    are: the graphs point into model.safetensors. Output: encoder.onnx, start.onnx and step.onnx in the folder.

    Args:
        checkpoint: The checkpoint folder.
    """
    from sencap.files import check_output_folder

    check_output_folder("checkpoint", checkpoint)
    written = export(checkpoint)
    return "\n".join(f"wrote {path}" for path in written)
