"""Flags that several verbs have. Each class is one parameter of a verb's ``command``,
and each of its fields a flag (`sencap.parsing`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sencap.images import Reading
    from sencap.predictor import Predictor


@dataclass(frozen=True)
class SearchFlags:
    """Which weights caption, and how.

    Args:
        weights: A checkpoint folder, best, sen, or hub:OWNER/NAME@REVISION (default:
            the weights that ship with sencap).
        beam: Width of the beam search; 1 is greedy (default: that of the weights).
        precision: fp32 (exact), or int8 (faster), where the checkpoint and the
            processor offer it; bf16 is refused, as ONNX Runtime lacks it.
        decision: What makes a pair changed: the model's probability of change (all
            sentences of no change counted together); the same in either order of the
            two dates, which tells what was removed; or whatever the best caption of the
            search says, as in the literature (default: that of the weights).
    """

    weights: str | None = None
    beam: int | None = None
    precision: Literal["fp32", "int8", "bf16"] = "fp32"
    decision: Literal["probability", "either-order", "search"] | None = None


@dataclass(frozen=True)
class LoadFlags(SearchFlags):
    """Which weights caption, how, and on what.

    Args:
        length_normalisation: The power of the length by which the beam ranks captions:
            0, as in the paper, prefers short ones, 1 has no preference (default: that
            of the weights).
        device: cpu, cuda, or auto.
        engine: onnx (ONNX Runtime), torch (PyTorch), or auto: onnx where the checkpoint
            has graphs and no GPU is named.
    """

    length_normalisation: float | None = None
    device: str = "auto"
    engine: Literal["auto", "onnx", "torch"] = "auto"

    def load(self) -> Predictor:
        """The predictor; errors as `sencap.load`."""
        from sencap.predictor import load

        return load(**asdict(self))


@dataclass(frozen=True)
class ReadingFlags:
    """How image files are read.

    Args:
        bands: The bands that are red, green and blue, by number from 1 or by name,
            joined by commas: 4,3,2 (default: by their names, else the first three).
        scale: LOW,HIGH: the values that become black and white (default: 8 bits as they
            are, more by what is in both images). A negative one is written
            --scale=-25,0.
        empty: A pair, or a window of a scan, of which more than this share holds no
            data gets no caption.
    """

    bands: str | None = None
    scale: str | None = None
    empty: float = 0.5

    def parsed(self) -> Reading:
        """As `sencap.images` takes it; errors as `Reading.of_texts`."""
        from sencap.images import Reading

        return Reading.of_texts(self.bands, self.scale, self.empty)
