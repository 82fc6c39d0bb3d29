"""What was measured, as tables, as JSON, and as the bars of a picture."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sencap.figures.speeds import SpeedBar

TIMED_PARTS = ("reading", "resizing", "encoder", "search")
WORDS_OF_A_CAPTION = 12  # of every caption, so that all ways have the same to do
FIELD = "field"  # the name of the field's way, among those of the engines
# How many times as fast as these the paper's SEN is, by its table of speeds
PAPER_RATIOS = {"rsiccformer-c": 1.58, "mccformer-s": 1.84, "mccformer-d": 1.91}
INT8_ENGINE = "onnx-int8"  # ONNX Runtime's engine with the encoder in int8
_NAMES = {
    "onnx": "ONNX Runtime",
    INT8_ENGINE: "ONNX Runtime int8",
    "torch": "PyTorch",
    FIELD: "the field's way",
}


@dataclass
class Measured:
    """One way: a system, an engine, a batch; ``seconds`` a pair of each part, one for
    each round.

    ``flops``: floating-point operations of a pair, by part of the encoder.
    ``peak_megabytes``: of a fresh process that captions one batch.
    """

    system: str
    engine: str
    batch: int
    flops: Mapping[str, int]
    peak_megabytes: float | None = None
    seconds: dict[str, list[float]] = field(
        default_factory=lambda: {part: [] for part in TIMED_PARTS}
    )
    captions: list[tuple[int, ...]] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The engine and the batch."""
        return f"{_NAMES[self.engine]}, batch {self.batch}"

    @property
    def totals(self) -> list[float]:
        """Seconds a pair, one for each round."""
        # Seconds by part and round → the sum of the parts, for each round.
        return [sum(parts) for parts in zip(*self.seconds.values(), strict=True)]

    @property
    def speed(self) -> float:
        """Pairs a second: the median of the rounds."""
        return 1 / statistics.median(self.totals)

    def share(self, part: str) -> float:
        """The share of the time that a part takes."""
        return sum(self.seconds[part]) / sum(self.totals)

    def milliseconds(self, part: str) -> float:
        """Milliseconds a pair of one part: the median of the rounds."""
        return 1000 * statistics.median(self.seconds[part])

    def encoder_rates(self) -> list[float]:
        """Floating-point operations a second of the encoder, one for each round."""
        return [
            sum(self.flops.values()) / seconds for seconds in self.seconds["encoder"]
        ]


@dataclass(frozen=True)
class BenchReport:
    """All that was measured; ``products`` are the matrix product's operations a second,
    by round."""

    ways: list[Measured]
    products: list[float]
    pairs: int
    threads: int
    load: float | None
    environment: Mapping[str, str | int]

    def find(self, system: str, engine: str, batch: int) -> Measured:
        """One of the ways."""
        wanted = system, engine, batch
        return next(
            way for way in self.ways if (way.system, way.engine, way.batch) == wanted
        )

    def best(self, system: str, engine: str) -> Measured:
        """The way with the fastest batch."""
        ways = [
            way for way in self.ways if (way.system, way.engine) == (system, engine)
        ]
        return max(ways, key=lambda way: way.speed)

    def systems(self) -> list[str]:
        """Their names, in order."""
        return list(dict.fromkeys(way.system for way in self.ways))

    def engines(self) -> list[str]:
        """The engines that ran, in order, without the field's way."""
        names = dict.fromkeys(way.engine for way in self.ways)
        return [name for name in names if name != FIELD]

    def notable(self) -> list[Measured]:
        """Of each system the field's way, and each engine at batch 1 and at its fastest
        batch."""
        found = []
        for system in self.systems():
            # The field's way is that of published code: one pair at a time.
            found.append(self.find(system, FIELD, 1))
            for engine in reversed(self.engines()):
                single, best = self.find(system, engine, 1), self.best(system, engine)
                found += [single] if single is best else [single, best]
        return found

    def limit_share(self, way: Measured) -> float:
        """The encoder's rate over that of the matrix product in the same round: the
        median."""
        # Round by round, since the machine's rate itself changes from one to the next.
        pairs = zip(way.encoder_rates(), self.products, strict=True)
        return statistics.median(rate / product for rate, product in pairs)

    def ratios(self) -> dict[str, list[float]]:
        """How many times as fast one way is as another, by name, one value for each
        round.

        Engines over the field's way, ONNX Runtime over PyTorch, int8 over fp32, and SEN
        over the compared systems.
        """
        found = {}
        systems = self.systems()
        for system in systems:
            field_way = self.find(system, FIELD, 1)
            # Ratios of medians would mix rounds; each is of two ways in the same round.
            pairs = [
                (self.best(system, engine), field_way) for engine in self.engines()
            ]
            pairs.append((self.find(system, "onnx", 1), self.find(system, "torch", 1)))
            if INT8_ENGINE in self.engines():
                pairs.append(
                    (self.find(system, INT8_ENGINE, 1), self.find(system, "onnx", 1))
                )
                pairs.append(
                    (self.best(system, INT8_ENGINE), self.best(system, "onnx"))
                )
            for fast, slow in pairs:
                found[f"{system}: {fast.name} over {slow.name}"] = _ratio(fast, slow)
        for other in [
            name for name in PAPER_RATIOS if name in systems and "sen" in systems
        ]:
            # The paper's own ratio stands beside two of ours: at batch 1 and at the
            # fastest one.
            for batch in sorted({1, self.best("sen", "onnx").batch}):
                fast, slow = (
                    self.find("sen", "onnx", batch),
                    self.find(other, "onnx", batch),
                )
                name = f"sen over {other}: {fast.name} (the paper's ratio: {PAPER_RATIOS[other]})"
                found[name] = _ratio(fast, slow)
        return found

    def unlike(self) -> list[str]:
        """The ways that said other captions than the first way of their system, and how
        many."""
        told = []
        for way in self.ways:
            first = next(other for other in self.ways if other.system == way.system)
            # Engines add up in other orders, and int8 rounds: where two words are
            # almost as likely, the choice may differ.
            both = zip(first.captions, way.captions, strict=True)
            differing = sum(one != other for one, other in both)
            if differing:
                told.append(f"{way.system}, {way.name}: {differing}")
        return told

    def markdown(self) -> str:
        """The tables."""
        # The median, since one busy moment would move a mean.
        product = statistics.median(self.products) / 1e9
        rounds = len(self.products)
        load = "not known" if self.load is None else f"{self.load:.1f}"
        lines = [
            f"{self.pairs} pairs a turn, {rounds} rounds of turns, {self.threads} "
            f"threads, captions of {WORDS_OF_A_CAPTION} words; load of the machine before: "
            f"{load}. Times are milliseconds a pair.",
            "",
            "| system | way | pairs/s | reading | resizing | encoder | search | "
            "search's share | encoder, GFLOP/s | of a matrix product | peak memory, "
            "MB |",
            "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]
        lines += [self._row(way) for way in self.ways]
        lines += [
            "",
            f"A plain matrix product in float32 reached {product:.0f} GFLOP/s in the "
            "same rounds. Peak memory is that of a fresh process that captions one "
            "batch.",
            *self._counted(),
            "",
            "| ratio of speeds | median | lowest – highest |",
            "|---|---:|---:|",
        ]
        for name, values in self.ratios().items():
            spread = f"{min(values):.2f} – {max(values):.2f}"
            lines.append(f"| {name} | {statistics.median(values):.2f} | {spread} |")
        unlike = self.unlike()
        differing = (
            f"Pairs with another caption: {'; '.join(unlike)}." if unlike else ""
        )
        lines += [
            "",
            differing or "All ways of a system said the same captions.",
            "",
            self.hardware(),
        ]
        return "\n".join(lines)

    def _counted(self) -> list[str]:
        """What the encoder's rate is made of, by system."""
        told = []
        for system in self.systems():
            flops = self.find(system, FIELD, 1).flops
            total = sum(flops.values())
            told.append(
                f"{system} {total / 1e9:.1f} (extractor "
                f"{flops['extractor'] / total:.0%})"
            )
        return [f"GFLOP of the encoder for a pair: {', '.join(told)}."]

    def hardware(self) -> str:
        """Where it ran, in a line."""
        e = self.environment
        versions = (
            f"onnxruntime {e['onnxruntime']}, torch {e['torch']}, sencap {e['sencap']}"
        )
        return f"{e['processor']}, {e['cores']} cores; {versions}"

    def _row(self, way: Measured) -> str:
        times = [f"{way.milliseconds(part):.1f}" for part in TIMED_PARTS]
        peak = "–" if way.peak_megabytes is None else f"{way.peak_megabytes:.0f}"
        cells = [
            way.system,
            way.name,
            f"{way.speed:.2f}",
            *times,
            f"{way.share('search'):.0%}",
            f"{statistics.median(way.encoder_rates()) / 1e9:.0f}",
            f"{self.limit_share(way):.0%}",
            peak,
        ]
        return f"| {' | '.join(cells)} |"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: what the tables say, and the seconds of every round."""
        ways = []
        for way in self.ways:
            record = asdict(way)
            # Ids of words, which nobody needs in a report of speeds.
            del record["captions"]
            record["pairs_per_second"] = way.speed
            record["milliseconds"] = {
                part: way.milliseconds(part) for part in TIMED_PARTS
            }
            record["shares"] = {part: way.share(part) for part in TIMED_PARTS}
            record["encoder_rate_over_matrix_product"] = self.limit_share(way)
            ways.append(record)
        return {
            "pairs": self.pairs,
            "words": WORDS_OF_A_CAPTION,
            "threads": self.threads,
            "load_before": self.load,
            "ways": ways,
            "ratios": self.ratios(),
            "other_captions": self.unlike(),
            "matrix_product_flops_per_second": self.products,
            "environment": dict(self.environment),
        }

    def bars(self) -> list[SpeedBar]:
        """The notable ways, for a picture."""
        bars = []
        for way in self.notable():
            # The note at a bar's end: how many times the field's way.
            label = ""
            if way.engine != FIELD:
                ratio = _ratio(way, self.find(way.system, FIELD, 1))
                label = f"{statistics.median(ratio):.1f} ×"
            bars.append(SpeedBar(way.system, way.name, way.engine, way.totals, label))
        return bars


def _ratio(fast: Measured, slow: Measured) -> list[float]:
    return [s / f for s, f in zip(slow.totals, fast.totals, strict=True)]
