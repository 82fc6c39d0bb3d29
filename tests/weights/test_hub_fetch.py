"""Weights that are named on the hub: fetched from a server on this machine, taken from
the cache, refused, and told in what is written. No network is used."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import sencap
from hub_server import Hub, running_hub
from sencap.errors import CheckpointError, MissingDependencyError, SettingsError
from sencap.weights import SHIPPED, checkpoint_files, resolve_weights
from sencap.weights import hub as hub_module
from sencap.weights.names import FILES

EXAMPLES = Path(sencap.__file__).parent / "examples"
PAIR = [str(EXAMPLES / f"synthetic-road_{date}.png") for date in ("before", "after")]
OTHER_FILES = {
    "pytorch_model.bin": b"a pickle",
    "training_args.bin": b"another",
    "item.json": b"{}",
    "strange.onnx": b"no graph of ours",
}


def test_fetches_the_files_of_a_checkpoint_and_no_others(
    hub: Hub, shipped_files: dict[str, bytes]
) -> None:
    commit = hub.add("somebody/captioner", {**shipped_files, **OTHER_FILES})
    found = resolve_weights(f"hub:somebody/captioner@{commit}")
    assert hub.fetched() == sorted(shipped_files)
    assert {path.name for path in found.folder.iterdir()} == set(shipped_files)
    for name, content in shipped_files.items():
        assert (found.folder / name).read_bytes() == content
    assert (found.commit, found.label) == (commit, "captioner")
    assert set(shipped_files) <= set(FILES)


def test_what_was_loaded_is_told(hub: Hub, shipped_files: dict[str, bytes]) -> None:
    commit = hub.add("somebody/captioner", shipped_files)
    record = resolve_weights("hub:somebody/captioner@main").record()
    digest = hashlib.sha256(shipped_files["model.safetensors"]).hexdigest()
    assert record == {
        "name": "hub:somebody/captioner@main",
        "commit": commit,
        "sha256": digest,
    }


def test_captions_as_the_same_weights_in_a_folder(
    hub: Hub, shipped_files: dict[str, bytes]
) -> None:
    """Links of the cache do not keep ONNX Runtime from its weights."""
    hub.add("somebody/captioner", shipped_files, branch="v1")
    remote = sencap.load("hub:somebody/captioner@v1")
    assert remote(*PAIR) == sencap.load()(*PAIR)


@pytest.mark.parametrize("revision", ["", "@main", "@v1"])
def test_a_name_that_may_move_is_warned_of(
    hub: Hub,
    shipped_files: dict[str, bytes],
    revision: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logger = logging.getLogger("sencap")
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    for branch in ("main", "v1"):
        commit = hub.add("somebody/captioner", shipped_files, branch)
        hub.repositories["somebody/captioner"].branches["main"] = commit
    resolve_weights(f"hub:somebody/captioner{revision}")
    resolve_weights(f"hub:somebody/captioner{revision}")
    (line,) = [one for one in caplog.messages if "come to mean other weights" in one]
    assert f"write hub:somebody/captioner@{commit}" in line


def test_a_commit_is_not_warned_of_and_asked_for_once(
    hub: Hub, shipped_files: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    commit = hub.add("somebody/captioner", shipped_files)
    resolve_weights(f"hub:somebody/captioner@{commit}")
    hub.asked.clear()
    hub_module.fetch.cache_clear()  # as another process
    resolve_weights(f"hub:somebody/captioner@{commit}")
    assert hub.asked == []
    assert "other weights" not in caplog.text


def test_a_branch_that_moves_is_one_commit_within_a_process(
    hub: Hub, shipped_files: dict[str, bytes]
) -> None:
    first = hub.add("somebody/captioner", shipped_files)
    assert resolve_weights("hub:somebody/captioner").commit == first
    second = hub.add("somebody/captioner", {"README.md": b"other words"})
    assert resolve_weights("hub:somebody/captioner").commit == first
    hub_module.fetch.cache_clear()
    assert resolve_weights("hub:somebody/captioner").commit == second


def test_goes_on_from_the_cache_where_the_hub_is_silent(
    hub: Hub, shipped_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    commit = hub.add("somebody/captioner", shipped_files)
    resolve_weights("hub:somebody/captioner@main")
    hub_module.fetch.cache_clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked.clear()
    for revision in ("main", commit):
        found = resolve_weights(f"hub:somebody/captioner@{revision}")
        assert found.commit == commit
    assert hub.asked == []
    with pytest.raises(CheckpointError, match=r"HF_HUB_OFFLINE is set; .*local:FOLDER"):
        resolve_weights("hub:somebody/other@main")


def test_a_copied_folder_captions_without_the_hub(
    hub: Hub, shipped_files: dict[str, bytes], tmp_path: Path
) -> None:
    commit = hub.add("somebody/captioner", shipped_files)
    found = resolve_weights(f"hub:somebody/captioner@{commit}")
    copied = shutil.copytree(found.folder, tmp_path / "copied")
    hub.asked.clear()
    record = resolve_weights(f"local:{copied}").record()
    assert record == {"name": "copied", "commit": None, "sha256": found.sha256}
    assert sencap.load(f"local:{copied}")(*PAIR) == sencap.load()(*PAIR)
    assert hub.asked == []


KINDS = {
    "nothing": ({"README.md": b"hello"}, r"lacks config\.json; it holds README\.md"),
    "transformers": (
        {"config.json": b'{"model_type": "bert"}', "pytorch_model.bin": b"x"},
        r"config\.json has format None.*it holds config\.json, pytorch_model\.bin",
    ),
    "text": ({"config.json": b"[1"}, r"config\.json is not readable JSON"),
    "half": (
        {"config.json": b'{"format": "sencap-captioner-1"}', "best.pth": b"x"},
        r"lacks model\.safetensors, vocabulary\.json; it holds best\.pth, config\.json",
    ),
    "many": (
        {f"part-{number:02}.bin": b"x" for number in range(20)},
        r"part-11\.bin and 8 more",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_checkpoint_is_refused_by_what_it_holds(
    hub: Hub, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, words = KINDS[kind]
    hub.add("somebody/thing", files)
    with pytest.raises(CheckpointError, match=words):
        resolve_weights("hub:somebody/thing")
    assert not [name for name in hub.fetched() if name.endswith((".bin", ".pth"))]


def test_what_is_not_there_is_told(hub: Hub, shipped_files: dict[str, bytes]) -> None:
    hub.add("somebody/captioner", shipped_files)
    with pytest.raises(CheckpointError, match=r"is not on the hub, or not for you"):
        resolve_weights("hub:somebody/else")
    with pytest.raises(CheckpointError, match=r"no such commit, tag or branch"):
        resolve_weights("hub:somebody/captioner@v9")


@pytest.mark.parametrize(
    "name",
    [
        *("hub:", "hub:alone", "hub:a/b/c", "hub:../b", "hub:a/..", "hub:a/b@"),
        *("hub:a/b@../c", "hub:a/b@c d", "hub:a b/c", "hub:a/b?x=1", "hub://a/b"),
    ],
)
def test_a_name_that_cannot_be_is_refused_before_anything_is_asked(
    hub: Hub, name: str
) -> None:
    with pytest.raises(SettingsError, match=r"hub|revision"):
        resolve_weights(name)
    assert hub.asked == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("local:nowhere", r"nowhere is not a checkpoint folder \(it does not exist\)"),
        (f"local:{SHIPPED / 'config.json'}", r"\(it is a file\)"),
        (" ", r"weights=' ' is empty"),
    ],
)
def test_folders_that_are_none_are_refused(name: str, words: str) -> None:
    with pytest.raises((CheckpointError, SettingsError), match=words):
        resolve_weights(name)


def test_without_its_client_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'sencap\[hub\]'"):
        resolve_weights("hub:a/b")


def test_its_client_is_not_imported_for_a_folder() -> None:
    """It takes a third of a second."""
    program = (
        "import sencap, sys; sencap.load(); "
        "print([name in sys.modules for name in ('huggingface_hub', 'torch')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[False, False]\n"


def test_a_hub_that_cannot_be_reached_is_done_without(
    hub: Hub, shipped_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    commit = hub.add("somebody/captioner", shipped_files)
    resolve_weights("hub:somebody/captioner@main")
    hub_module.fetch.cache_clear()
    with socket.socket() as taken:  # bound, and never listening
        taken.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", nowhere)
        assert resolve_weights("hub:somebody/captioner@main").commit == commit
        with pytest.raises(CheckpointError, match=r"the hub was not reached; fetch it"):
            resolve_weights("hub:somebody/other@main")


def test_the_files_of_the_cache_are_inputs(
    hub: Hub, shipped_files: dict[str, bytes]
) -> None:
    """So no output is written over them."""
    hub.add("somebody/captioner", shipped_files)
    names = [path.name for path in checkpoint_files("hub:somebody/captioner")]
    assert names == sorted(shipped_files)


def test_the_command_line_fetches_then_needs_no_hub(
    shipped_files: dict[str, bytes], tmp_path: Path
) -> None:
    """As a user does it: the environment alone says where the hub and the cache are."""
    ours = re.compile("HF_|HUGGING|SENCAP")
    clean = {name: value for name, value in os.environ.items() if not ours.match(name)}
    clean |= {
        "HF_HOME": str(tmp_path),
        "HF_HUB_DISABLE_XET": "1",
        "OMP_NUM_THREADS": "1",
    }

    def caption(**environment: str) -> dict[str, object]:
        weights = ["--weights", "hub:somebody/captioner@main"]
        done = subprocess.run(
            [sys.executable, "-m", "sencap", "caption", *PAIR, *weights, "--json"],
            env=clean | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert f"is commit {commit}" in done.stderr
        found: dict[str, object] = json.loads(done.stdout)
        return found

    with running_hub() as server:
        commit = server.add("somebody/captioner", shipped_files)
        first = caption(HF_ENDPOINT=server.url)
        assert server.fetched() == sorted(shipped_files)
    second = caption(HF_ENDPOINT=server.url, HF_HUB_OFFLINE="1")
    assert first == second
    assert first["weights"] == {
        "name": "hub:somebody/captioner@main",
        "commit": commit,
        "sha256": resolve_weights(None).sha256,
    }
