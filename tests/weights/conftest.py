"""A hub on this machine, and a cache of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hub_server import Hub, running_hub
from sencap.weights import SHIPPED
from sencap.weights.names import FILES

hub_client = pytest.importorskip("huggingface_hub", reason="needs the extra hub")


@pytest.fixture(scope="session")
def shipped_files() -> dict[str, bytes]:
    """The files of the weights that ship."""
    paths = [SHIPPED / name for name in FILES]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that the client of this process asks, with an empty cache."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import disable_progress_bars

    from sencap.weights.hub import fetch

    disable_progress_bars()
    fetch.cache_clear()
    with running_hub() as server:
        # what the environment would have said, which the client reads once
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield server
    fetch.cache_clear()
