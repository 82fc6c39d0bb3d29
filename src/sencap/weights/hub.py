"""Checkpoints on Hugging Face's hub: fetched into its cache, and taken from there.

`huggingface_hub` does it, with its own settings: HF_HOME (where the cache lies),
HF_HUB_OFFLINE=1 (nothing is asked for), HF_ENDPOINT (another server). It is imported
when the hub is named, as it takes a third of a second.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from sencap.errors import CheckpointError, SettingsError
from sencap.extras import missing_extra
from sencap.json_files import read_json, shortened, shown
from sencap.weights.names import CONFIG, FILES, FORMAT, NEEDED, VOCABULARY

if TYPE_CHECKING:
    from huggingface_hub import CachedRevisionInfo, HfApi

_log = logging.getLogger("sencap")

MAIN = "main"  # the branch that a name without a revision means
_REPOSITORY = re.compile(
    r"(?!.*(--|\.\.))[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}"
)
_REVISION = re.compile(r"(?!.*\.\.)[A-Za-z0-9][\w./-]{0,199}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SMALL = (CONFIG, VOCABULARY)
_MOST_TOLD = 12  # files of a repository in a refusal


def parse(weights: str) -> tuple[str, str | None]:
    """Repository and revision of a name such as hub:OWNER/NAME@REVISION.

    >>> parse("hub:somebody/captioner@v1")
    ('somebody/captioner', 'v1')

    Raises:
        SettingsError: it is written wrongly.
    """
    repository, at, revision = weights.removeprefix("hub:").partition("@")
    check_repository(repository, f"weights={weights}")
    if not at:
        return repository, None
    if not _REVISION.fullmatch(revision):
        raise SettingsError(
            f"weights={weights}: {shown(revision)} is no revision; give a commit, a "
            "tag or a branch after the @, as in hub:OWNER/NAME@REVISION"
        )
    return repository, revision


def check_repository(name: str, flag: str) -> None:
    """Refuse what cannot be the name of a repository.

    Raises:
        SettingsError: with the name, and what one looks like.
    """
    if not _REPOSITORY.fullmatch(name):
        raise SettingsError(
            f"{flag}: {shown(name)} is no repository of the hub; its name is "
            "OWNER/NAME, of letters, digits, '-', '_' and '.'"
        )


@cache
def fetch(repository: str, revision: str | None) -> tuple[Path, str]:
    """The folder in the cache that holds a checkpoint of the hub, and its commit.

    Only the files of a checkpoint are fetched, the small ones first: what is no
    checkpoint of sencap is refused before its weights come. A revision that is no
    commit may mean other weights tomorrow, which is warned of.

    Raises:
        CheckpointError: no such repository or revision, no checkpoint, or the hub
            cannot be reached and the cache does not have it.
        MissingDependencyError: huggingface_hub is not installed.
    """
    name = f"hub:{repository}@{revision or MAIN}"
    with hub_errors_told(name):
        small = _snapshot(repository, revision, _SMALL)
        commit = small.name
        _check_kind(name, repository, commit, small)
        folder = _snapshot(repository, commit, FILES)
    missing = [file for file in NEEDED if not (folder / file).is_file()]
    if missing:
        raise _no_checkpoint(name, repository, commit, f"it lacks {', '.join(missing)}")
    if revision is None or not _COMMIT.fullmatch(revision):
        _log.warning(
            f"warning: {name} is a name that may come to mean other weights; today it "
            f"is commit {commit}: write hub:{repository}@{commit} to have these always"
        )
    return folder, commit


def fetch_to(repository: str, commit: str, cache: Path) -> Path:
    """The folder of a checkpoint, fetched anew into a cache of its own.

    Raises:
        CheckpointError: as `fetch`.
    """
    with hub_errors_told(f"hub:{repository}@{commit}"):
        found = api().snapshot_download(
            repository, revision=commit, allow_patterns=[*FILES], cache_dir=cache
        )
    return Path(found)


def cache_state() -> str:
    """What the hub's cache on this machine holds, and whether the hub is asked.

    Raises:
        MissingDependencyError: huggingface_hub is not installed.
    """
    api()
    from huggingface_hub import constants, scan_cache_dir  # noqa: PLC0415
    from huggingface_hub.errors import CacheNotFound  # noqa: PLC0415

    asked = (
        "not asked, as HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "asked"
    )
    place = f"{constants.HF_HUB_CACHE}; the hub is {asked}"
    try:
        held = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return f"no cache yet at {place}"
    revisions = chain.from_iterable(repo.revisions for repo in held)
    ours = sum(map(_holds_checkpoint, revisions))
    megabytes = sum(repo.size_on_disk for repo in held) / 1e6
    return (
        f"{len(held)} repositories, {megabytes:,.0f} MB, {ours} checkpoints that "
        f"may be sencap's, at {place}"
    )


def _holds_checkpoint(revision: CachedRevisionInfo) -> bool:
    names = {file.file_name for file in revision.files}
    return names.issuperset(NEEDED)


def api() -> HfApi:
    """The hub's client.

    Raises:
        MissingDependencyError: huggingface_hub is not installed.
    """
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # read as it is imported
    try:
        from huggingface_hub import HfApi  # noqa: PLC0415  (an extra)
    except ModuleNotFoundError as error:
        raise missing_extra(error, "weights on the hub") or error from error
    return HfApi(library_name="sencap")


def _snapshot(repository: str, revision: str | None, files: Sequence[str]) -> Path:
    """The folder of a revision in the cache, with those of the files that it has."""
    if revision is not None and _COMMIT.fullmatch(revision):
        # what a commit holds never changes: if it is here, nobody need be asked
        cached = _cached(repository, revision, files)
        if cached is not None:
            return cached
    found = api().snapshot_download(
        repository,
        revision=revision,
        allow_patterns=[*files],
        # two small files need no bar
        tqdm_class=_NoBar if files is _SMALL else None,
    )
    return Path(found)


class _NoBar(tqdm):  # type: ignore[type-arg]
    """A progress bar that is not shown."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        settings.pop("name", None)  # of the client's own bars
        super().__init__(*args, **{**settings, "disable": True})


def _cached(repository: str, commit: str, files: Sequence[str]) -> Path | None:
    """The folder of a commit, if the cache has all that is wanted of it."""
    from huggingface_hub.errors import LocalEntryNotFoundError  # noqa: PLC0415

    try:
        found = api().snapshot_download(
            repository, revision=commit, allow_patterns=[*files], local_files_only=True
        )
    except LocalEntryNotFoundError:
        return None
    # an older client has kept no list of what belongs to it
    needed = [Path(found) / name for name in files if name in NEEDED]
    return Path(found) if all(path.is_file() for path in needed) else None


def _check_kind(name: str, repository: str, commit: str, folder: Path) -> None:
    """Refuse a repository whose config.json is not that of a checkpoint of sencap."""
    if not (folder / CONFIG).is_file():
        raise _no_checkpoint(name, repository, commit, f"it lacks {CONFIG}")
    config = read_json(folder / CONFIG)
    form = config.get("format") if isinstance(config, dict) else None
    if form != FORMAT:
        reason = f"its {CONFIG} has format {shown(form)}, not {FORMAT!r}"
        raise _no_checkpoint(name, repository, commit, reason)


def _no_checkpoint(
    name: str, repository: str, commit: str, reason: str
) -> CheckpointError:
    """A refusal that names what the repository holds, if the hub tells."""
    try:
        files = sorted(api().list_repo_files(repository, revision=commit))
        holds = ", ".join(files[:_MOST_TOLD]) or "nothing"
        more = len(files) - _MOST_TOLD
        held = f"; it holds {holds}{f' and {more} more' if more > 0 else ''}"
    except _hub_errors():
        held = ""
    return CheckpointError(
        f"{name} is no checkpoint of sencap: {reason}{held}. One has "
        f"{', '.join(NEEDED)}. Checkpoints of SEN's authors are made into one by "
        "sencap convert"
    )


def _hub_errors() -> tuple[type[Exception], ...]:
    """What the hub's client raises where the hub, the network or a name is at fault."""
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    # the base of the errors of the HTTP library that it uses, whichever that is
    transport = HfHubHTTPError.__mro__[1]
    # RuntimeError comes of a file that one of its threads could not send
    return (OSError, ValueError, RuntimeError, transport)


@contextmanager
def hub_errors_told(name: str) -> Iterator[None]:
    """Turn the errors of the hub's client in the block into ours, about ``name``.

    Raises:
        CheckpointError: why, and what to do.
    """
    api()  # tells in one line that the client is not installed
    try:
        yield
    except _hub_errors() as error:
        raise CheckpointError(f"{name} {_reason(error)}") from error


def _reason(error: Exception) -> str:
    from huggingface_hub import constants, errors  # noqa: PLC0415

    if isinstance(error, errors.GatedRepoError):
        return (
            "is there for those who accept its terms: do so on its page on the hub, "
            "then log in with: hf auth login"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            "is not on the hub, or not for you: check OWNER/NAME; where it is "
            "private, log in with: hf auth login"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return "is not there: the repository has no such commit, tag or branch"
    if isinstance(error, errors.LocalEntryNotFoundError):
        offline = " as HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else ""
        return (
            f"is not whole in the cache ({constants.HF_HUB_CACHE}), and the hub was "
            f"not reached{offline}; fetch it once with a network, or copy the folder "
            "from another machine and name it as local:FOLDER"
        )
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return (
            f"refused you ({status}): log in with hf auth login, or set "
            "HF_TOKEN to a token that may do this"
        )
    cause = f": {error.__cause__}" if isinstance(error, RuntimeError) else ""
    lines = f"{error}{cause}".strip().splitlines() or [type(error).__name__]
    return f"failed on the hub: {shortened(lines[0])}"
