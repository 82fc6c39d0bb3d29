"""A small hub on this machine: the requests that `huggingface_hub` makes to fetch and to
push a repository of models, answered from memory. Its form follows what the client asks
for and takes; nothing here was compared with the hub itself.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from sencap.weights import SHIPPED
from sencap.weights.names import FILES

LARGE = (".safetensors", ".onnx", ".bin")  # kept by their SHA-256, as by Git LFS
Files = dict[str, bytes]


@dataclass
class Repository:
    """Commits by their hash, and what the branches point to."""

    commits: dict[str, Files] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], branch: str = "main") -> str:
        """A further commit, which changes or adds these files."""
        before = self.commits.get(self.branches.get(branch, ""), {})
        content = {**before, **files}
        told = f"{len(self.commits)} {sorted(content)}"
        name = hashlib.sha1(told.encode(), usedforsecurity=False).hexdigest()
        self.commits[name] = content
        self.branches[branch] = name
        return name

    def resolve(self, revision: str) -> str | None:
        """The commit of a revision."""
        name = self.branches.get(revision, revision)
        return name if name in self.commits else None


@dataclass
class Hub:
    """The repositories of the server, what it was sent, and what it was asked for."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    spoil: bool = False  # keep other bytes than were sent
    read_only: bool = False
    url: str = ""

    def add(self, name: str, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Commit files to a repository, which is made if it is new."""
        repository = self.repositories.setdefault(name, Repository())
        return repository.commit(files, branch)

    def fetched(self) -> list[str]:
        """The names of the files whose content was asked for."""
        found = [
            re.match(r"GET /[^/]+/[^/]+/resolve/[^/]+/(.+)", a) for a in self.asked
        ]
        return sorted({match[1] for match in found if match})


class Handler(BaseHTTPRequestHandler):
    """Answers from the hub that the class made for a server carries."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""

    def do_HEAD(self) -> None:
        self._answer_all()

    def do_GET(self) -> None:
        self._answer_all()

    def do_POST(self) -> None:
        self._answer_all()

    def do_PUT(self) -> None:
        self._answer_all()

    def _answer_all(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        body = self._body()
        for command, pattern, method in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match and self.command in command:
                getattr(self, method)(*match.groups(), body)
                return
        self._refuse(404, "EntryNotFound", f"no such route: {path}")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _send(
        self, content: bytes, status: int = 200, headers: Mapping[str, str] = {}
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, value: Any, status: int = 200) -> None:
        kind = {"Content-Type": "application/json"}
        self._send(json.dumps(value).encode(), status, kind)

    def _refuse(self, status: int, code: str, message: str) -> None:
        content = json.dumps({"error": message}).encode()
        headers = {"X-Error-Code": code, "X-Error-Message": message}
        self._send(content, status, headers)

    def _found(self, name: str, revision: str) -> tuple[str, Files] | None:
        """Commit and files of a revision; if there are none, that is answered."""
        repository = self.hub.repositories.get(name)
        if repository is None:
            self._refuse(401, "RepoNotFound", "Repository not found")
            return None
        commit = repository.resolve(revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return None
        return commit, repository.commits[commit]

    def info(self, name: str, revision: str | None, _: bytes) -> None:
        found = self._found(name, revision or "main")
        if found is not None:
            commit, files = found
            siblings = [{"rfilename": path} for path in files]
            self._json({"id": name, "sha": commit, "siblings": siblings})

    def tree(self, name: str, revision: str, _: bytes) -> None:
        found = self._found(name, revision)
        if found is None:
            return
        entries = []
        for path, content in found[1].items():
            entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content)}
            entry["oid"] = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            if path.endswith(LARGE):
                digest = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
            entries.append(entry)
        self._json(entries)

    def resolve(self, name: str, revision: str, path: str, _: bytes) -> None:
        found = self._found(name, revision)
        if found is None:
            return
        commit, files = found
        if path not in files:
            self._refuse(404, "EntryNotFound", "Entry not found")
            return
        content = files[path]
        kind = hashlib.sha256 if path.endswith(LARGE) else hashlib.sha1
        etag = f'"{kind(content).hexdigest()}"'
        headers = {"ETag": etag, "X-Repo-Commit": commit}
        if path.endswith(LARGE):
            headers |= {"X-Linked-Etag": etag, "X-Linked-Size": str(len(content))}
        self._send(content, headers=headers)

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        owner = asked.get("organization") or "somebody"
        name = f"{owner}/{asked['name']}"
        if self.hub.read_only:
            self._refuse(403, "", "You don't have the rights to create a model")
            return
        if name in self.hub.repositories:
            self._json({"url": f"{self.hub.url}/{name}"}, 409)
            return
        self.hub.add(name, {".gitattributes": b"*.onnx filter=lfs\n"})
        self._json({"url": f"{self.hub.url}/{name}", "name": name})

    def validate_yaml(self, _: bytes) -> None:
        self._json({"errors": [], "warnings": []})

    def preupload(self, name: str, revision: str, body: bytes) -> None:
        modes = []
        for file in json.loads(body)["files"]:
            mode = "lfs" if file["path"].endswith(LARGE) else "regular"
            modes.append({**file, "uploadMode": mode, "shouldIgnore": False})
        self._json({"files": modes})

    def batch(self, name: str, body: bytes) -> None:
        objects = []
        for one in json.loads(body)["objects"]:
            upload = {"href": f"{self.hub.url}/lfs/{one['oid']}"}
            verify = {"href": f"{self.hub.url}/lfs-verify"}
            objects.append({**one, "actions": {"upload": upload, "verify": verify}})
        self._json({"transfer": "basic", "objects": objects})

    def upload(self, digest: str, body: bytes) -> None:
        if hashlib.sha256(body).hexdigest() != digest:
            self._refuse(400, "", "other bytes than were announced")
            return
        self.hub.blobs[digest] = body
        self._send(b"")

    def verify(self, body: bytes) -> None:
        self._json({}, 200 if json.loads(body)["oid"] in self.hub.blobs else 404)

    def commit(self, name: str, branch: str, body: bytes) -> None:
        files: Files = {}
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            if entry["key"] == "lfsFile":
                content = self.hub.blobs[value["oid"]]
                if self.hub.spoil and value["path"].endswith(".safetensors"):
                    content = content[:-1] + bytes([content[-1] ^ 1])
                files[value["path"]] = content
        commit = self.hub.add(name, files, branch)
        url = f"{self.hub.url}/{name}/commit/{commit}"
        self._json({"success": True, "commitOid": commit, "commitUrl": url})


_NAME = r"([^/]+/[^/]+)"
_ROUTES = (
    (("GET",), rf"/api/models/{_NAME}(?:/revision/(.+))?", "info"),
    (("GET",), rf"/api/models/{_NAME}/tree/([^/]+)", "tree"),
    (("GET", "HEAD"), rf"/{_NAME}/resolve/([^/]+)/(.+)", "resolve"),
    (("POST",), r"/api/repos/create", "create"),
    (("POST",), r"/api/validate-yaml", "validate_yaml"),
    (("POST",), rf"/api/models/{_NAME}/preupload/([^/]+)", "preupload"),
    (("POST",), rf"/{_NAME}\.git/info/lfs/objects/batch", "batch"),
    (("PUT",), r"/lfs/([0-9a-f]{64})", "upload"),
    (("POST",), r"/lfs-verify", "verify"),
    (("POST",), rf"/api/models/{_NAME}/commit/([^/]+)", "commit"),
)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub that listens on the loopback until the block ends."""
    hub = Hub()
    handler = type("HubHandler", (Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


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
