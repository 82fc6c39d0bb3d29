"""Errors as problem+json (RFC 9457), in the words of sencap's own errors and without
paths of the server."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from sencap.errors import ImageError, MissingDependencyError, SencapError
from sencap.images.common import TooLargeError
from sencap.json_files import shown

_log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_ADVICE = {
    404: "there is nothing under this address; /openapi.json lists what there is",
    405: "this address is asked in another way; /openapi.json says how",
    500: "the server failed; its operator finds the reason in its log",
}


class Problem(BaseModel):
    """What went wrong, and what to do."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class Refused(HTTPException):
    """A request that is refused, with its status; ``retry_after`` in seconds."""

    def __init__(
        self, status: int, detail: str, *, retry_after: int | None = None
    ) -> None:
        headers = None if retry_after is None else {"Retry-After": str(retry_after)}
        super().__init__(status, detail, headers)


class KindError(ImageError):
    """A file that is no image of a kind that sencap reads."""


def problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The response that tells a problem."""
    told = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(told.model_dump(), status, dict(headers or {}), MEDIA_TYPE)


def status_of(error: SencapError) -> int:
    """The status of an error of our tree."""
    # The narrower classes first; whatever else is wrong with an image or a setting is
    # 422.
    if isinstance(error, TooLargeError):
        return 413
    if isinstance(error, KindError):
        return 415
    if isinstance(error, MissingDependencyError):
        return 501
    return 422


def install_problems(app: FastAPI) -> None:
    """Let an application answer with problems only."""
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_fields)
    app.add_exception_handler(SencapError, _of_sencap)
    app.add_exception_handler(Exception, _of_anything)


async def _of_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    status, detail = error.status_code, str(error.detail)
    # Starlette's own words for its own errors say less than ours.
    if not isinstance(error, Refused):
        detail = _ADVICE.get(status, detail)
    # From the form's parser, which says 400 of everything: too many fields or files, a
    # field too long, or damage.
    if status == 400:
        too_much = detail.startswith(("Too many", "Field exceeded", "Part exceeded"))
        status = 413 if too_much else 400
        detail = f"the form cannot be read: {detail}"
    return problem(status, detail, error.headers)


async def _of_fields(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return problem(422, "; ".join(_told(one) for one in error.errors()))


async def _of_sencap(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, SencapError)
    return problem(status_of(error), str(error))


async def _of_anything(_: Request, error: Exception) -> JSONResponse:
    # The reason may name paths and code, so the client does not get it.
    _log.error("error: a request failed", exc_info=error)
    return problem(500, _ADVICE[500])


def _told(error: Mapping[str, Any]) -> str:
    """What is wrong with a field, in one clause."""
    name = ".".join(str(part) for part in error["loc"] if part != "body")
    # Pydantic's words, made into the words of sencap's other errors.
    message = str(error["msg"])
    if error["type"] == "missing":
        return f"{name} is missing"
    if "UploadFile" in message:
        return f"{name} must be a file"
    wanted = message.replace("Input should be", "it must be")
    given = error.get("input")
    if not isinstance(given, str):
        return f"{name}: {wanted}"
    return f"{name} is {shown(given)}; {wanted}"
