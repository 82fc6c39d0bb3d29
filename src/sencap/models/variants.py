"""Every system by name: each a short function that composes an extractor, a difference encoder and a decoder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from sencap.config import ModelSettings, Structure
from sencap.errors import SettingsError, nearest
from sencap.models.captioner import Captioner
from sencap.models.decoders import TransformerDecoder
from sencap.models.difference import SENDifference
from sencap.models.extractors import FeatureExtractor


def sen(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """SEN (Zhou et al. 2024): single-stream extractor, SFE and CAGD, transformer decoder."""
    D = settings.dimension
    trained = {k: v for k, v in dataclasses.asdict(settings.extractor).items() if k != "init"}
    extractor = FeatureExtractor(dimension=D, **trained)
    difference = SENDifference(D, stride=extractor.stride, **dataclasses.asdict(settings.difference))
    words = {k: v for k, v in dataclasses.asdict(settings.decoder).items() if k != "max_words"}
    decoder = TransformerDecoder(D, vocabulary_size=vocabulary_size, **words)
    return Captioner(extractor, difference, decoder, mean=settings.mean, std=settings.std)


def sen_single_sub(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """SEN on the difference image (Table IV, Single-sub)."""
    return sen(_with_structure(settings, "sen-single-sub", "single-sub"), vocabulary_size)


def sen_dual(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """SEN on two streams with shared weights (Table IV, Dual)."""
    return sen(_with_structure(settings, "sen-dual", "dual"), vocabulary_size)


SYSTEMS: dict[str, Callable[[ModelSettings, int], Captioner]] = {
    "sen": sen,
    "sen-single-sub": sen_single_sub,
    "sen-dual": sen_dual,
}


def build(settings: ModelSettings, vocabulary_size: int) -> Captioner:
    """The captioner that ``settings.system`` names, with random weights.

    Raises:
        SettingsError: an unknown system, with the nearest known name.
    """
    if settings.system not in SYSTEMS:
        raise SettingsError(f"system={settings.system!r} is unknown; {nearest(settings.system, SYSTEMS)}")
    if vocabulary_size < 5:
        raise SettingsError(
            f"a vocabulary of {vocabulary_size} entries holds no word beside its four markers"
        )
    return SYSTEMS[settings.system](settings, vocabulary_size)


def _with_structure(settings: ModelSettings, system: str, structure: Structure) -> ModelSettings:
    chosen = settings.extractor.structure
    if chosen not in ("single-cat", structure):
        raise SettingsError(f"system={system} and extractor.structure={chosen} contradict each other")
    extractor = dataclasses.replace(settings.extractor, structure=structure)
    return dataclasses.replace(settings, extractor=extractor)
