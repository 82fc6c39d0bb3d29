"""The PyTorch engine: any captioner, on any device; for validation in training, and for
what has no graph yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sencap.engines.contract import Float32s, Ids, PairMemory, Step
from sencap.errors import SettingsError
from sencap.models.attention import Record, recording
from sencap.models.captioner import Captioner, count_parameters
from sencap.models.checkpoint import Checkpoint, load_checkpoint
from sencap.structures import Memory


@dataclass(frozen=True)
class TorchState:
    """A decoder's own state, which stays on its device; ``explain``: its steps tell
    where they looked."""

    inner: Any
    device: torch.device
    explain: bool = False

    def select(self, parents: Ids) -> TorchState:
        """See `State.select`."""
        # Searches think in numpy arrays; the decoder's state stays on its device, and
        # only the indices travel there.
        inner = self.inner.select(torch.from_numpy(parents).to(self.device))
        return replace(self, inner=inner)

    def keep(self, pairs: Ids) -> TorchState:
        """See `State.keep`."""
        return replace(
            self, inner=self.inner.keep(torch.from_numpy(pairs).to(self.device))
        )


class TorchDecoding:
    """A PyTorch decoder behind arrays."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder

    @property
    def device(self) -> torch.device:
        """Where the decoder is; a decoder without parameters, as tests have it, is on
        the CPU."""
        parameter = None
        if _is_module(self.decoder):
            parameter = next(iter(self.decoder.parameters()), None)
        return torch.device("cpu") if parameter is None else parameter.device

    @torch.inference_mode()
    def start(self, memory: PairMemory, *, explain: bool = False) -> TorchState:
        """See `Decoding.start`; with ``explain`` attention is computed a second time,
        beside the fused one."""
        # PyTorch takes no array whose strides are negative, as views may have them.
        tokens = torch.from_numpy(np.ascontiguousarray(memory.tokens)).to(self.device)
        return TorchState(
            self.decoder.start(Memory(tokens, memory.grid)), self.device, explain
        )

    @torch.inference_mode()
    def step(self, state: TorchState, words: Ids) -> Step:
        """See `Decoding.step`."""
        tokens = torch.from_numpy(np.array(words)).to(state.device)
        if not state.explain:
            logits, inner = self.decoder.step(state.inner, tokens)
            return Step(_array(logits), replace(state, inner=inner))
        # Attention weights exist only while a pass is recorded: the fused operation,
        # which is faster, never forms them.
        with recording(self.decoder) as seen:
            logits, inner = self.decoder.step(state.inner, tokens)
        cells, dates = attention_of_step(seen)
        return Step(
            _array(logits),
            replace(state, inner=inner),
            None if cells is None else _array(cells),
            None if dates is None else _array(dates),
        )


class TorchEngine(TorchDecoding):
    """A captioner behind arrays; it is put into evaluation mode by whoever made it."""

    def __init__(self, captioner: Captioner) -> None:
        super().__init__(captioner.search_decoder)
        self.captioner = captioner

    @torch.inference_mode()
    def encode(
        self, images: NDArray[np.uint8] | Tensor, *, explain: bool = False
    ) -> PairMemory:
        """See `Engine.encode`; a tensor that is on the device already is taken too."""
        pixels = torch.from_numpy(images) if isinstance(images, np.ndarray) else images
        pixels = pixels.to(self.captioner.mean.device)
        if not explain:
            return as_arrays(self.captioner.encode(pixels))
        with recording(self.captioner) as seen:
            # (B, 2, 3, H, W) uint8 → tokens (B, N, D): one row for each cell of the
            # grid.
            memory = self.captioner.encode(pixels)
        parts = {name: _array(part) for name, part in memory.parts.items()}
        cells = memory.tokens.shape[1]
        received = attention_received(seen, cells)
        arrays = {name: _array(values) for name, values in received.items()}
        return as_arrays(memory, parts, arrays)

    def parameters(self) -> dict[str, int]:
        """See `Engine.parameters`."""
        return count_parameters(self.captioner)


def open_torch(folder: Path, *, device: str = "auto") -> tuple[TorchEngine, Checkpoint]:
    """The engine of a checkpoint folder, and the checkpoint.

    Raises:
        CheckpointError: the folder is not a whole checkpoint.
        SettingsError: no such device.
    """
    # Of the accelerators only CUDA is chosen by itself; others have to be named.
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # A number has to come back, which the device "meta" cannot give.
        torch.zeros(1, device=device).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise SettingsError(
            f"device={device!r} cannot be used here ({reason})"
        ) from error
    checkpoint = load_checkpoint(folder, device=device)
    return TorchEngine(checkpoint.captioner.eval()), checkpoint


# Of PSNet, whose layers of this name look at other scales: 2·N tokens that are no dates
_SCALES = "scale_aware"


def attention_received(seen: Record, cells: int) -> dict[str, Tensor]:
    """How much attention each cell got in a recorded pass, mean over heads and over
    those who ask.

    By the name of the `Attention`, with the number of the call where there are several:
    (B, N) where the N ``cells`` were asked, (B, 2·N) where both dates' were. Attention
    to something else is left out.
    """
    received = {}
    for name, calls in seen.items():
        # The number of sources tells what was asked: N cells of one date, or 2·N cells
        # of both. Any other length is attention to words or scales.
        for number, weights in enumerate(calls, 1):
            if weights.shape[3] not in (cells, 2 * cells) or _SCALES in name:
                continue
            call = f"{name} #{number}" if len(calls) > 1 else name
            # (B, heads, L_q, L_s) → (B, L_s)
            received[call] = weights.mean((1, 2))
    return received


def attention_of_step(seen: Record) -> tuple[Tensor | None, Tensor | None]:
    """What a recorded decoder's step looked at: cells (B, K, N) and weights of the
    dates (B, K, 3), or None.

    Cross attention is told by its name, as every decoder here names it.
    """
    cross: list[Tensor] = []
    for name, calls in seen.items():
        if name.endswith("cross_attention"):
            cross += calls
    # (layers, B, heads, K, N) → (B, K, N)
    cells = torch.stack(cross).mean((0, 2)) if cross else None
    # What is recorded under another name are DUDA's weights of before, difference and
    # after.
    others = [
        calls[0] for name, calls in seen.items() if not name.endswith("attention")
    ]
    return cells, others[0] if others else None


def as_arrays(
    memory: Memory,
    parts: Mapping[str, Float32s] = MappingProxyType({}),
    received: Mapping[str, Float32s] = MappingProxyType({}),
) -> PairMemory:
    """A memory on arrays, with what was recorded for those who explain."""
    flag = None if memory.flag is None else _array(memory.flag)
    mask = None if memory.mask is None else _array(memory.mask)
    distance = None if memory.distance is None else _array(memory.distance)
    return PairMemory(
        _array(memory.tokens), memory.grid, parts, received, flag, mask, distance
    )


def _is_module(decoder: Any) -> bool:
    return isinstance(decoder, nn.Module)


def _array(tensor: Tensor) -> Float32s:
    array: Float32s = tensor.float().cpu().numpy()
    return array
