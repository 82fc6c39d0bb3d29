"""The compared systems' equations against their slow, literal twins, in evaluation
mode, on random weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reference import baselines as slow
from reference.weights import Array, randomised, weights_of
from sencap.errors import SettingsError, ShapeError
from sencap.models.attention import Attention
from sencap.models.baselines.mccformer import MCCFormerD, MCCFormerS
from sencap.models.baselines.psnet import PSNetDifference
from sencap.models.baselines.recurrent import (
    DualAttention,
    DynamicSpeaker,
    PlainSpeaker,
    RepresentationDifference,
    SingleAttention,
    Speaker,
)
from sencap.models.baselines.rsiccformer import (
    MultistageFusion,
    ResidualBlock,
    RSICCformerDifference,
)
from sencap.models.baselines.tokens import DateTokens
from sencap.models.decoders import ScaleDecoder
from sencap.structures import Memory

C, D, GRID = 6, 8, 3
NO_IMAGES = torch.empty(0)  # these difference encoders look at the features alone


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def arrays(x: Tensor) -> Array:
    out: Array = x.double().numpy()
    return out


def agree(fast: Tensor, slow_ones: Iterable[Array]) -> None:
    expected = np.stack(list(slow_ones))
    assert fast.dtype == torch.float32
    assert tuple(fast.shape) == expected.shape
    assert expected.std() > 0.01, "a constant proves nothing"
    np.testing.assert_allclose(fast.detach().numpy(), expected, rtol=0, atol=1e-5)


def lively(module: nn.Module, seed: int) -> Any:
    """As `randomised`, the statistics of batch norms too."""
    randomised(module, seed)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.copy_(0.3 * random(norm.num_features, seed=seed + 1))
            norm.running_var.copy_(0.5 + random(norm.num_features, seed=seed + 2).abs())
    return module


def encoder(kind: Any, *, layers: int, heads: int, **more: Any) -> Any:
    return kind(
        C, D, grid=GRID, layers=layers, heads=heads, expansion=4, dropout=0.1, **more
    )


def compare(fast: Any, twin: Any, **arguments: Any) -> None:
    features = random(2, 2, C, GRID, GRID, seed=31)
    memory = fast(features, NO_IMAGES)
    w = weights_of(fast)
    assert memory.grid == (GRID, GRID)
    agree(memory.tokens, [twin(w, arrays(one), **arguments) for one in features])


def test_tokens_with_row_and_column_positions() -> None:
    fast = lively(DateTokens(C, D, grid=GRID), seed=30)
    features = random(2, 2, C, GRID, GRID, seed=30)
    expected = [slow.date_tokens(weights_of(fast), arrays(one)) for one in features]
    for date, tokens in enumerate(fast(features)):
        agree(tokens, [both[date] for both in expected])


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (2, 4)])
def test_mccformer_s(layers: int, heads: int) -> None:
    fast = lively(encoder(MCCFormerS, layers=layers, heads=heads), seed=32)
    compare(fast, slow.mccformer_s, layers=layers, heads=heads)


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (2, 4)])
def test_mccformer_d(layers: int, heads: int) -> None:
    fast = lively(encoder(MCCFormerD, layers=layers, heads=heads), seed=33)
    compare(fast, slow.mccformer_d, layers=layers, heads=heads)


@pytest.mark.parametrize("fusion", [False, True])
@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (3, 4)])
def test_rsiccformer(layers: int, heads: int, fusion: bool) -> None:
    fast = lively(
        encoder(RSICCformerDifference, layers=layers, heads=heads, fusion=fusion),
        seed=34,
    )
    compare(fast, slow.rsiccformer, layers=layers, heads=heads, fusion=fusion)


def test_residual_block() -> None:
    fast = lively(ResidualBlock(8), seed=35)
    x = random(2, 8, 3, 4, seed=35)
    agree(fast(x), [slow.residual_block(weights_of(fast), arrays(one)) for one in x])


def test_fusion_reads_every_stage() -> None:
    fast = lively(MultistageFusion(8, stages=3), seed=36)
    stages = [random(1, 4, 8, seed=seed).requires_grad_() for seed in range(3)]
    fast(stages, (2, 2)).square().sum().backward()
    assert all(s.grad is not None and s.grad.abs().sum() > 0 for s in stages)


@pytest.mark.parametrize(("layers", "heads"), [(2, 1), (3, 4)])
def test_psnet(layers: int, heads: int) -> None:
    numbers: Any = {"grid": GRID, "layers": layers, "heads": heads, "dropout": 0.1}
    fast = lively(PSNetDifference(C, D, **numbers), seed=37)
    compare(fast, slow.psnet, layers=layers, heads=heads)


DIFFERENCES: dict[str, Any] = {
    "difference": lambda: RepresentationDifference(C),
    "single": lambda: SingleAttention(C, hidden=5),
    "dual": lambda: DualAttention(C, hidden=5),
}


@pytest.mark.parametrize("kind", DIFFERENCES)
def test_what_a_speaker_sees_and_the_maps(kind: str) -> None:
    fast = lively(DIFFERENCES[kind](), seed=38)
    features = random(2, 2, C, 2, GRID, seed=38)
    memory = fast(features, NO_IMAGES)
    expected = [
        slow.vectors(weights_of(fast), arrays(one), kind=kind) for one in features
    ]
    assert memory.grid == (2, GRID)
    agree(memory.tokens.sum(1), [np.concatenate(seen) for seen, _ in expected])
    assert set(memory.parts) == set(expected[0][1])
    for name, part in memory.parts.items():
        agree(part, [maps[name].reshape(-1, 1) for _, maps in expected])


def test_dudas_attention_as_published() -> None:
    fast = lively(DualAttention(C, hidden=8, norm_groups=4, coordinates=True), seed=38)
    features = random(2, 2, C, 2, GRID, seed=38)
    memory = fast(features, NO_IMAGES)
    expected = [
        slow.vectors(weights_of(fast), arrays(one), kind="dual", groups=4)
        for one in features
    ]
    assert memory.tokens.shape[2] == 3 * fast.width == 3 * (C + 2)
    agree(memory.tokens.sum(1), [np.concatenate(seen) for seen, _ in expected])
    for name, part in memory.parts.items():
        agree(part, [maps[name].reshape(-1, 1) for _, maps in expected])


def test_groups_that_do_not_divide_the_channels_are_refused() -> None:
    with pytest.raises(
        SettingsError,
        match=r"difference\.norm_groups=3 does not divide the 128 channels",
    ):
        DualAttention(C, hidden=128, norm_groups=3)


def test_each_layer_of_psnets_decoder_reads_its_scale() -> None:
    """Another third scale leaves the logits of the first two layers' scales alone."""
    fast = lively(
        ScaleDecoder(D, vocabulary_size=11, layers=3, heads=2, expansion=2), seed=40
    )
    scales = random(2, 4, 3 * D, seed=40)
    tokens = torch.randint(11, (2, 1, 5), generator=torch.Generator().manual_seed(40))
    x = fast.positions(fast.embedding(tokens))
    for layer, scale in zip(fast.layers, scales.chunk(3, 2), strict=True):
        x = layer(x, scale)
    assert torch.equal(fast(Memory(scales, (2, 2)), tokens), fast.output(x))


@pytest.mark.parametrize(
    ("dynamic", "word_relu"), [(False, False), (True, False), (True, True)]
)
def test_speakers(dynamic: bool, word_relu: bool) -> None:
    V, S, K, T = 11, 3, 2, 6
    kind = DynamicSpeaker if dynamic else PlainSpeaker
    more: Any = {"word_relu": word_relu} if dynamic else {}
    fast: Speaker = lively(
        kind(C, D, vocabulary_size=V, vectors=S, words=5, dropout=0.5, **more),
        seed=39,
    )
    memory = Memory(random(2, 4, S * C, seed=39), (2, 2))
    tokens = torch.randint(V, (2, K, T), generator=torch.Generator().manual_seed(39))
    logits = fast(memory, tokens)
    for b in range(2):
        seen = list(arrays(memory.tokens[b]).sum(0).reshape(S, C))
        expected = [
            slow.speaker_logits(
                weights_of(fast),
                tokens[b, k].tolist(),
                seen,
                dynamic=dynamic,
                word_relu=word_relu,
            )
            for k in range(K)
        ]
        agree(logits[b], expected)


@pytest.mark.parametrize(
    "shape",
    [(2, 1, C, GRID, GRID), (2, 2, C + 1, GRID, GRID), (2, 2, C, GRID, GRID + 1)],
)
def test_features_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        ShapeError,
        match=rf"features are \(B, 2, {C}, {GRID}, {GRID}\), a map per date; got",
    ):
        encoder(MCCFormerD, layers=1, heads=1)(torch.zeros(shape), NO_IMAGES)


def test_matrices_start_xavier_uniform_as_theirs() -> None:
    torch.manual_seed(0)
    built = MCCFormerS(64, 32, grid=14, layers=1, heads=4, expansion=4, dropout=0.1)
    for name, p in built.named_parameters():
        if p.ndim < 2:
            continue
        fan_in, fan_out = p[0].numel(), p.shape[0]
        if any(f".{projection}." in name for projection in ("query", "key", "value")):
            fan_out *= 3  # one matrix in torch.nn.MultiheadAttention
        bound = (6 / (fan_in + fan_out)) ** 0.5
        assert p.abs().max() <= bound, name
        assert p.abs().max() > 0.8 * bound, name
    assert sum(isinstance(module, Attention) for module in built.modules()) == 1


def test_matrices_may_start_as_pytorchs_layers_do() -> None:
    """MCCFormer-S's do: its dates and positions N(0, 1), not Xavier-uniform."""
    torch.manual_seed(0)
    numbers: Any = {"grid": 14, "layers": 1, "heads": 4, "expansion": 4, "dropout": 0.1}
    built = MCCFormerS(64, 32, **numbers, start="layers")
    assert built.dates.weight.std().item() == pytest.approx(1, abs=0.2)
    assert built.tokens.rows.weight.std().item() == pytest.approx(1, abs=0.2)


def test_how_word_vectors_start() -> None:
    """N(0, 1) behind a ReLU is 12 times as loud in the LSTM's gates as ±0.1."""
    torch.manual_seed(0)
    numbers: Any = {"vocabulary_size": 400, "vectors": 3, "words": 300, "dropout": 0.5}
    quiet = DynamicSpeaker(C, D, **numbers).eval()
    loud = DynamicSpeaker(C, D, **numbers, words_start="normal", word_relu=True).eval()
    tokens = torch.arange(400)[None]
    strength = [
        one.word_vectors(tokens).square().mean().sqrt() for one in (quiet, loud)
    ]
    assert (strength[1] / strength[0]).item() == pytest.approx(12.2, abs=0.2)
