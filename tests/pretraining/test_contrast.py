"""Queue, InfoNCE and momentum contrast against loops; gradients; several processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, nn
from torch.multiprocessing.spawn import start_processes

from reference.contrast import Array, SlowQueue, slow_info_nce, slow_step, slow_unit
from sencap.errors import ShapeError
from sencap.pretraining.contrast import Encoder, MomentumContrast, Queue, info_nce
from sencap.pretraining.settings import ContrastSettings


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbers(t: Tensor) -> Array:
    return t.detach().double().numpy()


class Plain(nn.Module):
    """A backbone without BatchNorm, so that batches can be split and compared."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 6, 3, stride=2)

    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.convolution(x).tanh()]


class Normed(Plain):
    """One with BatchNorm, that remembers the batches it saw."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.norm = nn.BatchNorm2d(6)
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> list[Tensor]:
        self.seen.append(x.detach().clone())
        return [self.norm(self.convolution(x)).relu()]


def contrast(
    *,
    spaces: int = 1,
    queue: int = 7,
    n: int = 2,
    normed: bool = False,
    **settings: object,
) -> MomentumContrast:
    torch.manual_seed(0)
    backbone = (Normed if normed else Plain)(3 * n)
    encoder = Encoder(
        backbone,
        6,
        dimension=4,
        spaces=spaces,
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.3, 0.2),
    )
    values = {"queue": queue, "dimension": 4, "momentum": 0.9, "groups": 1, **settings}
    return MomentumContrast(encoder, ContrastSettings(**values))  # type: ignore[arg-type]


def batch(
    step: int, *, B: int = 3, views: int = 2, n: int = 2
) -> tuple[list[Tensor], Tensor]:
    images = torch.rand(views, B, n, 3, 9, 9, generator=seeded(100 + step))
    return list(images), torch.arange(step * B, step * B + B) % 5


# --- the queue


@pytest.mark.parametrize(
    "batches", [[3, 3, 3, 3, 3], [7, 1, 7], [2, 5, 4, 6, 1, 7], [1] * 20]
)
def test_the_queue_keeps_every_key_once_whatever_the_batches(
    batches: list[int],
) -> None:
    queue, slow, pushed = Queue(7, 2), SlowQueue(7), 0
    for size in batches:
        keys = torch.arange(pushed, pushed + size).float()[:, None].expand(size, 2)
        places = torch.arange(pushed, pushed + size) % 4
        queue.enqueue(keys, places)
        for key, place in zip(keys.numpy(), places.tolist(), strict=True):
            slow.push(key, place)
        pushed += size
        allowed = queue.allowed(torch.zeros(1, dtype=torch.long), mask_own=False)[0]
        held = sorted(
            (float(k[0]), int(p))
            for k, p in zip(queue.keys[allowed], queue.places[allowed], strict=True)
        )
        assert held == sorted((float(k[0]), p) for k, p in slow.items)
        assert [number for number, _ in held] == list(
            range(max(0, pushed - 7), pushed)
        ), "the last seven, once each"


def test_a_batch_longer_than_the_queue_is_refused() -> None:
    with pytest.raises(ShapeError, match="8 keys do not fit into a queue of 7"):
        Queue(7, 2).enqueue(torch.zeros(8, 2), torch.arange(8))


def test_own_keys_are_masked_if_asked_for() -> None:
    queue = Queue(5, 2)
    queue.enqueue(torch.zeros(3, 2), torch.tensor([4, 9, 4]))
    places = torch.tensor([4, 9])
    assert queue.allowed(places, mask_own=False).tolist() == [
        [True, True, True, False, False]
    ]
    assert queue.allowed(places, mask_own=True).tolist() == [
        [False, True, False, False, False],
        [True, False, True, False, False],
    ]


# --- the loss


def test_info_nce_is_the_literal_sum() -> None:
    q, k = (
        nn.functional.normalize(torch.randn(5, 4, generator=seeded(i)), dim=1)
        for i in (1, 2)
    )
    negatives = nn.functional.normalize(torch.randn(9, 4, generator=seeded(3)), dim=1)
    allowed = torch.rand(5, 9, generator=seeded(4)) < 0.6
    loss, nearest = info_nce(q, k, negatives, allowed=allowed, temperature=0.2)
    slow = [
        slow_info_nce(
            numbers(q[b]),
            numbers(k[b]),
            [numbers(negatives[i]) for i in range(9) if allowed[b, i]],
            0.2,
        )
        for b in range(5)
    ]
    assert loss.item() == pytest.approx(sum(slow) / 5, rel=1e-5)
    own = (q * k).sum(1)
    best = (q @ negatives.T).masked_fill(~allowed, -9).amax(1)
    assert float(nearest) == pytest.approx(float((own > best).float().mean()))


def test_info_nce_has_the_right_gradient_and_none_for_the_keys() -> None:
    q = torch.randn(3, 4, generator=seeded(1), dtype=torch.float64, requires_grad=True)
    k = torch.randn(3, 4, generator=seeded(2), dtype=torch.float64, requires_grad=True)
    negatives = torch.randn(
        6, 4, generator=seeded(3), dtype=torch.float64, requires_grad=True
    )
    allowed = torch.ones(1, 6, dtype=torch.bool)

    def loss(q: Tensor) -> Tensor:
        return info_nce(q, k, negatives, allowed=allowed, temperature=0.2)[0]

    assert torch.autograd.gradcheck(loss, (q,))
    loss(q).backward()  # type: ignore[no-untyped-call]
    assert k.grad is None
    assert negatives.grad is None


def test_at_the_first_step_there_are_no_negatives_and_later_never_the_positive() -> (
    None
):
    moco = contrast()
    views, places = batch(0)
    step = moco(views, places, seeded())
    assert step.loss.item() == 0
    step.loss.backward()
    assert all(
        float(p.grad.abs().max()) == 0
        for p in moco.query.parameters()
        if p.grad is not None
    )
    # at the second step the same keys come again: were they enqueued before the loss, 6
    # negatives would count
    positives = moco.key(views[1])[0]
    queries = moco.query(views[0])[0]
    expected = [
        slow_info_nce(
            numbers(queries[b]),
            numbers(positives[b]),
            [numbers(z) for z in positives],
            0.2,
        )
        for b in range(3)
    ]
    assert moco(views, places, seeded()).loss.item() == pytest.approx(
        sum(expected) / 3, rel=1e-5
    )


# --- whole steps


@pytest.mark.parametrize("mask_own", [False, True])
@pytest.mark.parametrize(
    ("spaces", "n"), [(1, 2), (1, 1), (3, 1)], ids=["moco-6c", "moco-3c", "seco"]
)
def test_steps_are_those_of_the_loops(spaces: int, n: int, mask_own: bool) -> None:
    moco = contrast(spaces=spaces, n=n, mask_own=mask_own).double()
    slow_queues = [SlowQueue(7) for _ in range(spaces)]
    optimiser = torch.optim.SGD(moco.query.parameters(), lr=0.1)
    slow_key = [p.clone() for p in moco.key.parameters()]
    losses = []
    for number in range(6):
        views, places = batch(number, views=1 + spaces, n=n)
        views = [view.double() for view in views]
        z_q = [np.stack(_project(moco.query, views[0], s)) for s in range(spaces)]
        slow_key = [
            0.9 * k + 0.1 * q
            for k, q in zip(slow_key, moco.query.parameters(), strict=True)
        ]
        before = [p.detach().clone() for p in moco.query.parameters()]
        step = moco(views, places, seeded())
        for found, expected in zip(moco.key.parameters(), slow_key, strict=True):
            torch.testing.assert_close(found, expected)
        z_k = [
            [np.stack(_project(moco.key, view, s)) for s in range(spaces)]
            for view in views[1:]
        ]
        expected_loss = slow_step(
            z_q, z_k, places.tolist(), slow_queues, 0.2, mask_own=mask_own
        )
        assert step.loss.item() == pytest.approx(expected_loss, abs=1e-6)
        losses.append(expected_loss)
        optimiser.zero_grad()
        step.loss.backward()
        assert all(
            p.grad is None and not p.requires_grad for p in moco.key.parameters()
        )
        optimiser.step()
        moved = [
            not torch.equal(a, b)
            for a, b in zip(before, moco.query.parameters(), strict=True)
        ]
        # At step 0 SeCo's sub-spaces 1 and 2 have negatives.
        assert any(moved) == (number > 0 or spaces > 1)
        assert all(moved) == (number > 0)
    assert max(losses) > 0.5
    for queue, slow in zip(moco.queues, slow_queues, strict=True):
        order = (torch.arange(7) + queue.next) % 7  # type: ignore[operator]
        kept = queue.keys[order].detach().numpy()  # type: ignore[index]
        np.testing.assert_allclose(
            kept, np.stack([key for key, _ in slow.items]), atol=1e-6
        )
        assert queue.places[order].tolist() == [place for _, place in slow.items]  # type: ignore[index]


def _project(encoder: Encoder, images: Tensor, s: int) -> list[Array]:
    with torch.no_grad():
        normed = (images - encoder.mean) / encoder.std
        features = encoder.backbone(torch.cat(list(normed.unbind(1)), dim=1))[-1].mean(
            (2, 3)
        )
        return [slow_unit(numbers(row)) for row in encoder.heads[s](features)]


def test_a_wrong_number_of_views_is_refused() -> None:
    views, places = batch(0, views=3)
    with pytest.raises(ShapeError, match=r"1 sub-space\(s\) take 2 views; got 3"):
        contrast()(views, places, seeded())


def test_keys_are_normalised_in_groups_of_other_partners_and_come_back_in_order() -> (
    None
):
    moco = contrast(groups=2, normed=True, queue=8)
    views, places = batch(0, B=8)
    moco(views, places, seeded(3))
    queries, keys = moco.query.backbone.seen, moco.key.backbone.seen
    assert [len(part) for part in (*queries, *keys)] == [4, 4, 4, 4]  # type: ignore[misc]
    flat = (views[1] - moco.query.mean) / moco.query.std
    dealt = torch.cat(list(keys))  # type: ignore[arg-type]
    order = [
        int((flat.flatten(1, 2) - row).flatten(1).abs().sum(1).argmin())
        for row in dealt
    ]
    assert sorted(order) == list(range(8))
    assert order != list(range(8))
    assert {*order[:4]} not in ({0, 1, 2, 3}, {4, 5, 6, 7}), (
        "the partners are others than the queries'"
    )
    # the i-th key is still that of the i-th place: the queue holds, per place, the
    # embedding of its own image
    plain = contrast(groups=2, queue=8)
    plain(views, places, seeded(3))
    own = plain.key(views[1])[0]
    torch.testing.assert_close(plain.queues[0].keys, own.detach())


def test_several_processes_gather_keys_and_have_one_queue_and_the_gradients_of_one(
    tmp_path: Path,
) -> None:
    start_processes(_process, args=(2, str(tmp_path)), nprocs=2, start_method="spawn")  # type: ignore[no-untyped-call]
    whole = contrast()
    losses = []
    for number in range(4):
        views, places = batch(number, B=6)
        whole.zero_grad()
        step = whole(views, places, seeded())
        step.loss.backward()
        losses.append(step.loss.item())
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    for name in ("keys", "places", "next", "filled"):
        assert torch.equal(found[0][name], found[1][name]), name
        torch.testing.assert_close(found[0][name], getattr(whole.queues[0], name))
    assert losses[-1] > 0
    for number, loss in enumerate(losses):
        assert (
            found[0]["losses"][number] + found[1]["losses"][number]
        ) / 2 == pytest.approx(loss, abs=1e-6)
    for mine, ours, expected in zip(
        found[0]["gradients"],
        found[1]["gradients"],
        whole.query.parameters(),
        strict=True,
    ):
        torch.testing.assert_close(mine, ours)
        torch.testing.assert_close(mine, expected.grad, atol=1e-7, rtol=1e-4)


def _process(rank: int, size: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size
    )
    moco = contrast()
    parallel = nn.parallel.DistributedDataParallel(moco)
    losses = []
    for number in range(4):
        views, places = batch(number, B=6)
        share = slice(rank * 3, rank * 3 + 3)
        parallel.zero_grad()
        step = parallel([view[share] for view in views], places[share], seeded())
        step.loss.backward()
        losses.append(step.loss.item())
    queue = moco.queues[0]
    state = {
        name: getattr(queue, name) for name in ("keys", "places", "next", "filled")
    }
    gradients = [p.grad for p in moco.query.parameters()]
    torch.save(
        {**state, "losses": losses, "gradients": gradients}, f"{folder}/{rank}.pt"
    )
    distributed.destroy_process_group()
