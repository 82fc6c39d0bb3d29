"""Files or arrays in, captions out: owns the engine, resizing and batches."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from sencap.bounds import check_length_normalisation, check_numbers
from sencap.config import Decision, as_dict
from sencap.data.vocabulary import fixed_sentences, says_no_change
from sencap.engines.choice import EngineName, Model, open_checkpoint
from sencap.engines.contract import Engine, Float32s, PairMemory
from sencap.engines.precisions import Precision
from sencap.errors import SettingsError, nearest
from sencap.files import identity
from sencap.images import ImageSource, as_pair, resize
from sencap.phrases import stumbles
from sencap.removals import likelier_order, needs_reverse_order
from sencap.search import Markers, score_sentences, search
from sencap.structures import Caption, Hypothesis, ImagePair
from sencap.weights import Weights, resolve_weights

_TRAINED = 256  # pixels a side: LEVIR-CC's pairs, and those that are drawn
_EQUAL = "the two images are equal"
_MUCH_LARGER = 2  # times as many pixels a side: then detail is lost

Image = ImageSource


class Predictor:
    """Captions pairs of images with one checkpoint.

    ``predictor("before.png", "after.png").text`` is the sentence. Images are file
    paths, the bytes of files, open files, Pillow images, or arrays, tensors or nested
    lists (H, W), (H, W, 3) or (3, H, W) of uint8 or uint16, as `sencap.images` says;
    both dates of a pair have one size, and are resized to the model's.

    ``decision`` says what makes a pair changed. ``probability``: the model's
    probability of change is at least ``threshold``; the caption is then the
    search's best one that tells a change, where one that says a phrase twice comes
    last. Otherwise it is always the first of the fixed sentences. These are
    LEVIR-CC's five, or those of the data that the model learnt from, if they have
    only others. That probability is the flag head's, by its temperature, or, of a
    model without one, what is left by all fixed sentences of no change together.
    ``either-order``: the same in both orders of the two dates, of which the likelier
    one is told. What a model that learnt from construction calls built in reverse order
    has been removed, and its caption is turned (`sencap.removals`).
    ``search``: whatever the best caption of the search says, as in the literature.
    The two differ because the many ways to tell a change share its probability, so
    that a single sentence of no change can beat each. A model without flag head
    whose vocabulary lacks a word of the fixed sentences has no such probability;
    its ``decision`` is then ``search``. Not given, ``decision`` is the checkpoint's own.

    Of two images that are equal at the model's size no model is asked: the caption is
    the first of the fixed sentences, its ``change_probability`` 0, and its ``note``
    says so.

    ``change_probability=False`` leaves that probability out, and the time it takes; the
    decision is then the search's.

    ``beam``, the width of the search, and ``length_normalisation``, the power of the
    length by which it ranks captions (`sencap.search.score`), are the checkpoint's own
    if not given.

    ``weights`` says where the checkpoint came from, for reports.
    """

    def __init__(
        self,
        engine: Engine,
        checkpoint: Model,
        *,
        beam: int | None = None,
        length_normalisation: float | None = None,
        decision: Decision | None = None,
        change_probability: bool = True,
        threshold: float = 0.5,
        weights: Weights | None = None,
    ) -> None:
        check_numbers(beam=beam)
        check_length_normalisation("length_normalisation", length_normalisation)
        self.weights = weights
        if not 0 <= threshold <= 1:
            raise SettingsError(
                f"threshold={threshold} is a probability: it must be in 0 … 1"
            )
        self.threshold = threshold
        if decision is not None and decision not in get_args(Decision):
            raise SettingsError(
                f"decision={decision!r} is unknown; "
                f"{nearest(decision, get_args(Decision))}"
            )
        self.engine, self.checkpoint = engine, checkpoint
        usual = checkpoint.settings.search
        decision = usual.decision if decision is None else decision
        self.beam = usual.beam if beam is None else beam
        self.length_normalisation = (
            usual.length_normalisation
            if length_normalisation is None
            else length_normalisation
        )
        if decision != "search" and not change_probability:
            raise SettingsError(
                f"decision={decision!r} needs change_probability; decision='search' "
                "does without"
            )
        # What the data that it learnt from say of no change, if its training recorded
        # it.
        self._own = tuple(checkpoint.training.get("no_change", ()))
        self._fixed = fixed_sentences(self._own, checkpoint.vocabulary)
        # Without a flag head the probability of change is computed from the fixed
        # sentences of no change, so every word of them has to be in the vocabulary.
        spoken = all(
            word in checkpoint.vocabulary for word in " ".join(self._fixed).split()
        )
        known = spoken or checkpoint.settings.change.flag > 0
        self.change_probability = change_probability and known
        self.decision: Decision = decision if known else "search"
        # Pixels: each side of the images that the model sees.
        self.size = checkpoint.settings.size
        words = checkpoint.vocabulary
        # Padding, <start> and <unk> are never said: they mean nothing to a reader.
        self._markers = Markers(
            words.start, words.end, (words.pad, words.start, words.unk)
        )

    def __call__(
        self, before: Image, after: Image, *, beam: int | None = None
    ) -> Caption:
        """The caption of one pair; ``beam`` 1 is greedy search.

        Raises:
            ImageError: an image cannot be read or is refused, or the two sizes differ.
            ShapeError: arrays of another shape or type.
        """
        pair = as_pair(before, after, size=self.size)
        return told_if_one_file(self.caption_pairs([pair], beam=beam)[0], before, after)

    def caption_pairs(
        self, pairs: Sequence[ImagePair], *, beam: int | None = None
    ) -> list[Caption]:
        """The captions of several pairs, in one batch."""
        check_numbers(beam=beam)
        if not pairs:
            return []
        # (2, 3, H, W) of each pair → one batch (B, 2, 3, size, size).
        images = np.stack([resize(pair.images, self.size) for pair in pairs])
        memory = self.engine.encode(images)
        beam = self.beam if beam is None else beam
        captions = self._captions(memory, beam)
        if self.decision == "either-order":
            captions = self._in_either_order(captions, images, beam)
        captions = _placed(captions, memory.distance)
        # Two images equal at the model's size show no change by definition. Whatever
        # the network says of them is replaced, apart from its measure of how unusual
        # the images are.
        equal = [
            row
            for row, (before, after) in enumerate(images)
            if np.array_equal(before, after)
        ]
        if equal:
            log_probs = self._fixed_log_probs(memory.keep(equal)).tolist()
            side = f"{self.size} × {self.size}"
            note = f"{_EQUAL}, pixel by pixel, at the model's {side} pixels"
            for row, values in zip(equal, log_probs, strict=True):
                same = self._same(values, p_change=0.0)
                domain = captions[row].domain
                captions[row] = dataclasses.replace(same, note=note, domain=domain)
        return [
            self._noted(one, pair) for one, pair in zip(captions, pairs, strict=True)
        ]

    def _noted(self, caption: Caption, pair: ImagePair) -> Caption:
        """The caption, whose note also says what has to be known of how the pair was
        read."""
        notes = [caption.note, *pair.notes]
        height, width = pair.images.shape[-2:]
        # A pair that was reduced as it was read, or by `stream`, remembers its first
        # size.
        width, height = pair.details.get("pixels", (width, height))
        trained = max(_TRAINED, self.size)
        if max(width, height) > _MUCH_LARGER * trained:
            notes.append(
                f"the pair is {width}×{height} pixels, reduced to "
                f"{self.size}×{self.size}: small changes are lost, as the weights "
                f"were trained on pairs of {trained}×{trained}; sencap scan BEFORE "
                "AFTER -o changes.gpkg captions it window by window"
            )
        return dataclasses.replace(caption, note="; ".join(filter(None, notes)))

    def stream(
        self,
        pairs: Iterable[ImagePair],
        *,
        batch_size: int = 16,
        beam: int | None = None,
    ) -> Iterator[Caption]:
        """The captions of many pairs, batch by batch, in order.

        Pairs are taken one by one, and kept at the model's size only, so that large
        images need little memory.
        """
        check_numbers(batch_size=batch_size, beam=beam)
        return self._stream(pairs, batch_size, beam)

    def _stream(
        self, pairs: Iterable[ImagePair], batch_size: int, beam: int | None
    ) -> Iterator[Caption]:
        # Unlike a loop, map keeps no large pair while the next is read.
        sized = map(self._sized, pairs)
        while batch := list(islice(sized, batch_size)):
            yield from self.caption_pairs(batch, beam=beam)

    def _sized(self, pair: ImagePair) -> ImagePair:
        height, width = pair.images.shape[-2:]
        details = {"pixels": [width, height], **pair.details}
        return dataclasses.replace(resize(pair, self.size), details=details)

    def _captions(self, memory: PairMemory, beam: int) -> list[Caption]:
        """What the model says, whether or not the two dates differ."""
        if not self.change_probability:
            return [
                _ranked(self._sentences(best)) for best in self._search(memory, beam)
            ]
        p_change, fixed = self._change(memory)
        if self.decision == "search":
            # In the literature's way the pair counts as changed if the best caption
            # says so. The probability is told, and decides nothing.
            found = self._search(memory, beam)
            pairs = zip(found, p_change, strict=True)
            return [_ranked(self._sentences(best), p) for best, p in pairs]
        captions: dict[int, Caption] = {}
        # Only the pairs above the threshold are searched for a caption that tells a
        # change.
        changed = [row for row, p in enumerate(p_change) if p >= self.threshold]
        told = self._tell_changes(memory, changed, beam)
        for row, sentences in zip(changed, told, strict=True):
            captions[row] = _ranked(sentences, p_change[row])
        # Of the others nothing is searched: the fixed sentences are all that is said.
        same = [row for row in range(len(p_change)) if row not in captions]
        for row, log_probs in zip(
            same, self._rows_of(fixed, memory, same), strict=True
        ):
            captions[row] = self._same(log_probs, p_change[row])
        return [captions[row] for row in range(len(p_change))]

    def _change(self, memory: PairMemory) -> tuple[list[float], Float32s | None]:
        """The probability of change of each pair, and the log-probabilities (B, F) of
        the fixed sentences of no change if it was told from them."""
        if memory.flag is not None:
            temperature = self.checkpoint.settings.change.temperature
            # The sigmoid of the head's logit. Dividing by a temperature fitted on the
            # validation split calibrates it: of pairs told 0.8, about 80 in 100
            # changed.
            p_change: Float32s = 1.0 / (1.0 + np.exp(-memory.flag / temperature))
            return p_change.tolist(), None
        fixed = self._fixed_log_probs(memory)
        # (B, F) → (B,). The sentences exclude each other, so their probabilities add
        # up. Rounding can lift the sum above 1, which would make a negative
        # probability.
        p_change = 1.0 - np.exp(fixed).sum(-1).clip(max=1.0)
        return p_change.tolist(), fixed

    def _rows_of(
        self, fixed: Float32s | None, memory: PairMemory, rows: list[int]
    ) -> list[list[float]]:
        """The fixed sentences' log-probabilities of some pairs, computed now if they
        were not."""
        if not rows:
            return []
        values = (
            self._fixed_log_probs(memory.keep(rows)) if fixed is None else fixed[rows]
        )
        found: list[list[float]] = values.tolist()
        return found

    def _in_either_order(
        self, captions: Sequence[Caption], images: NDArray[np.uint8], beam: int
    ) -> list[Caption]:
        """The captions; of pairs that are likelier in reverse order those that tell
        what is gone. Images (B, 2, 3, size, size) are asked about once more, with their
        dates swapped, unless they are told changed for sure."""
        told = list(captions)
        asked = [row for row, one in enumerate(told) if needs_reverse_order(one)]
        if not asked:
            return told
        swapped = np.ascontiguousarray(images[asked][:, ::-1])
        found = self._captions(self.engine.encode(swapped), beam)
        for row, reverse in zip(asked, found, strict=True):
            told[row] = likelier_order(told[row], reverse)
        return told

    def _tell_changes(
        self, memory: PairMemory, rows: list[int], beam: int
    ) -> list[list[Caption]]:
        """The captions of pairs told changed, best first: those that tell a change, if
        there are any."""
        if not rows:
            return []
        found = [
            self._sentences(best) for best in self._search(memory.keep(rows), beam)
        ]
        # A beam that holds nothing but fixed sentences, and those that say a phrase
        # twice, is searched again. With as many hypotheses more as there are fixed
        # sentences there is room for another one.
        again = [
            number
            for number, sentences in enumerate(found)
            if all(stumbles(one.text) for one in _telling(sentences))
        ]
        if again:
            wide = memory.keep([rows[number] for number in again])
            wider = self._search(wide, beam + len(self._fixed))
            for number, best in zip(again, wider, strict=True):
                found[number] = self._sentences(best)
        # If the wider beam finds no other sentence either, a fixed one is better than
        # none. Of a wider beam's captions no more are given than a caller asked for.
        return [
            _fluent_first(_telling(sentences) or sentences)[:beam]
            for sentences in found
        ]

    def _search(self, memory: PairMemory, beam: int) -> list[list[Hypothesis]]:
        return search(
            self.engine,
            memory,
            self._markers,
            beam=beam,
            max_words=self.checkpoint.settings.decoder.max_words,
            length_normalisation=self.length_normalisation,
        )

    def _fixed_log_probs(self, memory: PairMemory) -> Float32s:
        """The log-probability of each fixed sentence of no change, (B, F); a word not
        known counts as ``<unk>``."""
        captions = [
            self.checkpoint.vocabulary.encode(text.split()) for text in self._fixed
        ]
        return score_sentences(self.engine, memory, self._markers, captions)

    def _same(self, log_probs: Sequence[float], p_change: float) -> Caption:
        """The fixed sentences of no change, with their log-probabilities, as one
        caption."""
        sentences = zip(self._fixed, log_probs, strict=True)
        captions = [
            Caption(text, log_prob, changed=False) for text, log_prob in sentences
        ]
        return _same_as_before(captions, p_change)

    def _sentences(self, hypotheses: Sequence[Hypothesis]) -> list[Caption]:
        return [self._sentence(hypothesis) for hypothesis in hypotheses]

    def _sentence(self, hypothesis: Hypothesis) -> Caption:
        words = self.checkpoint.vocabulary.decode(hypothesis.ids)
        # A caption counts as a change unless it is one of the sentences of no change.
        changed = not says_no_change(words, self._own)
        return Caption(
            " ".join(words), hypothesis.log_prob, changed, hypothesis.finished
        )

    def parameters(self) -> dict[str, int]:
        """Parameter counts by part."""
        return self.engine.parameters()

    def describe(self) -> dict[str, Any]:
        """What a report says of the model: its settings, size and vocabulary."""
        checkpoint = self.checkpoint
        return {
            "model": as_dict(checkpoint.settings),
            "parameters": self.parameters(),
            "vocabulary_size": len(checkpoint.vocabulary),
            "vocabulary_digest": checkpoint.vocabulary.digest,
            "trained_on": checkpoint.training.get("settings", {}).get("data"),
            "weights": self.loaded(),
        }

    def loaded(self) -> dict[str, Any] | None:
        """Which weights these are: ``name``, ``commit`` (of the hub's), ``sha256`` of
        model.safetensors; None of a network that came from no file."""
        return None if self.weights is None else self.weights.record()


def load(
    weights: str | Path | None = None,
    *,
    beam: int | None = None,
    length_normalisation: float | None = None,
    device: str = "auto",
    engine: EngineName = "auto",
    precision: Precision = "fp32",
    decision: Decision | None = None,
    change_probability: bool = True,
    threads: int = 0,
) -> Predictor:
    """A predictor with the weights in a checkpoint folder, with a checkpoint of Hugging
    Face's hub (``hub:OWNER/NAME@REVISION``), or with those that ship with sencap.

    >>> captioner = load()                                    # doctest: +SKIP
    >>> captioner("before.png", "after.png").text             # doctest: +SKIP
    'many houses are built along the road'

    ``beam``: width of the search; 1 is greedy. ``length_normalisation``: the power of
    the length by which a beam ranks captions; 0, as in the paper, prefers short ones.
    Both are the weights' own if not given: 5 and 1 of the usual ones that ship.
    ``engine``: onnx (ONNX Runtime on the checkpoint's graphs, on the CPU), torch
    (PyTorch), or auto: onnx, unless ``device`` is a GPU or the checkpoint has no
    graphs. ``device`` is cpu, cuda, cuda:1 …, or auto: with PyTorch's engine a GPU if
    there is one. ``precision`` int8 computes the encoder in 8 bits, where the
    checkpoint and the processor offer it. ``decision`` and ``change_probability`` as in
    `Predictor`. ``threads`` of ONNX Runtime, 0 being one for each core: captions do not
    depend on them.

    Raises:
        CheckpointError: the folder is not a whole checkpoint, or has no graphs and the
            engine needs them.
        SettingsError: ``weights`` is an empty text, a number out of its bounds, no such
            device, a precision that is not offered here.
        MissingDependencyError: PyTorch's engine is needed, and PyTorch is not
            installed; or the hub is named, and its client is not.
    """
    found = resolve_weights(weights)
    check_numbers(beam=beam, threads=threads)
    check_length_normalisation("length_normalisation", length_normalisation)
    network, model = open_checkpoint(
        found.folder,
        device=device,
        engine=engine,
        precision=precision,
        threads=threads,
    )
    return Predictor(
        network,
        model,
        beam=beam,
        length_normalisation=length_normalisation,
        decision=decision,
        change_probability=change_probability,
        weights=found,
    )


def told_if_one_file(caption: Caption, before: Image, after: Image) -> Caption:
    """The caption, whose note says so if both images are one file, links followed."""
    if not (
        isinstance(before, str | os.PathLike) and isinstance(after, str | os.PathLike)
    ):
        return caption
    # Two names can lead to one file, which is most likely a mistake of the caller.
    if identity(Path(before)) != identity(Path(after)):
        return caption
    # That the images are equal goes without saying then; other notes stay.
    others = [part for part in caption.note.split("; ") if not part.startswith(_EQUAL)]
    notes = filter(None, ["before and after are one file", *others])
    return dataclasses.replace(caption, note="; ".join(notes))


def _placed(captions: list[Caption], distances: Float32s | None) -> list[Caption]:
    """The captions, each with how far its images are from those trained on, and with a
    word where that is too far."""
    if distances is None:
        return captions
    placed = []
    for caption, distance in zip(captions, distances.tolist(), strict=True):
        note = ""
        if distance > 1:
            note = (
                "the images are unlike those that the weights were trained on "
                f"(domain {distance:.2f}, of which 1 is the limit): the caption may "
                "well be wrong"
            )
        notes = "; ".join(filter(None, [caption.note, note]))
        placed.append(
            dataclasses.replace(caption, domain=round(distance, 3), note=notes)
        )
    return placed


def _telling(captions: Sequence[Caption]) -> list[Caption]:
    """Those that tell a change."""
    return [caption for caption in captions if caption.changed]


def _fluent_first(captions: Sequence[Caption]) -> list[Caption]:
    """The captions in their order, those that say a phrase twice after the others."""
    # False sorts before True, and equal ones keep their order.
    return sorted(captions, key=lambda one: stumbles(one.text))


def _same_as_before(fixed: Sequence[Caption], p_change: float) -> Caption:
    """One and the same sentence for no change, whichever of them is likeliest by a
    hair; the others follow."""
    # Which of the fixed sentences is the likeliest changes with the last digits of a
    # float, and so with the machine. A reader should see the same one each time.
    first, *others = fixed
    return _ranked(
        [first, *sorted(others, key=lambda caption: -caption.log_prob)], p_change
    )


def _ranked(captions: list[Caption], p_change: float | None = None) -> Caption:
    best, *others = captions
    return dataclasses.replace(
        best, alternatives=tuple(others), change_probability=p_change
    )
