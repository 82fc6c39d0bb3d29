"""What a scan says of one window: plain values, as a journal and a file of features
take them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from sencap.scenes.ground import Ring
from sencap.structures import Caption

# Of probabilities: more is noise.
_DIGITS = 6


@dataclass(frozen=True)
class Row:
    """A window and what was said of it.

    ``window`` is its number (see `sencap.scenes.tiling.Tiling`); ``row``, ``column``,
    ``height``, ``width`` its pixels of the common ground; ``polygon`` its corners in
    the projection of the output. ``valid`` is the share of its pixels that hold data at
    both dates, ``pixels`` how many of its own ground do. ``alternatives`` are the next
    best captions with their log-probabilities. ``windows`` are how many windows tell of
    it: 1, unless rows were merged; then the polygon may have ``holes``. ``domain`` is
    as in `sencap.Caption`.
    """

    window: int
    row: int
    column: int
    height: int
    width: int
    polygon: Ring
    caption: str
    changed: bool
    change_probability: float | None
    log_prob: float
    alternatives: list[tuple[str, float]]
    note: str
    valid: float
    pixels: int
    windows: int = 1
    domain: float | None = None
    holes: list[Ring] = field(default_factory=list)

    @classmethod
    def of(cls, caption: Caption, **more: Any) -> Row:
        """From a caption; ``more`` are the fields that are not the caption's."""
        others = [
            (other.text, round(other.log_prob, _DIGITS))
            for other in caption.alternatives
        ]
        p = caption.change_probability
        return cls(
            caption=caption.text,
            changed=caption.changed,
            change_probability=None if p is None else round(p, _DIGITS),
            log_prob=round(caption.log_prob, _DIGITS),
            domain=None if caption.domain is None else round(caption.domain, _DIGITS),
            alternatives=others,
            note=caption.note,
            **more,
        )

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> Row:
        """Back from `to_json`."""
        # JSON knows no tuples: they came back as lists.
        polygon = [(x, y) for x, y in told["polygon"]]
        alternatives = [(text, log_prob) for text, log_prob in told["alternatives"]]
        pairs = {"polygon": polygon, "alternatives": alternatives}
        return cls(**{**told, **pairs})

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)
