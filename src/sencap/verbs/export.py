"""`sencap export`: the graphs that ONNX Runtime runs, written into a checkpoint."""

from __future__ import annotations


def command(checkpoint: str) -> str:
    """Write the graphs that ONNX Runtime runs into a checkpoint folder, so that captioning needs no
    PyTorch.

    `sencap train` and `sencap convert` do it themselves; this is for older checkpoints. The weights
    stay where they are: the graphs point into model.safetensors. Output: encoder.onnx, start.onnx
    and step.onnx in the folder.

    Args:
        checkpoint: The checkpoint folder.
    """
    from sencap.files import check_output_folder

    check_output_folder("checkpoint", checkpoint)
    from sencap.models.export import export_checkpoint

    written = export_checkpoint(checkpoint)
    return "\n".join(f"wrote {path}" for path in written)
