"""PyTorch files read without running anything: tensors and containers are built, everything else is
a placeholder.

A PyTorch file holds a pickle, and a pickle may ask for any function of any library to be called.
This reader looks nothing up: a class or function becomes a `Placeholder` that notes what it would
have been given. A tensor becomes a `StoredTensor`, whose numbers are read from the file only when
they are asked for.
"""

from __future__ import annotations

import math
import pickle
import struct
import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from sencap.errors import CheckpointError
from sencap.json_files import shortened, shown

MAGIC = 0x1950A86A20F9469CFC6C  # the first number of a PyTorch file of before 1.6
DTYPES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}


class Reading(NamedTuple):
    """What a file holds, and every class or function that its pickle asked to be called, by its
    full name."""

    content: Any
    asked: frozenset[str]


class _Sealed(type):
    """A class that no pickle can change."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise TypeError("a pickle may not change a class")


class Placeholder(metaclass=_Sealed):
    """Stands where a pickle wants an object of a class, or the result of a function; does nothing.

    ``args`` is what the class or function would have been called with, ``state`` what the object's
    attributes would have been set from.
    """

    __slots__ = ("args", "state")
    origin: ClassVar[str] = ""
    asked: ClassVar[set[str]] = set()
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any, **_: Any) -> Placeholder:  # noqa: D102  (see the class)
        self = super().__new__(cls)
        self.args, self.state = args, None
        cls.asked.add(cls.origin)
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: object, value: object) -> None:
        """Items of a placeholder are dropped."""

    def append(self, item: object) -> None:
        """Items of a placeholder are dropped."""

    extend = add = append


class Table(dict[Any, Any], metaclass=_Sealed):
    """Stands for every kind of dict; attributes that a pickle sets on one are dropped."""

    __slots__ = ()

    def __init__(self, *args: Any) -> None:
        super().__init__(args[0] if args and isinstance(args[0], list) else ())

    def __setstate__(self, state: object) -> None: ...


class StoredTensor(metaclass=_Sealed):
    """A tensor in a file, not yet read. A pickle may give it any arguments: `tensor` checks
    them."""

    __slots__ = ("offset", "size", "storage", "stride")
    storage: Any
    offset: Any
    size: Any
    stride: Any

    def __new__(cls, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> StoredTensor:  # noqa: D102
        self = super().__new__(cls)
        self.storage, self.offset, self.size, self.stride = storage, offset, size, stride
        return self

    def __setstate__(self, state: object) -> None: ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape.

        Raises:
            CheckpointError: what the file gives for one is none.
        """
        size = self.size
        if not isinstance(size, tuple) or not all(isinstance(n, int) and n >= 0 for n in size):
            raise CheckpointError(f"{shown(size)} is no shape of a tensor")
        return size

    def tensor(self) -> Tensor:
        """The tensor itself.

        Raises:
            CheckpointError: it does not lie within its storage, or the storage is damaged.
        """
        storage = self.storage
        if not isinstance(storage, _Storage):
            raise CheckpointError("a tensor has no storage")
        shape, place = self.shape, (self.offset, self.stride)
        stride = self.stride if isinstance(self.stride, tuple) else (None,)
        if not all(isinstance(n, int) and n >= 0 for n in (self.offset, *stride)) or len(
            stride
        ) != len(shape):
            raise CheckpointError(
                f"a tensor's offset and stride in its storage make no sense: {shown(place)}"
            )
        count = math.prod(shape)
        last = self.offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        if count and (last >= storage.numel or count > storage.numel):
            raise CheckpointError(
                f"a tensor {shape} does not lie within its storage of {storage.numel}"
            )
        if storage.dtype is None:
            raise CheckpointError("a tensor is of a type that is not read here")
        if not count:
            return torch.empty(shape, dtype=storage.dtype)
        flat = torch.frombuffer(storage.read(), dtype=storage.dtype)
        return flat.as_strided(shape, stride, self.offset).clone(
            memory_format=torch.contiguous_format
        )


class _Rewrapped(metaclass=_Sealed):
    """Stands for the functions that make a parameter of a tensor: the tensor."""

    def __new__(cls, data: Any = None, *_: Any) -> Any:
        return data


class _Retyped(metaclass=_Sealed):
    """Stands for the function that makes a tensor of a subclass: the tensor."""

    def __new__(cls, function: Any = None, _: Any = None, args: Any = (), *__: Any) -> Any:
        return (
            function(*args)
            if function in (StoredTensor, _Rewrapped) and isinstance(args, tuple)
            else None
        )


_KNOWN: Mapping[str, type] = MappingProxyType(
    {
        "builtins.dict": Table,
        "collections.OrderedDict": Table,
        "collections.defaultdict": Table,
        "collections.Counter": Table,
        "builtins.set": set,
        "builtins.frozenset": frozenset,
        "torch.Size": tuple,
        "torch._utils._rebuild_tensor": StoredTensor,
        "torch._utils._rebuild_tensor_v2": StoredTensor,
        "torch._utils._rebuild_parameter": _Rewrapped,
        "torch._utils._rebuild_parameter_with_state": _Rewrapped,
        "torch._tensor._rebuild_from_type_v2": _Retyped,
    }
)


class _Span(NamedTuple):
    offset: int
    length: int
    checksum: int | None


class _Storage:
    """A run of numbers in a file; ``spans`` tells where each storage of the file lies, by its
    key."""

    __slots__ = ("dtype", "key", "numel", "path", "spans")

    def __init__(
        self, path: Path, spans: dict[str, _Span], key: str, dtype: torch.dtype | None, numel: int
    ) -> None:
        self.path, self.spans, self.key, self.dtype, self.numel = path, spans, key, dtype, numel

    def __setstate__(self, state: object) -> None: ...

    def read(self) -> bytearray:
        """Its bytes."""
        length = self.numel * (self.dtype.itemsize if self.dtype else 0)
        span = self.spans.get(self.key)
        if span is None or span.length < length:
            raise CheckpointError(
                f"{self.path} is cut short or damaged: storage {self.key!r} is not whole"
            )
        with self.path.open("rb") as file:
            file.seek(span.offset)
            content = bytearray(file.read(span.length))
        if len(content) < span.length or (
            span.checksum is not None and zlib.crc32(content) != span.checksum
        ):
            raise CheckpointError(
                f"{self.path} is cut short or damaged: storage {self.key!r} is not whole"
            )
        return content[:length]


class _Unpickler(pickle.Unpickler):
    """Builds containers, `StoredTensor` and `Placeholder`; looks up no name of any module."""

    def __init__(self, file: IO[bytes], path: Path, spans: dict[str, _Span]) -> None:
        super().__init__(file)
        self.path, self.spans = path, spans
        self.asked: set[str] = set()
        self.storages: dict[str, _Storage] = {}
        self._placeholders: dict[str, type[Placeholder]] = {}

    def find_class(self, module: str, name: str) -> type:
        """A stand-in for the class or function of that name."""
        origin = f"{'builtins' if module == '__builtin__' else module}.{name}"
        if origin in _KNOWN:
            return _KNOWN[origin]
        if origin not in self._placeholders:
            members = {"__slots__": (), "origin": origin, "asked": self.asked}
            self._placeholders[origin] = _Sealed("Placeholder", (Placeholder,), members)  # type: ignore[assignment]
        return self._placeholders[origin]

    def persistent_load(self, pid: Any) -> Any:
        """The storage, or the class, that PyTorch keeps outside of the pickle."""
        if not isinstance(pid, tuple) or len(pid) < 2:
            raise pickle.UnpicklingError(f"an unknown persistent id: {shown(pid)}")
        kind, what = pid[:2]
        if kind == "module":
            return what
        if kind != "storage" or len(pid) < 5 or not isinstance(pid[4], int) or pid[4] < 0:
            raise pickle.UnpicklingError(f"an unknown persistent id: {shown(pid)}")
        if len(pid) > 5 and pid[5] is not None:
            raise pickle.UnpicklingError("a storage that is a view of another")
        key, origin = str(pid[2]), str(getattr(what, "origin", ""))
        dtype = DTYPES.get(origin.rpartition(".")[2])
        return self.storages.setdefault(key, _Storage(self.path, self.spans, key, dtype, pid[4]))


def read_torch_file(path: Path) -> Reading:
    """The content of a PyTorch file, of now (zip) or of before 1.6, with placeholders for all but
    tensors.

    Dicts, lists, tuples, sets, numbers and strings are themselves; a tensor is a `StoredTensor`.

    Raises:
        CheckpointError: not such a file, cut short, or damaged. The message begins with the path.
    """
    try:
        return _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged or hostile pickle may fail in any way
        raise CheckpointError(
            f"{path} is neither a safetensors file nor a PyTorch file, or it is damaged "
            f"({shortened(str(error), 200)})"
        ) from error


def _read_zip(path: Path) -> Reading:
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        pickles = [name for name in archive.namelist() if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise CheckpointError(
                f"{path} is a zip file with {len(pickles)} files data.pkl; PyTorch's has 1"
            )
        folder = pickles[0].removesuffix("data.pkl")
        order = folder + "byteorder"
        if order in archive.namelist() and archive.read(order).decode() != sys.byteorder:
            raise CheckpointError(f"{path} was written on a machine of another byte order")
        spans = {
            info.filename.removeprefix(f"{folder}data/"): _span(file, info)
            for info in archive.infolist()
            if info.filename.startswith(f"{folder}data/")
            and info.compress_type == zipfile.ZIP_STORED
        }
        with archive.open(pickles[0]) as pickled:
            reader = _Unpickler(pickled, path, spans)
            content = reader.load()
        return Reading(content, frozenset(reader.asked))


def _span(file: IO[bytes], info: zipfile.ZipInfo) -> _Span:
    file.seek(info.header_offset + 26)
    name, extra = struct.unpack("<HH", file.read(4))
    return _Span(info.header_offset + 30 + name + extra, info.file_size, info.CRC)


def _read_legacy(path: Path) -> Reading:
    spans: dict[str, _Span] = {}
    with path.open("rb") as file:
        head = _Unpickler(file, path, spans)
        if head.load() != MAGIC:
            asked = (
                f" that asks to call {shortened(', '.join(sorted(head.asked)), 200)}"
                if head.asked
                else ""
            )
            raise CheckpointError(
                f"{path} is a plain pickle{asked}, no PyTorch file; nothing of it was run"
            )
        for _ in ("protocol version", "machine"):
            _Unpickler(file, path, spans).load()
        reader = _Unpickler(file, path, spans)
        content = reader.load()
        for key in _Unpickler(file, path, spans).load():
            (numel,) = struct.unpack("<q", file.read(8))
            dtype = reader.storages[key].dtype
            if dtype is None or numel < 0:
                raise CheckpointError(f"{path} holds a storage of a type that is not read here")
            spans[key] = _Span(file.tell(), numel * dtype.itemsize, None)
            file.seek(spans[key].length, 1)
    return Reading(content, frozenset(reader.asked))
