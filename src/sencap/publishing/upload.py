"""Weights handed to others: card and item written, all files uploaded in one commit, and
what lies there then fetched and tried."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sencap.checkpoint_folder import read_checkpoint_folder
from sencap.demonstration import EXAMPLES
from sencap.errors import CheckpointError, SettingsError
from sencap.figures.pair import draw_pair, save_picture
from sencap.files import told_as_output, write_whole
from sencap.images import find_pairs, read_pair
from sencap.predictor import load
from sencap.publishing.about import ABOUT, read_about
from sencap.publishing.card import report_of_weights, write_card
from sencap.publishing.item import ITEM, stac_item
from sencap.structures import Caption
from sencap.weights import Weights, is_hub_name, resolve_weights
from sencap.weights.hub import api, check_repository, fetch_to, hub_errors_told
from sencap.weights.names import CARD, FILES, GRAPHS

EXAMPLE_PICTURE = "example.png"
EXAMPLE = "synthetic-houses"  # it is drawn: its picture may go anywhere


@dataclass(frozen=True)
class Pushed:
    """What became of it: the folder in which card, item and picture were written, or
    the commit in which they lie with the weights."""

    repository: str
    files: tuple[str, ...]
    caption: str
    folder: Path | None = None
    commit: str | None = None


def push(
    folder: str | Path,
    repository: str,
    *,
    reports: Sequence[str | Path],
    about: str | Path | None = None,
    private: bool = False,
    dry_run: bool = False,
    out: str | Path | None = None,
) -> Pushed:
    """Upload a checkpoint folder to OWNER/NAME on the hub, with a card and a STAC item.

    ``reports`` are of `sencap evaluate --json`, made with these weights; ``about`` is a
    YAML file of a person's words (default: about.yaml in the folder), see
    `sencap.publishing.about.AboutWeights`. With ``dry_run`` nothing is uploaded: card, item
    and picture are written into ``out`` (default: the folder's name with ``-card``,
    beside it). The folder itself stays as it is.

    After an upload the files are fetched anew, compared by SHA-256, loaded, and an
    example is captioned with them.

    Raises:
        SettingsError: a name that is none, a licence that is not set, an empty section.
        DataError: no report, or one of other weights.
        CheckpointError: a folder that is not whole or has no graphs, the hub's refusal,
            or weights that came back otherwise than they were sent.
        OutputError: what cannot be written.
        MissingDependencyError: no client of the hub.
    """
    check_repository(repository, f"repository={repository}")
    if not reports:
        raise SettingsError(
            "reports is empty: a card without scores tells nothing; give a report of "
            "sencap evaluate --json"
        )
    weights = _local(folder)
    # All that can be refused is refused before anything is written or sent.
    said = read_about(weights.folder / ABOUT if about is None else about)
    checkpoint = read_checkpoint_folder(weights.folder)
    read = [report_of_weights(path, weights) for path in reports]
    before, after = example_pair()
    caption = load(weights.folder)(before, after)
    picture = (EXAMPLE, caption, EXAMPLE_PICTURE)
    texts = {
        CARD: write_card(
            checkpoint, weights, repository, about=said, reports=read, example=picture
        ),
        ITEM: json.dumps(stac_item(checkpoint, repository, about=said), indent=2)
        + "\n",
    }
    if dry_run:
        place = weights.folder.resolve()
        target = place.with_name(f"{place.name}-card") if out is None else Path(out)
        if target.resolve() == place:
            raise SettingsError(
                f"out={target} is the checkpoint folder, whose own card would be "
                "written over; name another"
            )
        with told_as_output(target):
            target.mkdir(parents=True, exist_ok=True)
        _write(target, texts, caption)
        files = (*texts, EXAMPLE_PICTURE)
        return Pushed(repository, files, caption.text, folder=target)
    # The folder's own card stays at home: the one that was written just now is sent.
    sent = [path for path in map(weights.folder.joinpath, FILES) if path.is_file()]
    sent = [path for path in sent if path.name != CARD]
    with tempfile.TemporaryDirectory(prefix="sencap-push-") as drafts:
        _write(Path(drafts), texts, caption)
        sent += [Path(drafts) / file for file in (*texts, EXAMPLE_PICTURE)]
        commit = _upload(repository, sent, private=private)
        verify_upload(repository, commit, weights, caption)
    files = tuple(path.name for path in sent)
    return Pushed(repository, files, caption.text, commit=commit)


def example_pair() -> tuple[Path, Path]:
    """The images before and after of the pair that a card shows, which ships with
    sencap."""
    pairs = {name: (before, after) for before, after, name in find_pairs(EXAMPLES)}
    return pairs[EXAMPLE]


def _local(folder: str | Path) -> Weights:
    if is_hub_name(folder):
        raise SettingsError(
            f"folder={folder} is on the hub already; name a folder here"
        )
    weights = resolve_weights(folder)
    missing = [name for name in GRAPHS if not (weights.folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{weights.folder} has no {', '.join(missing)}, so that nobody could "
            f"caption with it without PyTorch; write them: sencap export "
            f"{weights.folder}"
        )
    return weights


def _write(folder: Path, texts: dict[str, str], caption: Caption) -> None:
    for file, text in texts.items():
        write_whole(folder / file, text)
    drawn = draw_pair(read_pair(*example_pair()), caption.text)
    save_picture(drawn, folder / EXAMPLE_PICTURE)


def _upload(repository: str, paths: Sequence[Path], *, private: bool) -> str:
    """One commit with all files; returns its hash."""
    client = api()
    with hub_errors_told(f"hub:{repository}"):
        from huggingface_hub import CommitOperationAdd  # noqa: PLC0415  (an extra)

        # None leaves a repository that is there as it is
        client.create_repo(repository, exist_ok=True, private=private or None)
        operations = [CommitOperationAdd(path.name, str(path)) for path in paths]
        done = client.create_commit(
            repository, operations, commit_message="Weights, card and item of sencap"
        )
    return str(done.oid)


def verify_upload(
    repository: str, commit: str, sent: Weights, caption: Caption
) -> None:
    """Fetch what lies on the hub into an empty place, compare it with what was sent,
    load it and caption an example with it.

    Raises:
        CheckpointError: anything that differs.
    """
    name = f"hub:{repository}@{commit}"
    with tempfile.TemporaryDirectory(prefix="sencap-verify-") as place:
        folder = fetch_to(repository, commit, Path(place))
        # An empty cache: what this machine has already would prove nothing.
        came = Weights(folder, name, repository, commit)
        if came.sha256 != sent.sha256:
            raise CheckpointError(
                f"{name} was uploaded, and came back with SHA-256 {came.sha256[:12]}… "
                f"where {sent.sha256[:12]}… was sent; push again before you tell "
                "anybody of it"
            )
        said = load(folder)(*example_pair())
    # The bytes of the weights are equal; the graphs or the vocabulary may not be.
    if said.text != caption.text:
        raise CheckpointError(
            f"{name} was uploaded, and says “{said.text}” of the example, where the "
            f"folder says “{caption.text}”; push again before you tell anybody of it"
        )
