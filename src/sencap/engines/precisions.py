"""The precisions in which an engine may compute, and which of them this processor
has."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from sencap.errors import SettingsError, nearest

Precision = Literal["fp32", "int8", "bf16"]

CPUINFO = Path("/proc/cpuinfo")  # where Linux tells what a processor can do
# Any of these multiplies bytes and adds the products up in one instruction; without one
# int8 is slower than fp32, and on x86 sums of 16 bits overflow.
INT8_FLAGS = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp")
BF16_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")


def check_precision(precision: str) -> None:
    """Refuse a precision that this processor, or ONNX Runtime on it, does not have.

    Raises:
        SettingsError: why it is not offered, and what to do.
    """
    if precision not in get_args(Precision):
        raise SettingsError(
            f"precision={precision!r} is unknown; "
            f"{nearest(precision, get_args(Precision))}"
        )
    flags = processor_flags()
    if precision == "int8" and not flags.intersection(INT8_FLAGS):
        raise SettingsError(
            "precision=int8 is not offered on this processor: it tells of none of "
            f"{', '.join(INT8_FLAGS)}, without which int8 is no faster; use fp32"
        )
    # It is a precision that users ask for by name, so the answer says which half is
    # missing, the processor's or ONNX Runtime's.
    if precision == "bf16":
        has = "has" if flags.intersection(BF16_FLAGS) else "does not have"
        raise SettingsError(
            f"precision=bf16 is not offered: this processor {has} bfloat16, and ONNX "
            "Runtime has no convolution in it for any processor; use int8 or fp32"
        )


def processor_flags() -> frozenset[str]:
    """What the processor says it can do; nothing on systems that do not pass it on.

    x86 calls the line "flags", ARM "Features".
    """
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, words = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(words.split())
    return frozenset()
