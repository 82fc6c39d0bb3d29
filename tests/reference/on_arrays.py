"""PyTorch decoders and memories seen by the search of the package, which works on
arrays; for the tests of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sencap import search as package
from sencap.engines.contract import PairMemory
from sencap.engines.torch import TorchDecoding, TorchEngine
from sencap.models.captioner import Captioner
from sencap.models.checkpoint import Checkpoint
from sencap.predictor import Predictor
from sencap.structures import Hypothesis, Memory


def as_arrays(memory: Memory) -> PairMemory:
    return PairMemory(memory.tokens.detach().float().cpu().numpy(), memory.grid, {}, {})


def search(
    decoder: Any,
    memory: Memory,
    *,
    start: int,
    end: int,
    forbidden: Sequence[int] = (),
    **settings: Any,
) -> list[list[Hypothesis]]:
    markers = package.Markers(start, end, tuple(forbidden))
    return package.search(
        TorchDecoding(decoder), as_arrays(memory), markers, **settings
    )


def beam_of_one(
    decoder: Any,
    memory: Memory,
    *,
    start: int,
    end: int,
    forbidden: Sequence[int] = (),
    max_words: int,
) -> list[list[Hypothesis]]:
    """What the beam search finds with a beam of one, where `search` would take the
    greedy one."""
    markers = package.Markers(start, end, tuple(forbidden))
    beam = package._Beam(
        TorchDecoding(decoder),
        as_arrays(memory),
        markers,
        beam=1,
        n_best=1,
        length_normalisation=0.0,
    )
    return beam.run(max_words)


def predictor_of(checkpoint: Checkpoint, **settings: Any) -> Predictor:
    """A predictor on PyTorch's engine."""
    return Predictor(TorchEngine(checkpoint.captioner.eval()), checkpoint, **settings)


def captioner_of(predictor: Predictor) -> Captioner:
    """The network behind such a predictor."""
    assert isinstance(predictor.engine, TorchEngine)
    return predictor.engine.captioner


def checkpoint_of(predictor: Predictor) -> Checkpoint:
    """The checkpoint behind such a predictor, to be saved."""
    assert isinstance(predictor.checkpoint, Checkpoint)
    return predictor.checkpoint
