"""PyTorch files read by hand, without running anything: those that PyTorch's own safe
reader refuses.

`sencap.foreign.read` gives a file to `torch.load` with ``weights_only=True`` first.
That reads tensors in plain containers. This module reads what it does not, and what
people publish all the same:

- **whole modules**: SEN's authors save their three networks as pickled objects, of
  classes that are not installed here, perhaps in the format of before PyTorch 1.6.
  Their attributes (heads, strides) are needed too, so a reader of tensors alone would
  not do;
- what a training program keeps beside the weights: Lightning's own kinds of dict,
  callbacks' classes as keys, a pickle protocol other than 2. SeCo's weights are
  published so;
- **hostile files**, in order to say what they would have called.

A pickle may ask for any function of any library to be called. This reader looks no name
up: a class or function becomes a `Placeholder`, which notes what it would have been
given and does nothing.
"""

from __future__ import annotations

import math
import pickle
import struct
import sys
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
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


class Unpickled(NamedTuple):
    """What a file holds, and every class or function that its pickle asked to be
    called, by its full name."""

    content: Any
    asked: frozenset[str]


class _Sealed(type):
    """A class that no pickle can change: it would stay changed for the next file."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise TypeError("a pickle may not change a class")


class Placeholder(metaclass=_Sealed):
    """Stands where a pickle wants an object of a class, or the result of a function;
    does nothing.

    ``args`` is what the class or function would have been called with, ``state`` what
    the object's attributes would have been set from.
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


class _Table(dict[Any, Any], metaclass=_Sealed):
    """Stands for every kind of dict; attributes that a pickle sets on one are
    dropped."""

    __slots__ = ()

    def __init__(self, *args: Any) -> None:
        super().__init__(args[0] if args and isinstance(args[0], list) else ())

    def __setstate__(self, state: object) -> None: ...


class _Storage:
    """A run of numbers in a file. ``content`` is None until it is read: in the old
    format the numbers come after the pickle."""

    __slots__ = ("content", "dtype", "numel")

    def __init__(
        self, dtype: torch.dtype | None, numel: int, content: bytearray | None
    ) -> None:
        self.dtype, self.numel, self.content = dtype, numel, content

    def __setstate__(self, state: object) -> None: ...


class StoredTensor(metaclass=_Sealed):
    """A tensor in a file, not yet made. A pickle may give it any arguments: `tensor`
    checks them."""

    __slots__ = ("offset", "size", "storage", "stride")
    storage: Any
    offset: Any
    size: Any
    stride: Any

    def __new__(  # noqa: D102
        cls, storage: Any, offset: Any, size: Any, stride: Any, *_: Any
    ) -> StoredTensor:
        self = super().__new__(cls)
        self.storage, self.offset, self.size, self.stride = (
            storage,
            offset,
            size,
            stride,
        )
        return self

    def __setstate__(self, state: object) -> None: ...

    def tensor(self) -> Tensor:
        """The tensor itself.

        Raises:
            CheckpointError: it does not lie within its storage, or the storage is
                damaged.
        """
        storage = self.storage
        if not isinstance(storage, _Storage):
            raise CheckpointError("a tensor has no storage")
        if storage.dtype is None:
            raise CheckpointError("a tensor is of a type that is not read here")
        content, count = storage.content, storage.numel
        if content is None or len(content) < count * storage.dtype.itemsize:
            raise CheckpointError(
                "the file is cut short or damaged: a storage is not whole"
            )
        flat = torch.empty(0, dtype=storage.dtype)
        if count:  # frombuffer takes no empty buffer
            flat = torch.frombuffer(content, dtype=storage.dtype, count=count)
        try:
            seen = flat.as_strided(self.size, self.stride, self.offset)
        except (TypeError, ValueError, OverflowError, RuntimeError) as error:
            # PyTorch refuses sizes that are none, and whatever is outside of the
            # storage
            raise CheckpointError(self._outside()) from error
        if math.prod(seen.shape) > len(flat):
            # steps of 0 show few numbers as a tensor of any size, which would fill the
            # memory
            raise CheckpointError(self._outside())
        return seen.contiguous()

    def _outside(self) -> str:
        return (
            f"a tensor of size {shown(self.size)}, offset {shown(self.offset)} and "
            f"stride {shown(self.stride)} does not lie within its storage of "
            f"{self.storage.numel}"
        )


class _Rewrapped(metaclass=_Sealed):
    """Stands for the functions that make a parameter of a tensor: the tensor."""

    def __new__(cls, data: Any = None, *_: Any) -> Any:
        return data


_KNOWN: Mapping[str, type] = MappingProxyType(
    {
        "builtins.dict": _Table,
        "collections.OrderedDict": _Table,
        "collections.defaultdict": _Table,
        "collections.Counter": _Table,
        "builtins.set": set,
        "builtins.frozenset": frozenset,
        "torch.Size": tuple,
        "torch._utils._rebuild_tensor": StoredTensor,
        "torch._utils._rebuild_tensor_v2": StoredTensor,
        "torch._utils._rebuild_parameter": _Rewrapped,
        "torch._utils._rebuild_parameter_with_state": _Rewrapped,
    }
)


class _Unpickler(pickle.Unpickler):
    """Builds containers, `StoredTensor` and `Placeholder`; looks up no name of any
    module."""

    def __init__(
        self, file: IO[bytes], archive: zipfile.ZipFile | None = None, root: str = ""
    ):
        super().__init__(file)
        self.archive, self.root = archive, root
        self.asked: set[str] = set()
        self.storages: dict[str, _Storage] = {}
        self._placeholders: dict[str, type[Placeholder]] = {}

    def find_class(self, module: str, name: str) -> type:
        """A stand-in for the class or function of that name, which may be one of Python
        2."""
        module, name = NAME_MAPPING.get(
            (module, name), (IMPORT_MAPPING.get(module, module), name)
        )
        origin = f"{module}.{name}"
        if origin in _KNOWN:
            return _KNOWN[origin]
        if origin not in self._placeholders:
            members = {"__slots__": (), "origin": origin, "asked": self.asked}
            self._placeholders[origin] = _Sealed("Placeholder", (Placeholder,), members)  # type: ignore[assignment]
        return self._placeholders[origin]

    def persistent_load(self, pid: Any) -> Any:
        """The storage, or the class, that PyTorch keeps outside of the pickle."""
        match pid:
            case ("module", what, *_):  # a class beside its source, in the old format
                return what
            case ("storage", what, key, _, int(numel), *view) if numel >= 0 and not any(
                view
            ):
                return self._storage(str(key), what, numel)
        # a storage that is a view of another, as PyTorch wrote before 0.4, is refused
        # too
        raise pickle.UnpicklingError(f"an unknown persistent id: {shown(pid)}")

    def _storage(self, key: str, kind: Any, numel: int) -> _Storage:
        if key not in self.storages:
            origin = str(getattr(kind, "origin", ""))
            dtype = DTYPES.get(origin.rpartition(".")[2])
            self.storages[key] = _Storage(dtype, numel, self._numbers(key))
        return self.storages[key]

    def _numbers(self, key: str) -> bytearray | None:
        """A storage's bytes in a zip file, whose checksum is compared as they are
        read."""
        if self.archive is None:
            return None
        info = self.archive.getinfo(f"{self.root}data/{key}")
        if info.compress_type != zipfile.ZIP_STORED:
            raise pickle.UnpicklingError(
                "its numbers are compressed, as PyTorch's never are"
            )
        return bytearray(self.archive.read(info))


def read_torch_file(path: Path) -> Unpickled:
    """The content of a PyTorch file, of now (zip) or of before 1.6, with placeholders
    for all but tensors.

    Dicts, lists, tuples, sets, numbers and strings are themselves; a tensor is a
    `StoredTensor`.

    Raises:
        CheckpointError: not such a file, cut short, or damaged. The message begins with
            the path.
    """
    try:
        return _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path)
    except CheckpointError:
        raise
    except Exception as error:  # a damaged or hostile pickle may fail in any way
        raise CheckpointError(
            f"{path} is neither a safetensors file nor a PyTorch file, or it is "
            f"damaged ({shortened(str(error), 200)})"
        ) from error


def _read_zip(path: Path) -> Unpickled:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickles = [name for name in names if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise CheckpointError(
                f"{path} is a zip file with {len(pickles)} files data.pkl; PyTorch's "
                "has 1"
            )
        root = pickles[0].removesuffix("data.pkl")
        order = root + "byteorder"
        if order in names and archive.read(order).decode() != sys.byteorder:
            raise CheckpointError(
                f"{path} was written on a machine of another byte order"
            )
        with archive.open(pickles[0]) as pickled:
            reader = _Unpickler(pickled, archive, root)
            content = reader.load()
        return Unpickled(content, frozenset(reader.asked))


def _read_legacy(path: Path) -> Unpickled:
    """Five pickles (magic number, version, machine, content, keys of the storages),
    then the storages in the order of their keys, each after its length."""
    with path.open("rb") as file:
        head = _Unpickler(file)
        if head.load() != MAGIC:
            asked = shortened(", ".join(sorted(head.asked)), 200)
            would = f" that asks to call {asked}" if asked else ""
            raise CheckpointError(
                f"{path} is a plain pickle{would}, no PyTorch file; nothing of it "
                "was run"
            )
        for _ in ("protocol version", "machine"):
            _Unpickler(file).load()
        reader = _Unpickler(file)
        content = reader.load()
        for key in _Unpickler(file).load():
            storage = reader.storages[key]
            (numel,) = struct.unpack("<q", file.read(8))
            if storage.dtype is None or numel < 0:
                raise CheckpointError(
                    f"{path} holds a storage of a type that is not read here"
                )
            storage.content = bytearray(file.read(numel * storage.dtype.itemsize))
    return Unpickled(content, frozenset(reader.asked))
