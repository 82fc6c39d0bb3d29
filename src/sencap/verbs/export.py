"""`sencap export`: the graphs that ONNX Runtime runs, written into a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sencap.errors import SencapError, SettingsError


def command(
    checkpoint: str,
    *,
    precision: Literal["fp32", "int8", "bf16"] = "fp32",
    calibrate: str = "drawn",
    check: str | None = None,
    split: str = "val+test",
) -> str:
    """Write the graphs that ONNX Runtime runs into a checkpoint folder, so that
    captioning needs no PyTorch.

    `sencap train` and `sencap convert` do it themselves; this is for older checkpoints,
    and for int8, which needs no PyTorch. Output: encoder.onnx, start.onnx and step.onnx
    in the folder, which point into model.safetensors; or, with precision int8,
    encoder.int8.onnx beside them.

    Args:
        checkpoint: The checkpoint folder.
        precision: fp32 for the graphs themselves, int8 for an encoder in 8 bits beside
            them.
        calibrate: What shows int8 the ranges of its numbers: drawn (pairs that sencap
            draws), or a folder of pairs or a CSV file, as sencap caption takes them.
        check: A folder of captioned pairs on which int8 is compared with fp32. It is
            kept if S*m stays within 0.5, the change flag is the same for 98 % of the
            pairs, and captions come
            1.5 times as fast; it is deleted otherwise.
        split: The splits of that folder, joined by a plus sign.
    """
    from sencap.files import check_output_folder

    check_output_folder("checkpoint", checkpoint)
    if precision != "fp32":
        return _int8(Path(checkpoint), precision, calibrate, check, split.split("+"))
    if check is not None or calibrate != "drawn":
        raise SettingsError("check and calibrate are for precision=int8; fp32 is exact")
    from sencap.models.export import export_checkpoint

    written = export_checkpoint(checkpoint)
    return "\n".join(f"wrote {path}" for path in written)


def _int8(
    folder: Path, precision: str, calibrate: str, data: str | None, splits: list[str]
) -> str:
    from sencap.checkpoint_folder import read_checkpoint_folder
    from sencap.data.levir_cc import read_dataset
    from sencap.engines.precisions import check_precision

    check_precision(precision)
    size = read_checkpoint_folder(folder).settings.size
    if data is not None:
        # What is wrong with it is told before any work.
        read_dataset(data, splits=splits)
    from sencap.engines.quantise import (
        PAIRS,
        calibration_pairs,
        drawn_pairs,
        write_int8,
    )

    if calibrate == "drawn":
        path = write_int8(folder, drawn_pairs(size), f"{PAIRS} drawn pairs")
    else:
        path = write_int8(
            folder,
            calibration_pairs(calibrate, size),
            f"pairs of {Path(calibrate).name}",
        )
    if data is None:
        return f"wrote {path}"
    from sencap.bench.int8 import check_int8

    found = check_int8(folder, data, splits)
    against = found.reasons_against()
    if against:
        raise SencapError(
            f"{found.markdown()}\n\nint8 is not offered for {folder}, and "
            f"{path.name} is deleted: {'; '.join(against)}"
        )
    return f"{found.markdown()}\n\nint8 is kept: wrote {path}"
