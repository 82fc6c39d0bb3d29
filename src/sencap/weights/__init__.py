"""The one place where a name of weights becomes a checkpoint folder, wherever a flag
``weights`` or a setting ``start`` is given; nothing heavy is imported.

None                         the weights that ship
best, sen                    others that ship: slower, and right more often; SEN itself
FOLDER, local:FOLDER         a checkpoint folder
hub:OWNER/NAME@REVISION      a repository of Hugging Face's hub, or its copy in the cache
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sencap.errors import CheckpointError, SettingsError
from sencap.files import not_a_file
from sencap.weights.names import NEEDED, WEIGHTS

SHIPPED = Path(__file__).parent / "siamese-lite0"
# Others that ship, by the name that is given for them.
NAMED = {
    "best": SHIPPED.with_name("siamese-lite2"),
    "sen": SHIPPED.with_name("sen-lite2"),
}
HUB_PREFIX, LOCAL_PREFIX = "hub:", "local:"


@dataclass(frozen=True)
class Weights:
    """Weights that a name led to.

    ``name`` is told in records, without the path of a folder of this machine; ``label``
    is a short name for tables and requests; ``commit`` is that of the hub.
    """

    folder: Path
    name: str
    label: str
    commit: str | None = None

    @cached_property
    def sha256(self) -> str:
        """Of model.safetensors."""
        path = self.folder / WEIGHTS
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise CheckpointError(
                f"{path} cannot be read ({not_a_file(path) or error.strerror})"
            ) from error

    def record(self) -> dict[str, Any]:
        """What was loaded, for reports: name, commit (None of a folder), sha256."""
        return {"name": self.name, "commit": self.commit, "sha256": self.sha256}


def resolve_weights(weights: str | Path | None) -> Weights:
    """What a name of weights means: None, and only None, means those that ship.

    What is on the hub is fetched, unless it is in the cache. A repository is asked for
    once in a process, so that a branch cannot move while a run goes on.

    Raises:
        SettingsError: an empty text, as an unset variable of the shell gives it, or a
            name of the hub that is written wrongly.
        CheckpointError: no folder, or no checkpoint on the hub. What a folder holds is
            for `sencap.models.checkpoint` to judge.
        MissingDependencyError: the hub is named, and huggingface_hub is not installed.
    """
    if weights is None:
        return Weights(SHIPPED, SHIPPED.name, SHIPPED.name)
    if not str(weights).strip():
        raise SettingsError(
            f"weights={weights!r} is empty; give a checkpoint folder, or leave it out"
        )
    if is_hub_name(weights):
        from sencap.weights.hub import fetch, parse  # noqa: PLC0415  (an extra)

        repository, revision = parse(str(weights))
        folder, commit = fetch(repository, revision)
        label = repository.partition("/")[2]
        return Weights(folder, str(weights), label, commit)
    folder = Path(str(weights).removeprefix(LOCAL_PREFIX))
    # A folder of that name goes first, since training writes one: runs/x/best.
    if str(weights) in NAMED and not folder.exists():
        folder = NAMED[str(weights)]
    if not folder.is_dir():
        reason = not_a_file(folder) or "it is a file"
        raise CheckpointError(
            f"{folder} is not a checkpoint folder ({reason}); it should hold "
            f"{', '.join(NEEDED)}"
        )
    name = folder.name or folder.resolve().name  # "." has none
    return Weights(folder, name, name)


def is_hub_name(weights: str | Path | None) -> bool:
    """Whether weights are named on the hub, and not as a folder."""
    return str(weights).startswith(HUB_PREFIX)


def weights_path(name: str) -> Path:
    """The path of weights of any kind: of a name of the hub or ``local:FOLDER`` the
    folder, of anything else itself.

    Raises:
        SettingsError, CheckpointError, MissingDependencyError: as `resolve_weights`.
    """
    named = is_hub_name(name) or name.startswith(LOCAL_PREFIX)
    return checkpoint_folder(name) if named else Path(name)


def checkpoint_folder(weights: str | Path | None) -> Path:
    """The folder of `resolve_weights`, which says what is raised."""
    return resolve_weights(weights).folder


def checkpoint_files(weights: str | Path | None) -> list[Path]:
    """All files in that folder, which `sencap.files.check_outputs` keeps from being
    overwritten."""
    return sorted(checkpoint_folder(weights).glob("*"))
