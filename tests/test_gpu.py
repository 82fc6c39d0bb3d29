"""What only a GPU can show; skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sencap.config import OptimisationSettings
from sencap.data.vocabulary import Vocabulary
from sencap.engines.torch import TorchEngine
from sencap.models.attention import Attention
from sencap.models.variants import SYSTEMS, build
from sencap.training.loading import Batch
from sencap.training.task import CaptioningTask
from tiny_systems import pixels, tiny

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")

SENTENCES = ["a house appears", "many roads are built", "the scene is the same"]
WORDS = Vocabulary.build([sentence.split() for sentence in SENTENCES], minimum_count=1)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("cells", [25, 49, 64, 100, 196, 256])
@pytest.mark.parametrize(("dimension", "heads"), [(256, 8), (512, 8)])
def test_attention_learns_from_finite_gradients(
    precision: torch.dtype, cells: int, dimension: int, heads: int
) -> None:
    torch.manual_seed(0)
    attention = Attention(dimension, heads=heads, dropout=0.2).cuda()
    x = torch.randn(32, cells, dimension, device="cuda", requires_grad=True)
    with torch.autocast("cuda", precision, enabled=precision != torch.float32):
        out = attention(x, x)
    torch.autograd.backward(out.float().square().mean())
    assert out.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("system", sorted(SYSTEMS))
def test_a_gpu_remembers_what_the_cpu_does(system: str) -> None:
    torch.manual_seed(0)
    captioner = build(tiny(system), len(WORDS)).eval()
    images = np.asarray(pixels(3))
    on_cpu = TorchEngine(captioner).encode(images)
    on_gpu = TorchEngine(captioner.cuda()).encode(images)
    np.testing.assert_allclose(on_gpu.tokens, on_cpu.tokens, atol=5e-3)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("system", sorted(SYSTEMS))
def test_a_step_of_training_is_finite(system: str, precision: str) -> None:
    torch.manual_seed(0)
    captioner = build(tiny(system), len(WORDS)).cuda().train()
    task = CaptioningTask(captioner, WORDS, OptimisationSettings(), validation_pairs=[])
    ids = [WORDS.start, *WORDS.encode(SENTENCES[0].split()), WORDS.end]
    tokens = torch.tensor(ids).expand(4, 2, -1)
    images = torch.from_numpy(np.asarray(pixels(4)))
    unknown = torch.full((4,), torch.nan)
    masks = torch.zeros(4, *images.shape[-2:], dtype=torch.uint8)
    batch = Batch(
        images,
        tokens,
        torch.arange(4),
        unknown,
        masks,
        torch.zeros(4, dtype=torch.bool),
    )
    task.log = lambda *_, **__: None
    with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
        loss = task.training_step(batch.to(torch.device("cuda")), 0)
    torch.autograd.backward(loss)
    gradients = [p.grad for p in captioner.parameters() if p.grad is not None]
    assert gradients
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)
