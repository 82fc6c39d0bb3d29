"""Search against exhaustive enumeration and against the slow way without a cache: toys
and the real one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reference import search as slow
from reference.on_arrays import beam_of_one, search
from reference.search import ToyDecoder
from reference.weights import randomised
from sencap.errors import SettingsError
from sencap.models.decoders import Decoder, TransformerDecoder
from sencap.structures import Hypothesis, Memory

PAD, START, END = 0, 2, 3
MARKERS: dict[str, Any] = {"start": START, "end": END}
FORBIDDEN = (PAD, START)


def same(
    found: Sequence[Hypothesis], expected: Sequence[Hypothesis], tolerance: float = 1e-5
) -> None:
    assert [(h.ids, h.finished) for h in found] == [
        (h.ids, h.finished) for h in expected
    ]
    for a, b in zip(found, expected, strict=True):
        assert a.log_prob == pytest.approx(b.log_prob, abs=tolerance)


def toy_next(
    toy: ToyDecoder, memory: Memory, pair: int, forbidden: Sequence[int] = FORBIDDEN
) -> slow.NextWord:
    return slow.uncached(toy, memory, pair, forbidden)


def real_decoder(
    seed: int, *, V: int, layers: int = 1, D: int = 16, end_bias: float = 0.0
) -> TransformerDecoder:
    """A small decoder with lively weights, so that captions differ and end here and
    there."""
    decoder = TransformerDecoder(D, vocabulary_size=V, layers=layers, heads=4)
    randomised(decoder, seed, spread=0.4)
    decoder.output.bias.data[END] += end_bias
    return decoder


def random_memory(B: int, N: int = 4, D: int = 16, seed: int = 0) -> Memory:
    return Memory(
        2 * torch.randn(B, N, D, generator=torch.Generator().manual_seed(seed)), (1, N)
    )


# ---------------------------------------------------------------- exhaustive


@pytest.mark.parametrize("max_words", [1, 2, 3])
@pytest.mark.parametrize("V", [4, 5, 6])
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_is_exhaustive_on_toys(V: int, max_words: int, seed: int) -> None:
    toy = ToyDecoder(V, seed)
    memory = toy.memory([1, 7])
    beam = V**max_words
    found = search(
        toy, memory, **MARKERS, forbidden=FORBIDDEN, beam=beam, max_words=max_words
    )
    for pair in range(2):
        every = slow.exhaustive(
            toy_next(toy, memory, pair), **MARKERS, max_words=max_words
        )
        words = V - 3  # that are neither forbidden nor <end>
        assert len(every) == sum(words**length for length in range(max_words + 1))
        same(found[pair], every[:beam])


@pytest.mark.parametrize("n_best", [1, 2, 5, 40])
@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_is_exhaustive_on_the_real_decoder(seed: int, n_best: int) -> None:
    decoder, memory, V, max_words = (
        real_decoder(seed, V=6),
        random_memory(3, seed=seed),
        6,
        3,
    )
    found = search(
        decoder,
        memory,
        **MARKERS,
        forbidden=FORBIDDEN,
        beam=40,
        n_best=n_best,
        max_words=max_words,
    )
    for pair in range(3):
        next_word = slow.uncached(decoder, memory, pair, FORBIDDEN)
        every = slow.exhaustive(next_word, **MARKERS, max_words=max_words)
        assert (
            len(every)
            == sum((V - 3) ** length for length in range(max_words + 1))
            == 40
        )
        same(found[pair], every[:n_best])


def test_probabilities_of_all_captions_that_end_and_all_prefixes_that_do_not_sum_to_one() -> (
    None
):
    """A closed form: with nothing forbidden, ended captions plus open prefixes share
    out all probability."""
    # So that nothing ends at the limit.
    toy = ToyDecoder(5, seed=3, offsets={END: -20.0})
    found = search(toy, toy.memory([1]), **MARKERS, beam=4**4 * 5, max_words=4)[0]
    assert sum(
        torch.tensor([h.log_prob for h in found]).exp().tolist()
    ) == pytest.approx(1.0, abs=1e-4)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    V=st.integers(4, 6),
    max_words=st.integers(1, 3),
    n_best=st.integers(1, 12),
)
def test_a_wide_beam_is_exhaustive_on_any_toy(
    seed: int, V: int, max_words: int, n_best: int
) -> None:
    toy = ToyDecoder(V, seed)
    memory = toy.memory([seed % 11])
    found = search(
        toy,
        memory,
        **MARKERS,
        forbidden=FORBIDDEN,
        beam=V**max_words + 12,
        n_best=n_best,
        max_words=max_words,
    )
    every = slow.exhaustive(toy_next(toy, memory, 0), **MARKERS, max_words=max_words)
    same(found[0], every[:n_best])


# ---------------------------------------------------------------- length normalisation


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_ranks_every_caption_by_its_normalised_score(
    seed: int, alpha: float
) -> None:
    toy = ToyDecoder(6, seed)
    memory = toy.memory([1, 7])
    found = search(
        toy,
        memory,
        **MARKERS,
        forbidden=FORBIDDEN,
        beam=6**3,
        max_words=3,
        length_normalisation=alpha,
    )
    for pair in range(2):
        next_word = toy_next(toy, memory, pair)
        every = slow.exhaustive(
            next_word, **MARKERS, max_words=3, length_normalisation=alpha
        )
        assert len(every) == len(found[pair]) == 1 + 3 + 9 + 27
        same(found[pair], every)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    V=st.integers(5, 9),
    beam=st.integers(2, 5),
    max_words=st.integers(1, 7),
    end_bias=st.floats(-3, 4),
    alpha=st.floats(0.1, 2),
)
def test_normalised_beam_search_on_any_toy(
    seed: int, V: int, beam: int, max_words: int, end_bias: float, alpha: float
) -> None:
    toy = ToyDecoder(V, seed, {END: end_bias})
    memory = toy.memory([3, 1, 4])
    found = search(
        toy,
        memory,
        **MARKERS,
        forbidden=FORBIDDEN,
        beam=beam,
        max_words=max_words,
        length_normalisation=alpha,
    )
    for pair, hypotheses in enumerate(found):
        expected = slow.beam_search(
            toy_next(toy, memory, pair),
            **MARKERS,
            beam=beam,
            max_words=max_words,
            length_normalisation=alpha,
        )
        same(hypotheses, expected[:beam])


def test_length_normalisation_finds_longer_captions_and_tells_true_probabilities() -> (
    None
):
    decoder, memory = real_decoder(3, V=30, end_bias=2.0), random_memory(12, seed=3)
    best = {}
    for alpha in (0.0, 1.0):
        found = search(
            decoder,
            memory,
            **MARKERS,
            forbidden=FORBIDDEN,
            beam=5,
            max_words=12,
            length_normalisation=alpha,
        )
        best[alpha] = [hypotheses[0] for hypotheses in found]
    words = {alpha: sum(len(h.ids) for h in best[alpha]) for alpha in best}
    assert words[1.0] > words[0.0]
    for pair in range(12):
        plain, normalised = best[0.0][pair], best[1.0][pair]
        # What is told of a caption is its probability, whatever it was ranked by.
        next_word = slow.uncached(decoder, memory, pair, FORBIDDEN)
        told = slow.log_probability(next_word, normalised, **MARKERS)
        assert normalised.log_prob == pytest.approx(told, abs=1e-3)
        assert normalised.log_prob <= plain.log_prob + 1e-4


# ---------------------------------------------------------------- cached = uncached


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_cached_greedy_is_uncached_greedy_word_for_word(seed: int, layers: int) -> None:
    decoder, memory = (
        real_decoder(seed, V=30, layers=layers, end_bias=2.5),
        random_memory(6, seed=seed),
    )
    found = search(decoder, memory, **MARKERS, forbidden=FORBIDDEN, max_words=12)
    expected = [
        slow.greedy(
            slow.uncached(decoder, memory, pair, FORBIDDEN), **MARKERS, max_words=12
        )
        for pair in range(6)
    ]
    assert len({h.ids for h in expected}) > 1, (
        "a search that ignores the memory would pass"
    )
    for pair in range(6):
        same(found[pair], [expected[pair]], 1e-4)


@pytest.mark.parametrize("beam", [2, 3, 5])
@pytest.mark.parametrize("layers", [1, 2])
def test_cached_beam_is_naive_beam_word_for_word(layers: int, beam: int) -> None:
    decoder, memory = (
        real_decoder(beam, V=25, layers=layers, end_bias=2.5),
        random_memory(4, seed=beam),
    )
    found = search(
        decoder, memory, **MARKERS, forbidden=FORBIDDEN, beam=beam, max_words=8
    )
    for pair in range(4):
        next_word = slow.uncached(decoder, memory, pair, FORBIDDEN)
        same(
            found[pair],
            slow.beam_search(next_word, **MARKERS, beam=beam, max_words=8)[:beam],
            1e-4,
        )


def test_the_captions_compared_above_are_of_many_kinds() -> None:
    """The cases hold captions that end early, late and never: otherwise the comparisons
    prove little."""
    found = [
        search(
            real_decoder(seed, V=30, layers=layers, end_bias=2.5),
            random_memory(6, seed=seed),
            **MARKERS,
            forbidden=FORBIDDEN,
            max_words=12,
        )
        for seed in range(3)
        for layers in (1, 2)
    ]
    captions = [best[0] for of_seed in found for best in of_seed]
    assert len({len(h.ids) for h in captions}) >= 4
    assert {h.finished for h in captions} == {True, False}


def test_steps_give_the_logits_of_the_forward_pass_also_after_select_and_keep() -> None:
    decoder, memory = real_decoder(5, V=20, layers=2), random_memory(3, seed=5)
    random = torch.Generator().manual_seed(6)
    tokens = torch.full((3, 1, 1), START)
    pairs = torch.arange(3)
    with torch.inference_mode():
        state = decoder.start(memory)
        for length in range(1, 70):  # beyond the 64 positions that are tabled at birth
            logits, state = decoder.step(state, tokens[..., -1])
            rest = Memory(memory.tokens[pairs], memory.grid)
            torch.testing.assert_close(
                logits, decoder(rest, tokens)[:, :, -1], rtol=0, atol=1e-4
            )
            if length % 3 == 0:
                parents = torch.randint(
                    tokens.shape[1], (len(pairs), 4), generator=random
                )
                state = state.select(parents)
                tokens = tokens.gather(1, parents[..., None].expand(-1, -1, length))
            if length == 10:
                kept = torch.tensor([2, 0])
                pairs, tokens, state = pairs[kept], tokens[kept], state.keep(kept)
            tokens = torch.cat(
                (tokens, torch.randint(20, (*tokens.shape[:2], 1), generator=random)), 2
            )


def test_search_feeds_one_word_per_step_and_leaves_finished_pairs_behind() -> None:
    toy = ToyDecoder(8, seed=1, offsets={END: 1.5})
    found = search(toy, toy.memory(range(12)), **MARKERS, max_words=30)
    # Steps that each pair needs, <end> included.
    lengths = sorted(len(best[0].ids) + 1 for best in found)
    assert toy.steps == [
        (sum(n > step for n in lengths), 1) for step in range(lengths[-1])
    ]
    assert len(set(lengths)) > 2


# ---------------------------------------------------------------- the beam's own laws


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    V=st.integers(5, 9),
    beam=st.integers(2, 5),
    max_words=st.integers(1, 6),
    end_bias=st.floats(-3, 4),
    forbidden=st.sampled_from([(), (PAD,), (PAD, START), (PAD, START, 4)]),
)
def test_beam_search_on_any_toy(  # one search, looked at from all sides
    seed: int,
    V: int,
    beam: int,
    max_words: int,
    end_bias: float,
    forbidden: tuple[int, ...],
) -> None:
    toy = ToyDecoder(V, seed, {END: end_bias})
    memory = toy.memory([3, 1, 4])
    arguments: dict[str, Any] = {
        **MARKERS,
        "forbidden": forbidden,
        "beam": beam,
        "max_words": max_words,
    }
    found = search(toy, memory, **arguments)
    first = search(toy, memory, **arguments, n_best=1)
    for pair, hypotheses in enumerate(found):
        next_word = toy_next(toy, memory, pair, forbidden)
        same(
            hypotheses,
            slow.beam_search(next_word, **MARKERS, beam=beam, max_words=max_words)[
                :beam
            ],
        )
        same(first[pair], hypotheses[:1])
        assert 1 <= len(hypotheses) <= beam
        assert len({h.ids for h in hypotheses}) == len(hypotheses)
        assert [h.log_prob for h in hypotheses] == sorted(
            (h.log_prob for h in hypotheses), reverse=True
        )
        for h in hypotheses:
            assert not {END, *forbidden} & set(h.ids)
            assert (
                len(h.ids) == max_words if not h.finished else len(h.ids) <= max_words
            )
            assert h.log_prob == pytest.approx(
                slow.log_probability(next_word, h, **MARKERS), abs=1e-4
            )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    V=st.integers(5, 12),
    max_words=st.integers(1, 8),
    end_bias=st.floats(-2, 3),
)
def test_beam_1_is_greedy(seed: int, V: int, max_words: int, end_bias: float) -> None:
    toy = ToyDecoder(V, seed, {END: end_bias})
    memory = toy.memory([0, 1, 2])
    greedy = search(toy, memory, **MARKERS, forbidden=FORBIDDEN, max_words=max_words)
    of_one = beam_of_one(
        toy, memory, **MARKERS, forbidden=FORBIDDEN, max_words=max_words
    )
    for pair, (a, b) in enumerate(zip(greedy, of_one, strict=True)):
        same(a, b)
        same(
            a,
            [slow.greedy(toy_next(toy, memory, pair), **MARKERS, max_words=max_words)],
        )


def test_beam_1_is_greedy_on_the_real_decoder() -> None:
    decoder, memory = real_decoder(2, V=30, end_bias=2.5), random_memory(8, seed=2)
    greedy = search(decoder, memory, **MARKERS, forbidden=FORBIDDEN, max_words=10)
    of_one = beam_of_one(decoder, memory, **MARKERS, forbidden=FORBIDDEN, max_words=10)
    for a, b in zip(greedy, of_one, strict=True):
        same(a, b)


def test_a_wide_beam_finds_what_greedy_misses() -> None:
    """The textbook trap: the best first word leads nowhere."""

    class Trap(ToyDecoder):
        def logits(self, key: int, prefix: Sequence[int]) -> torch.Tensor:
            table = {
                (2,): [0.0, 0.55, 0.45, 0.0],
                (2, 4): [0.3, 0.35, 0.35, 0.0],
                (2, 5): [0.99, 0.005, 0.005, 0.0],
            }
            share = table.get(tuple(prefix), [1.0, 0.0, 0.0, 0.0])  # <end>, 4, 5, 6
            return torch.tensor([0.0, 0.0, 0.0, *share]).log()

    trap = Trap(7, 0)
    greedy = search(trap, trap.memory([0]), **MARKERS, max_words=5)[0][0]
    wide = search(trap, trap.memory([0]), **MARKERS, beam=2, max_words=5)[0]
    same([greedy], [Hypothesis((4, 4), math.log(0.55 * 0.35), finished=True)])
    same(wide[:1], [Hypothesis((5,), math.log(0.45 * 0.99), finished=True)])


@pytest.mark.parametrize("beam", [1, 3])
def test_batch_order_and_company_do_not_matter(beam: int) -> None:
    decoder, memory = real_decoder(1, V=30, end_bias=2.5), random_memory(8, seed=1)
    arguments: dict[str, Any] = {
        **MARKERS,
        "forbidden": FORBIDDEN,
        "beam": beam,
        "max_words": 10,
    }
    found = search(decoder, memory, **arguments)
    assert len({best[0].ids for best in found}) > 3
    for order in ([7, 6, 5, 4, 3, 2, 1, 0], [3, 0, 7, 1, 6, 2, 5, 4], [4], [2, 2, 5]):
        again = search(decoder, Memory(memory.tokens[order], memory.grid), **arguments)
        for position, pair in enumerate(order):
            same(again[position], found[pair], 1e-4)


@pytest.mark.parametrize("beam", [1, 2, 4])
def test_every_pair_yields_a_caption_even_if_it_never_ends(beam: int) -> None:
    toy = ToyDecoder(9, seed=2, offsets={END: -1e9})
    found = search(
        toy,
        toy.memory(range(5)),
        **MARKERS,
        forbidden=FORBIDDEN,
        beam=beam,
        max_words=6,
    )
    assert len(found) == 5
    for hypotheses in found:
        assert len(hypotheses) == beam
        assert all(
            len(h.ids) == 6 and not h.finished and h.log_prob > -1e6 for h in hypotheses
        )


@pytest.mark.parametrize("beam", [1, 2, 4])
def test_end_itself_may_be_forbidden(beam: int) -> None:
    toy = ToyDecoder(9, seed=2)
    found = search(
        toy,
        toy.memory([0, 1]),
        **MARKERS,
        forbidden=(*FORBIDDEN, END),
        beam=beam,
        max_words=3,
    )
    assert all(
        len(h.ids) == 3 and not h.finished for hypotheses in found for h in hypotheses
    )


@pytest.mark.parametrize("beam", [1, 3])
def test_a_caption_may_end_at_once(beam: int) -> None:
    toy = ToyDecoder(9, seed=2, offsets={END: 50.0})
    for hypotheses in search(
        toy, toy.memory([0, 1]), **MARKERS, forbidden=FORBIDDEN, beam=beam, n_best=1
    ):
        same(hypotheses, [Hypothesis((), 0.0, finished=True)])


@pytest.mark.parametrize("beam", [1, 3])
def test_at_the_limit_a_caption_ends_if_end_is_its_best_next_word(beam: int) -> None:
    class AfterTwo(ToyDecoder):
        def logits(self, key: int, prefix: Sequence[int]) -> torch.Tensor:
            out = super().logits(key, prefix)
            out[END] = 50.0 if len(prefix) == 3 else -50.0
            return out

    toy = AfterTwo(9, seed=4)
    for max_words, finished in ((2, True), (1, False)):
        for hypotheses in search(
            toy, toy.memory([0, 1]), **MARKERS, beam=beam, max_words=max_words
        ):
            assert len(hypotheses) == beam
            assert all(
                len(h.ids) == max_words and h.finished is finished for h in hypotheses
            )


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("forbidden", [(PAD,), (PAD, START, 1), (0, 1, 2, 4, 5, 6)])
def test_forbidden_words_are_never_chosen_however_likely(
    forbidden: tuple[int, ...], beam: int
) -> None:
    toy = ToyDecoder(8, seed=5, offsets=dict.fromkeys(forbidden, 30.0))
    memory = toy.memory([0, 1])
    for pair, hypotheses in enumerate(
        search(toy, memory, **MARKERS, forbidden=forbidden, beam=beam, max_words=4)
    ):
        for h in hypotheses:
            assert not set(forbidden) & set(h.ids)
            # they stay in the distribution: what is left is as unlikely as the model
            # holds it to be
            assert h.log_prob < -10
            expected = slow.log_probability(
                toy_next(toy, memory, pair, ()), h, **MARKERS
            )
            assert h.log_prob == pytest.approx(expected, rel=1e-5)


def test_a_tiny_vocabulary_may_have_fewer_captions_than_the_beam_is_wide() -> None:
    toy = ToyDecoder(5, seed=6)
    found = search(
        toy, toy.memory([0]), **MARKERS, forbidden=(0, 1, 2), beam=10, max_words=2
    )[0]
    assert sorted(h.ids for h in found) == [(), (4,), (4, 4)]
    only_end = search(
        toy, toy.memory([0]), **MARKERS, forbidden=(0, 1, 2, 4), beam=3, max_words=2
    )[0]
    assert [h.ids for h in only_end] == [()]


def test_search_leaves_no_trace_on_gradients_or_mode() -> None:
    decoder = real_decoder(0, V=12)
    search(decoder, random_memory(2), **MARKERS, max_words=3)
    assert all(p.grad is None and p.requires_grad for p in decoder.parameters())
    memory = random_memory(2)
    decoder(
        memory, torch.tensor([[[2, 4]], [[2, 5]]])
    ).sum().backward()  # still trainable


def search_with(decoder: Decoder, memory: Memory, **arguments: int) -> None:
    search(decoder, memory, **MARKERS, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"beam": 0}, "beam=0 and max_words=50 must both be at least 1"),
        ({"beam": -2}, "beam=-2"),
        ({"max_words": 0}, "beam=1 and max_words=0 must both be at least 1"),
        (
            {"beam": 2, "n_best": 3},
            "n_best=3 captions cannot come out of beam=2; raise beam",
        ),
        ({"n_best": 2}, "n_best=2 captions cannot come out of beam=1"),
        ({"beam": 2, "n_best": 0}, "n_best=0"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, int], said: str) -> None:
    toy = ToyDecoder(6, seed=0)
    with pytest.raises(SettingsError, match=said):
        search_with(toy, toy.memory([0]), **arguments)
    assert toy.steps == []
