"""Greedy and beam search over any decoder, in batches, through its ``start``/``step`` contract.

Both sum log-probabilities without length normalisation. A caption that never ends is cut at ``max_words`` words
and kept, ``finished=False``; every pair yields a caption.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sencap.errors import SettingsError
from sencap.models.decoders import Decoder
from sencap.structures import Hypothesis, Memory


@torch.inference_mode()
def search(
    decoder: Decoder,
    memory: Memory,
    *,
    start: int,
    end: int,
    forbidden: Sequence[int] = (),
    beam: int = 1,
    max_words: int = 50,
    n_best: int | None = None,
) -> list[list[Hypothesis]]:
    """The best captions of each pair, best first.

    ``start`` and ``end`` are the markers' ids, ``forbidden`` ids are never chosen (padding, say). ``beam`` 1 is
    greedy search. ``n_best`` captions per pair are returned (all of the beam if not given); a tiny vocabulary
    may have fewer.

    Raises:
        SettingsError: a beam below 1, or more captions asked for than it is wide.
    """
    n_best = beam if n_best is None else n_best
    if beam < 1 or max_words < 1:
        raise SettingsError(f"beam={beam} and max_words={max_words} must both be at least 1")
    if not 1 <= n_best <= beam:
        raise SettingsError(f"n_best={n_best} captions cannot come out of beam={beam}; raise beam")
    if beam == 1:
        best = _greedy(decoder, memory, start=start, end=end, forbidden=forbidden, max_words=max_words)
        return [[hypothesis] for hypothesis in best]
    return _Beam(decoder, end=end, forbidden=forbidden, beam=beam, n_best=n_best, max_words=max_words).run(
        memory, start
    )


def _log_probabilities(logits: Tensor, forbidden: Sequence[int]) -> Tensor:
    """Of the model itself: forbidden words are left out of the choice, not out of the distribution."""
    log_p = logits.float().log_softmax(-1)
    if forbidden:
        log_p[..., list(forbidden)] = -torch.inf
    return log_p


def _greedy(
    decoder: Decoder, memory: Memory, *, start: int, end: int, forbidden: Sequence[int], max_words: int
) -> list[Hypothesis]:
    B, device = len(memory.tokens), memory.tokens.device
    state = decoder.start(memory)
    tokens = torch.full((B, 1), start, device=device)
    pair = torch.arange(B, device=device)  # which pair each row of the shrinking batch is
    words: list[list[int]] = [[] for _ in range(B)]
    log_prob = [0.0] * B
    finished = [False] * B
    for length in range(max_words + 1):
        logits, state = decoder.step(state, tokens)
        best, tokens = _log_probabilities(logits, forbidden).max(-1)  # (B', 1)
        go_on = []
        for row, (b, word, value) in enumerate(
            zip(pair.tolist(), tokens[:, 0].tolist(), best[:, 0].tolist(), strict=True)
        ):
            if word == end:
                log_prob[b] += value
                finished[b] = True
            elif length < max_words:
                log_prob[b] += value
                words[b].append(word)
                go_on.append(row)
        if not go_on:
            break
        if len(go_on) < len(pair):
            rows = torch.tensor(go_on, device=device)
            pair, tokens, state = pair[rows], tokens[rows], state.keep(rows)
    return [Hypothesis(tuple(w), p, f) for w, p, f in zip(words, log_prob, finished, strict=True)]


class _Beam:
    """Beam search. A hypothesis ends when <end> is among the ``beam`` best continuations of its pair.

    A pair is done when its ``n_best``-th ended caption is at least as probable as its best open one: log-
    probabilities only fall, so nothing open can overtake it.
    """

    def __init__(
        self,
        decoder: Decoder,
        *,
        end: int,
        forbidden: Sequence[int],
        beam: int,
        n_best: int,
        max_words: int,
    ) -> None:
        self.decoder, self.end, self.forbidden = decoder, end, forbidden
        self.beam, self.n_best, self.max_words = beam, n_best, max_words

    def run(self, memory: Memory, start: int) -> list[list[Hypothesis]]:
        B, device = len(memory.tokens), memory.tokens.device
        self.ended: list[list[Hypothesis]] = [[] for _ in range(B)]
        state = self.decoder.start(memory)
        tokens = torch.full((B, 1), start, device=device)
        words = torch.empty(B, 1, 0, dtype=torch.long, device=device)  # (B', K, length)
        scores = torch.zeros(B, 1, device=device)
        pair = torch.arange(B, device=device)
        for _ in range(self.max_words):
            logits, state = self.decoder.step(state, tokens)
            total = scores[..., None] + _log_probabilities(logits, self.forbidden)  # (B', K, V)
            parents, tokens, scores = self._continue(total, words, pair.tolist())
            state = state.select(parents)
            words = torch.cat(
                (words.gather(1, parents[..., None].expand(-1, -1, words.shape[2])), tokens[..., None]), 2
            )
            rows = self._open_rows(scores, pair.tolist())
            if not rows:
                break
            if len(rows) < len(pair):
                keep = torch.tensor(rows, device=device)
                pair, tokens, scores, words, state = (
                    pair[keep], tokens[keep], scores[keep], words[keep], state.keep(keep),
                )  # fmt: skip
        else:
            logits, _ = self.decoder.step(state, tokens)
            self._cut(_log_probabilities(logits, self.forbidden), scores, words, pair.tolist())
        return [sorted(ended, key=lambda h: -h.log_prob)[: self.n_best] for ended in self.ended]

    def _continue(self, total: Tensor, words: Tensor, pair: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Ends what ends among the best ``beam``; returns parents, words and scores of the best open ones."""
        V = total.shape[2]
        flat = total.flatten(1)
        values, indices = flat.topk(min(2 * self.beam, flat.shape[1]))
        parents, chosen = indices // V, indices % V
        ends = chosen == self.end
        for row, rank in (ends[:, : self.beam] & values[:, : self.beam].isfinite()).nonzero().tolist():
            ids = tuple(words[row, parents[row, rank]].tolist())
            self.ended[pair[row]].append(Hypothesis(ids, values[row, rank].item(), finished=True))
        width = min(self.beam, flat.shape[1] - total.shape[1])  # each hypothesis can end in one way only
        open_first = torch.argsort(ends.to(torch.uint8), dim=1, stable=True)[:, :width]
        values = values.masked_fill(ends, -torch.inf)
        return parents.gather(1, open_first), chosen.gather(1, open_first), values.gather(1, open_first)

    def _open_rows(self, scores: Tensor, pair: list[int]) -> list[int]:
        rows = []
        for row, best_open in enumerate(scores.amax(1).tolist()):
            ended = sorted((h.log_prob for h in self.ended[pair[row]]), reverse=True)
            done = len(ended) >= self.n_best and ended[self.n_best - 1] >= best_open
            if not done and best_open > -torch.inf:
                rows.append(row)
        return rows

    def _cut(self, log_p: Tensor, scores: Tensor, words: Tensor, pair: list[int]) -> None:
        """At the length limit a hypothesis ends if <end> is its best next word, and is cut otherwise."""
        best, choice = log_p.max(-1)
        for row, b in enumerate(pair):
            for k, score in enumerate(scores[row].tolist()):
                if score > -torch.inf:
                    finished = choice[row, k].item() == self.end
                    log_prob = score + (best[row, k].item() if finished else 0.0)
                    self.ended[b].append(Hypothesis(tuple(words[row, k].tolist()), log_prob, finished))
