"""What the stages hand each other, and the shape legend of the whole package.

    B  pairs in a batch      K  captions (or hypotheses) per pair
    S  streams: 1 (one for both dates) or 2 (one per date)
    T  words, <start> and <end> included          V  words in the vocabulary
    H, W  pixels             h, w  cells of the feature grid      N = h·w  tokens of a memory
    C  channels              D  embedding width

Images are RGB, ``before`` first. Tokens are batch first everywhere. Each class refuses
a wrong shape at birth.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sencap.errors import ShapeError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ImagePair:
    """Two co-registered RGB images of one place.

    ``images`` is a uint8 array (2, 3, H, W), values 0–255, index 0 before and index 1
    after. ``notes`` say what a reader of its caption has to know of how it was read;
    ``details`` what was chosen as it was read (bands, scale, ground, share without
    data), as JSON values.

    Raises:
        ShapeError: another shape or type.
    """

    images: NDArray[np.uint8]
    name: str = ""
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Anything may have been handed over, whatever the annotation says.
        images: Any = self.images
        is_array = isinstance(images, np.ndarray)
        found = (
            f"{images.dtype} {images.shape}"
            if is_array
            else f"of the type {type(images).__name__}"
        )
        if (
            not is_array
            or images.ndim != 4
            or images.shape[:2] != (2, 3)
            or images.dtype != np.uint8
            or not images.size
        ):
            raise ShapeError(
                "an image pair is a uint8 array (2, 3, H, W), before first; "
                f"{self.name or 'this one'} is {found}. Stack two (3, H, W) arrays, "
                "or use sencap.images.as_pair."
            )


@dataclass(frozen=True)
class Memory:
    """What a decoder may look at: the difference encoder's tokens for a batch of pairs.

    ``tokens`` (B, N, D) with N = h·w in row-major order of ``grid`` = (h, w). Of a
    captioner that has change heads (see `sencap.models.change`): ``flag`` (B,), the
    logit of "the pair changed", and ``mask`` (B, N), the logit of each cell's share of
    changed building. ``distance`` (B,) tells how far the images are from those trained
    on, of a captioner that kept it (see `sencap.models.domain`). ``parts`` holds named
    intermediate results, each (B, N, D'), for those who explain a model; no decoder
    needs them.

    Raises:
        ShapeError: tokens that do not fill the grid, or a part with other tokens.
    """

    tokens: Tensor
    grid: tuple[int, int]
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    flag: Tensor | None = None
    mask: Tensor | None = None
    distance: Tensor | None = None

    def __post_init__(self) -> None:
        h, w = self.grid
        # N has to be h·w: maps for explaining are tokens put back into the grid.
        if self.tokens.ndim != 3 or self.tokens.shape[1] != h * w:
            raise ShapeError(
                f"a memory has tokens (B, h·w, D) with h·w = {h}·{w}; got "
                f"{tuple(self.tokens.shape)}"
            )
        for name, part in self.parts.items():
            if part.ndim != 3 or part.shape[:2] != self.tokens.shape[:2]:
                raise ShapeError(
                    f"part {name!r} of a memory must be (B, N, D') with B, N = "
                    f"{tuple(self.tokens.shape[:2])}; got {tuple(part.shape)}"
                )


@dataclass(frozen=True)
class Hypothesis:
    """One caption as a search found it: word ids without <start> and <end>, and its
    log-probability.

    ``log_prob`` is the natural logarithm of the probability of the whole caption, its
    <end> included (for a caption cut at the length limit there is no <end>:
    ``finished`` is False).
    """

    ids: tuple[int, ...]
    log_prob: float
    finished: bool


@dataclass(frozen=True)
class Caption:
    """A sentence for one pair of images.

    ``text`` in lower case without a full stop; ``changed`` tells whether it speaks of a
    change at all; ``log_prob`` as in `Hypothesis`; ``alternatives`` are the next best
    captions, best first. Where the search normalises the length of captions, a shorter
    one may be more probable than the best and stand behind it.
    ``change_probability`` (0–1) is that of the model's flag head, or, of a model
    without one, one minus the probability that it gives to the fixed sentences of no
    change together; None where there is neither, or it was not asked for. ``reverse``
    tells that the pair was seen in reverse order and the caption turned
    (`sencap.removals`); the probability is then that of the reverse order. ``domain`` is
    how far the images are from those that the model was trained on: up to 1 they are of
    their kind; None for a model that does not know. ``note`` says what a reader has to
    know beside the sentence, such as that the two images are equal, which no model was
    asked about.
    """

    text: str
    log_prob: float
    changed: bool
    finished: bool = True
    alternatives: tuple[Caption, ...] = ()
    change_probability: float | None = None
    domain: float | None = None
    note: str = ""
    reverse: bool = False

    def __str__(self) -> str:
        return self.text
