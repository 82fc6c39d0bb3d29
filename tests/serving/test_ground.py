"""What the server asks of the rooms below: another threshold, fewer pixels than
elsewhere."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from PIL import Image

from sencap import load
from sencap.data.vocabulary import NO_CHANGE_SENTENCES
from sencap.demonstration import EXAMPLES
from sencap.errors import SettingsError
from sencap.images import as_pair
from sencap.images.common import TooLargeError, most_pixels
from sencap.predictor import Predictor


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return load()


def test_the_threshold_decides_between_change_and_no_change(
    predictor: Predictor,
) -> None:
    pair = (
        EXAMPLES / "synthetic-houses_before.png",
        EXAMPLES / "synthetic-houses_after.png",
    )
    usual = predictor(*pair)
    assert usual.changed
    assert usual.change_probability is not None
    strict = Predictor(predictor.engine, predictor.checkpoint, threshold=1.0)
    assert strict(*pair).text == NO_CHANGE_SENTENCES[0]
    assert strict(*pair).change_probability == usual.change_probability
    lenient = Predictor(predictor.engine, predictor.checkpoint, threshold=0.0)
    assert lenient(*pair) == usual


@pytest.mark.parametrize("threshold", [-0.1, 1.1, float("nan")])
def test_a_threshold_is_a_probability(predictor: Predictor, threshold: float) -> None:
    with pytest.raises(SettingsError, match=r"threshold=.* is a probability"):
        Predictor(predictor.engine, predictor.checkpoint, threshold=threshold)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "array"])
def test_fewer_pixels_may_be_allowed_for_a_while(kind: str) -> None:
    picture = Image.fromarray(np.zeros((50, 60, 3), np.uint8))
    content = io.BytesIO()
    if kind != "array":
        picture.save(content, kind)
    source = np.asarray(picture) if kind == "array" else content.getvalue()
    as_pair(source, source)
    with most_pixels(2999):
        with pytest.raises(TooLargeError, match="60×50 pixels, above 2,999"):
            as_pair(source, source)
        # another thread's images are not concerned
        other = threading.Thread(target=as_pair, args=(source, source))
        other.start()
        other.join()
    as_pair(source, source)
