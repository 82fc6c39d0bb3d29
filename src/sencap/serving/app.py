"""The server put together, and run."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from sencap.errors import SettingsError
from sencap.serving import page, routes, scans
from sencap.serving.gate import Gate
from sencap.serving.jobs import Jobs
from sencap.serving.metrics import Metrics
from sencap.serving.problems import Problem, install_problems
from sencap.serving.service import Service
from sencap.serving.settings import ServerSettings
from sencap.version import __version__

# Of a form, beside its files.
_FIELDS = 16
# In bytes.
_LONGEST_FIELD = 1024


def create_app(settings: ServerSettings) -> ASGIApp:
    """The application (ASGI), with its weights loaded; for a server of one's own, or
    for tests.

    Raises:
        CheckpointError, SettingsError: weights that cannot be loaded, a token file that
            holds none.
    """
    metrics = Metrics()
    token = settings.token()
    service = Service(settings, metrics)
    jobs = Jobs(most=settings.jobs, keep=60.0 * settings.keep)
    # Asked when the metrics are read, so that no job has to keep it up to date.
    metrics.jobs.set_function(lambda: jobs.unfinished)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Requests come between the two: the service warms up before the first.
        async with service:
            yield
            # In a thread: a scan that ends waits for captions, which come through this
            # loop.
            await asyncio.to_thread(jobs.close)

    app = FastAPI(
        title="sencap",
        version=__version__,
        summary="What changed between two images of one place, in a sentence.",
        # FastAPI's own pages fetch scripts from other hosts.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        form_limits={
            "max_files": 2 * settings.max_pairs,
            "max_fields": _FIELDS,
            "max_part_size": _LONGEST_FIELD,
        },
    )
    app.state.service, app.state.metrics, app.state.jobs = service, metrics, jobs
    install_problems(app)
    app.include_router(routes.router)
    app.include_router(scans.scan_router)
    page.install_page(app, settings)
    app.openapi = _with_problems(app.openapi)  # type: ignore[method-assign]
    # Outermost, so that it sees a request before FastAPI reads its body.
    gate = Gate(app, settings, token, metrics)
    return gate if settings.root_path is None else Below(gate, settings.root_path)


class Below:
    """An application shown under a path, whether a proxy takes the path away before it
    passes a request on, or leaves it."""

    def __init__(self, app: ASGIApp, root_path: str) -> None:
        self.app, self.root_path = app, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            path = scope["path"]
            # ASGI wants the whole path, the part that belongs to the proxy included.
            if not path.startswith(f"{self.root_path}/"):
                path = self.root_path + path
            scope = {**scope, "path": path, "root_path": self.root_path}
        await self.app(scope, receive, send)


def serve(
    settings: ServerSettings, tell: Callable[[str], object] | None = None
) -> None:
    """Serve the page and the interface until SIGTERM or Ctrl-C; what was begun is
    finished first.

    ``tell`` is called with the address, once it can be asked.

    Raises:
        CheckpointError, SettingsError: as `create_app`; an address that is not to be
            had.
    """
    # The address is taken before the weights are loaded, so that one that is in use is
    # told at once, and port 0 is a real number by the time it is told.
    listening = _listen(settings.host, settings.port)
    with listening:
        app = create_app(settings)
        config = uvicorn.Config(
            app,
            log_level="warning",
            # Nothing is kept of who asked what.
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=settings.timeout,
        )
        if tell is not None:
            host, port = listening.getsockname()[:2]
            # An IPv6 address stands in brackets in a URL.
            named = f"[{host}]" if ":" in host else host
            tell(f"http://{named}:{port}{settings.root_path or ''}/")
        uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:
        told = getattr(error, "strerror", None) or "there is no such host"
        # Python adds in brackets what the message below says anyway.
        reason = told.partition(" (")[0]
        raise SettingsError(
            f"host={host}, port={port} cannot be listened on ({reason}); name "
            "another, as in --port 8001"
        ) from error


def _with_problems(
    openapi: Callable[[], dict[str, Any]],
) -> Callable[[], dict[str, Any]]:
    """The OpenAPI document, with the schema of problems."""

    def document() -> dict[str, Any]:
        found = openapi()
        schemas = found.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = Problem.model_json_schema()
        return found

    return document
