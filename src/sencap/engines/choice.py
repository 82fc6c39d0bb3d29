"""Which engine runs a checkpoint: the one module of the core that knows of PyTorch's,
which it imports when asked."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from sencap.config import ModelSettings
from sencap.data.vocabulary import Vocabulary
from sencap.engines.contract import Engine
from sencap.engines.precisions import Precision, check_precision
from sencap.errors import (
    CheckpointError,
    MissingDependencyError,
    SettingsError,
    nearest,
)

_log = logging.getLogger(__name__)

EngineName = Literal["auto", "onnx", "torch"]


class Model(Protocol):
    """What a predictor knows of its network beside the engine: a checkpoint, opened by
    either engine's side."""

    @property
    def settings(self) -> ModelSettings:
        """What the model is built with."""
        ...

    @property
    def vocabulary(self) -> Vocabulary:
        """The words it knows."""
        ...

    @property
    def training(self) -> Mapping[str, Any]:
        """How it was trained."""
        ...

    @property
    def path(self) -> Path | None:
        """The folder it came from."""
        ...


def open_checkpoint(
    folder: Path,
    *,
    device: str,
    engine: EngineName,
    precision: Precision = "fp32",
    threads: int = 0,
) -> tuple[Engine, Model]:
    """A checkpoint, opened by the engine asked for; see `sencap.predictor.load`."""
    check_precision(precision)
    chosen = _which_engine(folder, device, engine)
    if chosen == "onnx":
        from sencap.engines import onnx  # noqa: PLC0415  (the engine that is asked for)

        network, checkpoint = onnx.open_onnx(
            folder, threads=threads, precision=precision
        )
        # An int8 encoder may lose captions that fp32 gets right; that is known only
        # after a comparison on captioned pairs.
        if precision == "int8" and not onnx.was_measured(folder):
            _log.warning(
                "warning: how well int8 does with these weights was never measured; "
                "do so with: sencap export %s --precision int8 --check DATA",
                folder,
            )
        return network, checkpoint
    if precision != "fp32":
        raise SettingsError(
            f"precision={precision} is the ONNX engine's, on the CPU; "
            f"device={device}, engine={engine} mean PyTorch here: say "
            "precision=fp32, or device=cpu and engine=onnx"
        )
    from sencap.engines import torch  # noqa: PLC0415  (imports PyTorch)

    return torch.open_torch(folder, device=device)


def _which_engine(folder: Path, device: str, engine: EngineName) -> EngineName:
    """The engine that runs a checkpoint on a device."""
    if engine not in get_args(EngineName):
        raise SettingsError(
            f"engine={engine!r} is unknown; {nearest(engine, get_args(EngineName))}"
        )
    # Looked up without importing it: PyTorch takes long to load, and the core does
    # without.
    has_torch = importlib.util.find_spec("torch") is not None
    has_graphs = (folder / "encoder.onnx").is_file()
    on_cpu = device in ("auto", "cpu")
    if engine == "onnx" and not on_cpu:
        raise SettingsError(
            f"engine=onnx runs on the CPU, not on device={device}; say engine=torch "
            "for it"
        )
    # By itself the CPU gets ONNX Runtime wherever graphs lie beside the weights;
    # PyTorch is for other devices and for checkpoints without graphs.
    if engine == "onnx" or (engine == "auto" and on_cpu and has_graphs):
        return "onnx"
    if has_torch:
        return "torch"
    # Neither engine can run it. A whole checkpoint without graphs gets the advice that
    # helps, others the name of the package.
    if on_cpu and engine == "auto" and folder.is_dir():
        raise CheckpointError(
            f"{folder} has no graphs for ONNX Runtime, and PyTorch is not installed; "
            f"write them where it is, with sencap export {folder}, or install it: "
            "pip install 'sencap[train]'"
        )
    raise MissingDependencyError(
        f"device={device}, engine={engine} need PyTorch: pip install 'sencap[train]'"
    )
