"""What every request passes, before its body is read: token, limits of bytes, time and
number; and the headers that every answer gets.

It lies around the application as plain ASGI, so that it sees a body arrive and a client
go away.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sencap.serving.metrics import Metrics
from sencap.serving.problems import Refused, problem
from sencap.serving.settings import ServerSettings

# What may be seen without a token: the page, whether the server lives, no captions. The
# last two are folders.
_OPEN = ("/", "/health", "/ready", "/static/", "/examples/")
_HEADERS = {
    # The page runs its own script and style alone, and no other page may frame it:
    # whatever text comes into it, no foreign script does.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' "
        "data: blob:; connect-src 'self'; base-uri 'self'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
# The status that the metrics show where the client has gone; no answer has it.
_LEFT = 499
# Seconds after which it may be tried again: a queue is worked off quickly.
_SOON = 2


class Gate:
    """The application, behind its limits."""

    def __init__(
        self,
        app: ASGIApp,
        settings: ServerSettings,
        token: str | None,
        metrics: Metrics,
    ) -> None:
        self.app = app
        self.settings = settings
        self.token = token
        self.metrics = metrics
        # Requests at work or waiting, by the address of the client.
        self._clients: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = _LEFT
        begin = time.perf_counter()

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message)
            await send(message)

        request = Request(scope)
        try:
            # Checks that cost nothing come first, then the place in the queue, then the
            # work.
            self._check(request)
            with self._place(request):
                await self._within_time(scope, receive, answer)
        except Refused as refused:
            # An answer that has begun cannot become another one.
            if status == _LEFT:
                told = problem(refused.status_code, refused.detail, refused.headers)
                await told(scope, receive, answer)
        finally:
            # The pattern of the route, not the path that was asked: else every job
            # would get a row of its own.
            route = getattr(scope.get("route"), "path", "other")
            self.metrics.seen(route, status, time.perf_counter() - begin)

    def _check(self, request: Request) -> None:
        """Refuse what needs no look at the body."""
        headers = request.headers
        if self.token is not None and not _is_open(request.scope):
            sent = headers.get("authorization", "").encode()
            # It takes as long for a wrong first letter as for a wrong last one, so that
            # a token cannot be guessed letter by letter.
            if not secrets.compare_digest(sent, f"Bearer {self.token}".encode()):
                refused = Refused(
                    401, "send the token of this server: Authorization: Bearer TOKEN"
                )
                refused.headers = {"WWW-Authenticate": "Bearer"}
                raise refused
        # Browsers say so of a page of another site. A server on one's own machine needs
        # no token, and any page could else use it.
        if headers.get("sec-fetch-site") == "cross-site" and request.method != "GET":
            raise Refused(403, "pages of other sites may not use this server")
        if request.method == "POST":
            self._check_body(headers)

    def _check_body(self, headers: Headers) -> None:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "multipart/form-data":
            raise Refused(
                415,
                "send a form of the type multipart/form-data, with before and after",
            )
        # Too long by its own word: refused before a byte of it is read. A request that
        # says nothing, or too little, is counted as it comes. Twenty digits are enough
        # to see that a number is too large. "²" is a digit, too, but no number of ASCII.
        length = headers.get("content-length", "")
        if (
            length.isascii()
            and length.isdigit()
            and int(length[:20]) > self.settings.max_bytes
        ):
            raise self._too_many_bytes()

    def _too_many_bytes(self) -> Refused:
        return Refused(
            413, f"a request may have {self.settings.max_bytes:,} bytes: send less"
        )

    @contextmanager
    def _place(self, request: Request) -> Iterator[None]:
        """A place among those who are served, for a request that asks for work."""
        # Pages, states and results are quick, and are served in any crowd.
        if request.method != "POST":
            yield
            return
        client = request.client.host if request.client else ""
        if self._clients[client] >= self.settings.per_client:
            raise Refused(
                429,
                f"{self.settings.per_client} requests of one client may wait: send "
                "fewer at once",
                retry_after=_SOON,
            )
        if self._clients.total() >= self.settings.waiting:
            raise Refused(
                503, "too many requests are waiting: try again", retry_after=_SOON
            )
        self._clients[client] += 1
        self.metrics.waiting.inc()
        try:
            yield
        finally:
            self.metrics.waiting.dec()
            self._clients[client] -= 1
            if not self._clients[client]:
                # Else the table would grow with every address.
                del self._clients[client]

    async def _within_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application, until it has answered, the time is up, or the client has
        gone."""
        body = _Body(receive, self.settings.max_bytes, self._too_many_bytes)

        async def answer(message: Message) -> None:
            body.answered = True
            await send(message)

        # The application and the watch for a client that goes run at once; what ends
        # first decides.
        work = asyncio.ensure_future(self.app(scope, body.receive, answer))
        gone = asyncio.create_task(body.client_gone())
        try:
            done, _ = await asyncio.wait(
                {work, gone},
                timeout=self.settings.timeout,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if work in done:
                # Raises its error, if it has one.
                await work
        finally:
            # After an answer, an error, the time limit or a client that has gone alike:
            # nothing goes on unseen.
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
        if not done:
            limit = f"{self.settings.timeout} s"
            # Nothing ended in time: the client was slow to send, or the server to
            # answer.
            if not body.complete.is_set():
                raise Refused(408, f"the request was not sent within {limit}")
            raise Refused(
                503, f"the answer was not ready within {limit}", retry_after=_SOON
            )


class _Body:
    """A request's body, counted as it comes."""

    def __init__(
        self, receive: Receive, most: int, too_many: Callable[[], Refused]
    ) -> None:
        self._receive, self._most, self._too_many = receive, most, too_many
        self._bytes = 0
        self.complete = asyncio.Event()
        self.answered = False

    async def receive(self) -> Message:
        """The next piece."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._bytes += len(message.get("body", b""))
            if self._bytes > self._most:
                raise self._too_many()
            if not message.get("more_body", False):
                self.complete.set()
        return message

    async def client_gone(self) -> None:
        """Wait until the client has gone without an answer; for ever if it does not.
        What it sends before is the application's to read."""
        # Only one may read from the client at a time. Until the body is complete that
        # is the application.
        await self.complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        # A server says "disconnect" after a whole answer, too. The application is not
        # cut off then: it has to tidy up, and does not take long.
        if self.answered:
            await asyncio.Event().wait()


def _is_open(scope: Scope) -> bool:
    path = scope["path"].removeprefix(scope.get("root_path", "")) or "/"
    return path in _OPEN or path.startswith(_OPEN[-2:])


def _add_headers(message: Message) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in _HEADERS.items():
        headers[name] = value
    headers.setdefault("Cache-Control", "no-store")
