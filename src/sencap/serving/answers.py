"""What the interface answers: the OpenAPI document is made of these."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, Field

from sencap.config import Decision
from sencap.structures import Caption


class Alternative(BaseModel):
    """A sentence, and how probable it is."""

    caption: str
    probability: float = Field(description="of the whole sentence, 0–1")
    log_prob: float
    changed: bool = Field(description="whether the sentence tells a change")

    @classmethod
    def of(cls, caption: Caption) -> Alternative:
        """From a caption."""
        return cls(
            caption=caption.text,
            # The search adds logarithms, which do not vanish over a long sentence.
            probability=math.exp(caption.log_prob),
            log_prob=caption.log_prob,
            changed=caption.changed,
        )


# What a pair's caption adds to any sentence of the search.
class Said(Alternative):
    """What is said of a pair."""

    change_probability: float | None = Field(
        description="the model's probability that anything changed, 0–1; null: it has none"
    )
    finished: bool = Field(
        description="false: the sentence was cut at the longest length"
    )
    note: str = Field(description="what has to be known beside the sentence")
    alternatives: list[Alternative] = Field(
        description="the next best sentences, best first"
    )
    read: dict[str, Any] = Field(description="what was chosen as the files were read")
    geometry: dict[str, Any] | None = Field(
        description="the ground of the pair as a GeoJSON geometry, where the files tell it"
    )

    @classmethod
    def of_pair(
        cls, caption: Caption, read: dict[str, Any], geometry: dict[str, Any] | None
    ) -> Said:
        """From a caption and what is known of its pair."""
        return cls(
            **Alternative.of(caption).model_dump(),
            change_probability=caption.change_probability,
            finished=caption.finished,
            note=caption.note,
            alternatives=[Alternative.of(other) for other in caption.alternatives],
            read=read,
            geometry=geometry,
        )


class Captions(BaseModel):
    """The captions of a request's pairs, in its order."""

    weights: str
    beam: int
    threshold: float
    pairs: list[Said]


class Word(BaseModel):
    """A word of the sentence, and where the decoder looked as it chose it."""

    word: str
    looked: list[list[float]] | None = Field(
        description="row by row, in multiples of an even share; null: this decoder has no such map"
    )
    dates: list[float] | None = Field(
        description="the weights of before, difference and after, if the decoder has such"
    )


class Explained(BaseModel):
    """A caption, its words, and both images as they can be shown."""

    weights: str
    beam: int
    threshold: float
    said: Said
    words: list[Word]
    before: str = Field(description="the image as a PNG, in a data: address")
    after: str


class WeightsTold(BaseModel):
    """A model that requests may name."""

    name: str
    commit: str | None = Field(description="of weights from Hugging Face's hub")
    sha256: str | None = Field(description="of model.safetensors")
    size: int = Field(description="pixels a side of what the model sees")
    parameters: int
    vocabulary: int
    beam: int = Field(description="width of the search where a request names none")
    # Whether a pair counts as changed: by its probability of change and the threshold,
    # in the order of its dates or in either order, or by what the sentence says.
    decides_by: Decision


class Limits(BaseModel):
    """What a request may have."""

    bytes: int
    pixels: int
    pairs: int
    seconds: int
    beam: int
    requests: int
    requests_of_one_client: int


class Info(BaseModel):
    """What this server is."""

    version: str
    weights: list[WeightsTold] = Field(description="the first is the usual one")
    threshold: float
    limits: Limits
    token: bool = Field(description="whether requests need a token")
    georeferences: bool = Field(description="whether GeoTIFFs are put on one grid")


class Liveness(BaseModel):
    """Whether the server lives, or is ready."""

    status: str


class Scanned(BaseModel):
    """A scan as a GeoJSON collection: a feature for each window that holds data."""

    type: Literal["FeatureCollection"] = "FeatureCollection"
    windows: int
    without_data: int
    changed: int
    placed: bool = Field(
        description="whether coordinates are degrees; else they are pixels, rows downwards"
    )
    pixels: tuple[int, int] = Field(
        description="width and height of the ground that both show"
    )
    notes: list[str] = Field(description="what has to be known of the files")
    features: list[dict[str, Any]]


class JobState(BaseModel):
    """How far a job is."""

    id: str
    state: Literal["waiting", "running", "finished", "failed", "cancelled"]
    done: int = Field(description="windows captioned")
    total: int = Field(description="windows there are; 0: not known yet")
    problem: str = Field(default="", description="why it failed")
