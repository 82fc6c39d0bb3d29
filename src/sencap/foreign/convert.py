"""Published checkpoints of captioners into a checkpoint of ours; nothing in them is run.

SEN's authors, and those of RSICCformer, PSNet and the MCCFormers of SEN's repository,
save a dict of whole modules: ``encoder_image`` (extractor), ``encoder_feat``
(difference encoder) and ``decoder``, each perhaps wrapped by torch.compile, or the state
dicts of these. Others save state dicts in dicts of their own. `sencap.foreign.inert`
reads all of them; `sencap.foreign.sen_layout` knows SEN's names, and
`sencap.foreign.peer_layouts` matches the others' modules by what they hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sencap.config import ModelSettings
from sencap.errors import CheckpointError, SettingsError
from sencap.files import check_output_folder, not_a_file
from sencap.foreign.inert import Placeholder, StoredTensor, read_torch_file
from sencap.foreign.peer_layouts import Published, peer_captioner
from sencap.foreign.pickled_modules import PickledModule, read_module
from sencap.foreign.sen_layout import sen_captioner
from sencap.foreign.word_map import read_words
from sencap.json_files import shortened
from sencap.models.captioner import Captioner
from sencap.models.checkpoint import Checkpoint, save_checkpoint
from sencap.models.export import export_checkpoint

PARTS = {
    "encoder_image": "extractor",
    "encoder_feat": "difference",
    "decoder": "decoder",
}
SEN = ("embed_img.", "channel_attn_bef.", "blocks.0.cross_attn_bef.")
# Entries beside the weights whose tensors are no weights
BESIDE = re.compile(r"optim|sched|scaler|loss|metric|args|config|cfg|epoch", re.I)
# Functions that no module needs, and that a pickle which does harm asks for
DANGEROUS = re.compile(
    r"(commands|ctypes|importlib|nt|os|posix|pty|runpy|shutil|socket|subprocess|sys"
    r"|urllib)\."
    r"|builtins\.(__import__|compile|eval|exec|execfile|open)$"
)


class Converted(NamedTuple):
    """The checkpoint made, and one line that says what it is made of and what was
    left."""

    checkpoint: Checkpoint
    message: str


def convert(
    source: Path | str,
    vocabulary: Path | str,
    out: Path | str,
    *,
    backbone: str | None = None,
) -> Converted:
    """`convert_official`, and the graphs that caption without PyTorch."""
    converted = convert_official(source, vocabulary, out, backbone=backbone)
    export_checkpoint(out)
    return converted


def convert_official(
    source: Path | str,
    vocabulary: Path | str,
    out: Path | str,
    *,
    backbone: str | None = None,
) -> Converted:
    """Write the published checkpoint ``source`` with its word map ``vocabulary`` as a
    checkpoint folder ``out``.

    The converted model gives the logits of the original, with the words' ids put in our
    order (special words first). Which system it is, is told by what the file holds.
    ``backbone`` names the weights of the frozen network (as ``extractor.init`` takes
    them) where the file has none.

    Raises:
        CheckpointError: not such a checkpoint, modules that no system of ours has, or
            another model's word map.
        SettingsError: ``out`` holds something already.
    """
    source, out = Path(source), Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SettingsError(
            f"{out} exists and is not an empty folder; name another one"
        )
    if reason := not_a_file(source):
        raise CheckpointError(f"{source} is not a file ({reason})")
    check_output_folder("out", out)
    content, asked = read_torch_file(source)
    entries = _entries(content)
    _check_entries(source, content, entries, backbone)
    try:
        made, left, reordered = _converted(
            source, entries, Path(vocabulary), out, backbone
        )
    except (CheckpointError, SettingsError) as error:
        raise CheckpointError(f"{source} cannot be converted: {error}") from error
    authors = "SEN's authors" if made.settings.system == "sen" else "its authors"
    card = f"Converted by sencap from {source.name}, a checkpoint of {authors}.\n"
    save_checkpoint(out, made, card=card)
    return Converted(made, _message(source, made, left, asked, reordered))


def _converted(
    source: Path,
    entries: Mapping[str, Any],
    vocabulary: Path,
    out: Path,
    backbone: str | None,
) -> tuple[Checkpoint, list[str], bool]:
    """The checkpoint, not yet written, what is left of the file, and whether the words
    were put in another order."""
    parts = {
        ours: read_module(theirs, entries[theirs])
        for theirs, ours in PARTS.items()
        if theirs in entries
    }
    captioner: Captioner
    settings: ModelSettings
    if _is_sen(parts):
        rows = len(parts["decoder"].tensor("vocab_embedding.weight", 2))
        words, order = read_words(vocabulary, rows)
        captioner, settings = sen_captioner(parts, order)
        left = [shortened(str(key), 60) for key in entries if key not in PARTS]
    else:
        words, order = read_words(vocabulary)
        published = _published(source.name, parts, entries)
        captioner, settings, modules = peer_captioner(
            published, order, backbone=backbone
        )
        beside = [str(key) for key in entries if parts and key not in PARTS]
        left = _few([*beside, *modules])
    reordered = order != list(range(len(words)))
    training = {"converted_from": source.name}
    made = Checkpoint(captioner, words, settings, training, out)
    return made, left, reordered


def _message(
    source: Path,
    made: Checkpoint,
    left: list[str],
    asked: frozenset[str],
    reordered: bool,
) -> str:
    n = made.captioner.settings
    sizes = f"D={n.dimension}, "
    if n.difference.layers is not None:
        sizes += f"N_e={n.difference.layers}, N_d={n.decoder.layers}, "
    system = "" if n.system == "sen" else f"{n.system}, "
    order = " (words put in another order)" if reordered else ""
    message = (
        f"{made.path}: {system}{n.extractor.backbone} to stage {n.extractor.stage}, "
        f"{sizes}V={len(made.vocabulary)}{order}; left: "
        f"{', '.join(left) or 'nothing'}"
    )
    dangerous = sorted(name for name in asked if DANGEROUS.match(name))
    if dangerous:  # told for the user's sake: nothing was called
        called = shortened(", ".join(dangerous), 200)
        message += f". BEWARE: loaded as a pickle, {source.name} would call {called}"
    return message


# What a file holds


def _entries(content: Any) -> dict[str, Any]:
    """The entries of the dict that holds the parts: the file's, one within it
    (``model``, ``state_dict``), or one state dict taken apart at its first names."""
    if not isinstance(content, dict):
        return {}
    outer = {str(key): value for key, value in content.items()}
    for held in (
        outer,
        *(value for value in outer.values() if isinstance(value, dict)),
    ):
        entries = {str(key): value for key, value in held.items()}
        if "decoder" in entries:
            return entries
        apart = _taken_apart(entries)
        if "decoder" in apart:
            return apart
    return outer


def _taken_apart(state: Mapping[str, Any]) -> dict[str, Any]:
    """decoder.wdc.weight → wdc.weight within decoder."""
    apart: dict[str, Any] = {}
    for name, value in state.items():
        first, dot, rest = name.removeprefix("module.").partition(".")
        if dot and first in PARTS:
            apart.setdefault(first, {})[rest] = value
    return apart


def _check_entries(
    source: Path, content: Any, entries: Mapping[str, Any], backbone: str | None
) -> None:
    """Refuse what holds some parts only, or nothing that could be any."""
    missing = [name for name in PARTS if name not in entries]
    optional = {"encoder_image"} if backbone is not None else set()
    some = len(missing) < len(PARTS)
    has_modules = any(isinstance(v, dict | Placeholder) for v in entries.values())
    is_state = any(isinstance(v, StoredTensor) for v in entries.values())
    if (some and {*missing} <= optional) or (not some and (has_modules or is_state)):
        return
    what = ", ".join(_few([*entries])) if entries else type(content).__name__
    raise CheckpointError(
        f"{source} is not a checkpoint of a captioner that is known here: it lacks "
        f"{', '.join(missing)}; it holds {what}. Weights of a backbone alone go "
        "to extractor.init"
    )


def _is_sen(parts: Mapping[str, PickledModule]) -> bool:
    """SEN's modules by their names, or a network that sees six channels."""
    if set(parts) != set(PARTS.values()):
        return False
    if any(name.startswith(SEN) for name in parts["difference"].tensors):
        return True
    first = next(iter(parts["extractor"].tensors.values()))
    return first.ndim == 4 and first.shape[1] == 6


def _published(
    name: str, parts: Mapping[str, PickledModule], entries: Mapping[str, Any]
) -> Published:
    if parts:
        after = {part: held for part, held in parts.items() if part != "extractor"}
        return Published(name, parts.get("extractor"), after)
    weights = {key: value for key, value in entries.items() if not BESIDE.search(key)}
    whole = read_module(name, weights)
    return Published(name, None, {"": whole})


def _few(names: list[str], most: int = 5) -> list[str]:
    """The first of many names, and how many there are more."""
    said = [shortened(name, 60) for name in names[:most]]
    if len(names) > most:
        said.append(f"{len(names) - most} more")
    return said
