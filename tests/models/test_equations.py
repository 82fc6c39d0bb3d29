"""Every equation of SPEC §2 against its slow, literal twin, in evaluation mode, on
random weights."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from torch import Tensor

from reference import attention as slow
from reference import decoder as slow_decoder
from reference import difference as slow_difference
from reference import extractor as slow_extractor
from reference.weights import Array, part, randomised, weights_of
from sencap.config import (
    DecoderSettings,
    DifferenceSettings,
    ExtractorSettings,
    ModelSettings,
)
from sencap.models.attention import Attention, FeedForward
from sencap.models.captioner import Captioner
from sencap.models.decoders import DecoderLayer, TransformerDecoder
from sencap.models.difference import (
    ChannelAttention,
    CrossAttention,
    CrossAttentionGuidedDifference,
    SENDifference,
    ShallowFeatureEmbedding,
)
from sencap.models.extractors import FeatureExtractor
from sencap.models.positions import SinusoidalPositions
from sencap.models.variants import build
from sencap.structures import Memory

EVEN = pytest.param(4, 9)  # an even kernel and H % stride == 1
ON_OFF = [(a, b) for a in (True, False) for b in (True, False)]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def arrays(x: Tensor) -> Array:
    out: Array = x.double().numpy()
    return out


def agree(fast: Tensor, slow_ones: Iterable[Array] | Array) -> None:
    """To 1e-5, the whole batch, every axis."""
    expected = np.stack(list(slow_ones))
    assert fast.dtype == torch.float32
    assert tuple(fast.shape) == expected.shape
    assert expected.std() > 0.01, "a constant proves nothing"
    np.testing.assert_allclose(fast.detach().numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("D", "heads", "L_q", "L_s"),
    [(8, 1, 3, 3), (8, 2, 1, 5), (24, 3, 4, 7), (16, 8, 6, 2)],
)
def test_multi_head_attention(D: int, heads: int, L_q: int, L_s: int) -> None:
    fast = randomised(Attention(D, heads=heads, dropout=0.5), seed=D + heads)
    query, source = random(2, L_q, D, seed=1), random(2, L_s, D, seed=2)
    w = weights_of(fast)
    agree(
        fast(query, source),
        [
            slow.multi_head_attention(w, arrays(q), arrays(s), heads=heads)
            for q, s in zip(query, source, strict=True)
        ],
    )


@pytest.mark.parametrize("L", [1, 2, 7])
def test_causal_attention_sees_no_later_word(L: int) -> None:
    fast = randomised(Attention(12, heads=3, dropout=0.5), seed=L)
    x = random(2, L, 12, seed=3)
    w = weights_of(fast)
    agree(
        fast(x, x, causal=True),
        [
            slow.multi_head_attention(w, arrays(row), arrays(row), heads=3, causal=True)
            for row in x
        ],
    )


def test_feed_forward() -> None:
    fast = randomised(FeedForward(8, hidden=20, dropout=0.5), seed=4)
    x = random(3, 5, 8, seed=4)
    agree(fast(x), [slow.feed_forward(weights_of(fast), arrays(row)) for row in x])


@pytest.mark.parametrize(
    ("L", "D", "start"), [(1, 2, 0), (5, 6, 0), (7, 16, 3), (70, 10, 0), (3, 10, 200)]
)
def test_sinusoidal_positions_of_any_length(L: int, D: int, start: int) -> None:
    fast = SinusoidalPositions(D, dropout=0.1, length=8).eval()
    x = random(2, L, D, seed=5)
    agree(fast(x, start=start), [slow.with_positions(arrays(row), start) for row in x])
    assert not list(fast.parameters())
    assert not fast.state_dict(), "the table would tie a checkpoint to one image size"


def test_a_table_grown_in_evaluation_serves_training_afterwards() -> None:
    """DistributedDataParallel writes into every buffer, which tensors made in inference
    mode forbid."""
    fast = SinusoidalPositions(6, dropout=0.0, length=4)
    with torch.inference_mode():
        fast(random(1, 9, 6))
    assert not fast.table.is_inference()
    fast.table.copy_(fast.table.clone())


@pytest.mark.parametrize(
    ("D", "reduction", "h", "w"), [(16, 16, 2, 3), (32, 16, 1, 1), (12, 4, 4, 4)]
)
def test_channel_attention(D: int, reduction: int, h: int, w: int) -> None:
    fast = randomised(ChannelAttention(D, reduction=reduction), seed=6)
    x = random(2, D, h, w, seed=6)
    expected = [
        slow_difference.channel_attention(weights_of(fast), arrays(one))[:, None, None]
        for one in x
    ]
    agree(fast(x), expected)


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize(("convolution", "attention"), ON_OFF)
def test_shallow_feature_embedding_and_its_switches(
    convolution: bool, attention: bool, streams: int
) -> None:
    fast = ShallowFeatureEmbedding(
        16,
        stride=4,
        reduction=4,
        shared_convolution=convolution,
        channel_attention=attention,
    )
    randomised(fast, seed=7)
    features, images = (
        random(2, streams, 16, 2, 3, seed=7),
        random(2, 2, 3, 8, 12, seed=8),
    )
    for i, (date, F_m) in enumerate(
        zip(("bef", "aft"), fast(features, images), strict=True)
    ):
        agree(
            F_m,
            [
                slow_difference.shallow_feature_embedding(
                    weights_of(fast),
                    arrays(F[i if streams == 2 else 0]),
                    arrays(pair[i]),
                    date,
                    stride=4,
                    shared_convolution=convolution,
                    channel_attention_on=attention,
                )
                for F, pair in zip(features, images, strict=True)
            ],
        )


@pytest.mark.parametrize(
    ("kernel_size", "H"), [(1, 8), (1, 9), (3, 8), (5, 9), (7, 11), (4, 8), EVEN]
)
def test_shared_convolution_with_other_kernels_keeps_the_grid(
    kernel_size: int, H: int
) -> None:
    grid = (-(-H // 4), 2)  # as a strided network's: rounded up
    fast = ShallowFeatureEmbedding(
        8, stride=4, kernel_size=kernel_size, channel_attention=False
    )
    randomised(fast, seed=kernel_size)
    features, images = random(1, 1, 8, *grid, seed=9), random(1, 2, 3, H, 8, seed=9)
    w = part(weights_of(fast), "conv")
    for i, F_m in enumerate(fast(features, images)):
        expected = slow_difference.embedded_image(
            w, arrays(images[0, i]), grid, stride=4
        )
        agree(F_m, [expected + arrays(features[0, 0])])


def test_a_kernel_of_one_at_stride_32_looks_at_64_pixels_of_65536() -> None:
    """SPEC §2 (SFE) says so; the pixels are those whose row and column are multiples of
    32."""
    fast = randomised(
        ShallowFeatureEmbedding(4, stride=32, channel_attention=False), seed=10
    )
    features, images = random(1, 1, 4, 8, 8), random(1, 2, 3, 256, 256).requires_grad_()
    sum(F_m.sum() for F_m in fast(features, images)).backward()
    assert images.grad is not None
    seen = images.grad[0, 0].abs().sum(0) > 0
    assert seen.sum() == 64
    assert seen[::32, ::32].all()


@pytest.mark.parametrize(("D", "heads", "N"), [(8, 2, 4), (16, 8, 6), (12, 1, 1)])
def test_cross_att(D: int, heads: int, N: int) -> None:
    fast = randomised(CrossAttention(D, heads=heads, dropout=0.5), seed=11)
    F_m, F_diff = random(2, N, D, seed=11), random(2, N, D, seed=12)
    w = weights_of(fast)
    agree(
        fast(F_m, F_diff),
        [
            slow_difference.cross_att(w, arrays(m), arrays(d), heads=heads)
            for m, d in zip(F_m, F_diff, strict=True)
        ],
    )


@pytest.mark.parametrize(("cross", "self_"), ON_OFF)
def test_cagd_layer_and_its_switches(cross: bool, self_: bool) -> None:
    fast = CrossAttentionGuidedDifference(
        16, heads=4, dropout=0.5, cross_attention=cross, self_attention=self_
    )
    randomised(fast, seed=13)
    inputs = [random(2, 5, 16, seed=seed) for seed in (13, 14, 15)]
    w = weights_of(fast)
    expected = [
        slow_difference.cagd_layer(
            w, *(arrays(x[b]) for x in inputs), heads=4, cross=cross, self_=self_
        )
        for b in range(2)
    ]
    for out, slow_outs in zip(fast(*inputs), zip(*expected, strict=True), strict=True):
        agree(out, slow_outs)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("streams", [1, 2])
def test_the_stack_of_cagd_layers(layers: int, streams: int) -> None:
    compare_difference(layers=layers, streams=streams)


@pytest.mark.parametrize(("convolution", "attention"), ON_OFF)
@pytest.mark.parametrize(("cross", "self_"), ON_OFF)
def test_the_stack_with_every_combination_of_switches(
    convolution: bool, attention: bool, cross: bool, self_: bool
) -> None:
    compare_difference(
        shared_convolution=convolution,
        channel_attention=attention,
        cross_attention=cross,
        self_attention=self_,
    )


def compare_difference(*, layers: int = 2, streams: int = 1, **switches: bool) -> None:
    D, h, w, stride = 16, 2, 3, 4
    fast = SENDifference(
        D, stride=stride, layers=layers, heads=4, reduction=4, **switches
    )
    randomised(fast, seed=layers)
    features, images = (
        random(2, streams, D, h, w, seed=16),
        random(2, 2, 3, h * stride, w * stride, seed=17),
    )
    memory = fast(features, images)
    expected = [
        slow_difference.sen_difference(
            weights_of(fast),
            arrays(F),
            arrays(pair),
            stride=stride,
            layers=layers,
            heads=4,
            shared_convolution=switches.get("shared_convolution", True),
            channel_attention_on=switches.get("channel_attention", True),
            cross=switches.get("cross_attention", True),
            self_=switches.get("self_attention", True),
        )
        for F, pair in zip(features, images, strict=True)
    ]
    assert memory.grid == (h, w)
    for name, fast_part in {"tokens": memory.tokens, **memory.parts}.items():
        agree(fast_part, [one[name] for one in expected])


@pytest.mark.parametrize(
    ("D", "heads", "T", "N"), [(8, 2, 4, 3), (24, 3, 1, 5), (16, 8, 7, 1)]
)
def test_decoder_layer(D: int, heads: int, T: int, N: int) -> None:
    fast = randomised(DecoderLayer(D, heads=heads, hidden=4 * D, dropout=0.5), seed=18)
    x, memory = random(2, 3, T, D, seed=18), random(2, N, D, seed=19)
    w = weights_of(fast)
    out = fast(x, memory)
    for b in range(2):
        agree(
            out[b],
            [
                slow_decoder.decoder_layer(
                    w, arrays(x[b, k]), arrays(memory[b]), heads=heads
                )
                for k in range(3)
            ],
        )


@pytest.mark.parametrize(
    ("layers", "heads", "T", "N"), [(1, 8, 6, 4), (2, 2, 9, 6), (3, 1, 1, 1)]
)
def test_decoder_logits(layers: int, heads: int, T: int, N: int) -> None:
    B, K, D, V = 2, 3, 16, 11
    fast = randomised(
        TransformerDecoder(D, vocabulary_size=V, layers=layers, heads=heads),
        seed=layers,
    )
    tokens = torch.randint(V, (B, K, T), generator=torch.Generator().manual_seed(20))
    memory = random(B, N, D, seed=21)
    logits = fast(Memory(memory, (1, N)), tokens)
    w = weights_of(fast)
    for b in range(B):
        expected = [
            slow_decoder.decoder_logits(
                w, tokens[b, k].tolist(), arrays(memory[b]), layers=layers, heads=heads
            )
            for k in range(K)
        ]
        agree(logits[b], expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_ignores_padding(smoothing: float) -> None:
    from sencap.training.losses import caption_loss

    pad, V = 0, 7
    tokens = torch.tensor(
        [
            [[2, 4, 5, 3, 0, 0], [2, 6, 3, 0, 0, 0]],
            [[2, 4, 4, 4, 4, 3], [2, 3, 0, 0, 0, 0]],
        ]
    )
    logits = 3 * random(2, 2, 5, V, seed=22)
    expected = slow_decoder.cross_entropy(
        arrays(logits).reshape(-1, V),
        tokens[..., 1:].flatten().tolist(),
        pad=pad,
        smoothing=smoothing,
    )
    assert caption_loss(
        logits, tokens, pad=pad, label_smoothing=smoothing
    ).item() == pytest.approx(expected, abs=1e-5)
    changed = logits.clone()
    changed[tokens[..., 1:] == pad] = 100 * random(V, seed=23)
    assert caption_loss(
        changed, tokens, pad=pad, label_smoothing=smoothing
    ).item() == pytest.approx(expected, abs=1e-5)


def small(**extractor: object) -> Captioner:
    """A whole SEN, every equation in it, at D = 16 and stride 4."""
    settings = ModelSettings(
        dimension=16,
        extractor=ExtractorSettings(backbone="resnet18", stage=1, **extractor),  # type: ignore[arg-type]
        difference=DifferenceSettings(layers=2, heads=4, reduction=4),
        decoder=DecoderSettings(layers=1, heads=4),
    )
    torch.manual_seed(0)
    captioner = build(settings, 9)
    randomised(captioner.difference, seed=24)
    randomised(captioner.decoder, seed=25)
    return captioner.eval()


def test_before_is_in_channels_0_to_2_and_p_projects() -> None:
    """Eq. (2) and (3): the extractor equals its backbone on the twin's concatenation,
    then the twin's P."""
    extractor = small().extractor
    assert isinstance(extractor, FeatureExtractor)
    randomised(extractor.P, seed=26)
    images = random(2, 2, 3, 8, 12, seed=26)
    stacked = np.stack(
        [
            slow_extractor.concatenated(arrays(pair[0]), arrays(pair[1]))
            for pair in images
        ]
    )
    with torch.inference_mode():
        maps = extractor.backbone(torch.from_numpy(stacked).float())[-1]
        features = extractor(images)
    assert features.shape == (2, 1, 16, 2, 3)
    agree(
        features[:, 0],
        [
            slow_extractor.projection(weights_of(extractor.P), arrays(one))
            for one in maps
        ],
    )


def test_the_whole_model_from_pixels_to_logits() -> None:
    """Normalisation, Eq. (2)–(17) in one: uint8 pixels in, logits out, only the trunk
    taken as it is."""
    captioner = small()
    assert isinstance(captioner.extractor, FeatureExtractor)
    pixels = torch.randint(
        256,
        (2, 2, 3, 8, 8),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(27),
    )
    tokens = torch.tensor([[[2, 4, 5, 6]], [[2, 8, 8, 3]]])
    with torch.inference_mode():
        logits = captioner(pixels, tokens)
    for b in range(2):
        normalised = np.empty((2, 3, 8, 8))
        for date in range(2):
            for c, (mean, std) in enumerate(
                [(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]
            ):
                normalised[date, c] = (pixels[b, date, c].numpy() / 255.0 - mean) / std
        stacked = slow_extractor.concatenated(normalised[0], normalised[1])
        with torch.inference_mode():
            trunk = captioner.extractor.backbone(
                torch.from_numpy(stacked[None]).float()
            )[-1]
        F = slow_extractor.projection(
            weights_of(captioner.extractor.P), arrays(trunk[0])
        )
        memory = slow_difference.sen_difference(
            weights_of(captioner.difference),
            F[None],
            normalised,
            stride=4,
            layers=2,
            heads=4,
        )["tokens"]
        expected = slow_decoder.decoder_logits(
            weights_of(captioner.decoder),
            tokens[b, 0].tolist(),
            memory,
            layers=1,
            heads=4,
        )
        agree(logits[b], [expected])


def test_captions_of_a_pair_do_not_see_each_other_nor_other_pairs() -> None:
    captioner = small()
    pixels = torch.randint(
        256,
        (3, 2, 3, 8, 8),
        dtype=torch.uint8,
        generator=torch.Generator().manual_seed(28),
    )
    tokens = torch.randint(9, (3, 4, 5), generator=torch.Generator().manual_seed(29))
    with torch.inference_mode():
        together = captioner(pixels, tokens)
        for b in range(3):
            for k in range(4):
                alone = captioner(pixels[b : b + 1], tokens[b : b + 1, k : k + 1])
                torch.testing.assert_close(
                    together[b, k], alone[0, 0], rtol=0, atol=1e-5
                )
