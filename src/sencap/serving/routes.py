"""The interface: captions, explanations, and what a server says of itself."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Form, Request, Response, UploadFile
from prometheus_client import CONTENT_TYPE_LATEST

from sencap.images import Reading
from sencap.images.ground import has_rasterio
from sencap.serving.answers import Captions, Explained, Info, Limits, Liveness
from sencap.serving.metrics import Metrics
from sencap.serving.problems import MEDIA_TYPE, Refused
from sencap.serving.service import Choice, Service
from sencap.serving.uploads import UploadedPair, pairs_of
from sencap.version import __version__

_SAID = {
    400: "The form cannot be read.",
    401: "The token is missing or wrong.",
    403: "A page of another site asks.",
    404: "There is none, or none any more.",
    408: "It was not sent in time.",
    409: "It is not finished.",
    413: "Too many bytes, pixels, pairs or fields.",
    415: "No form, or a file that is no image.",
    422: "A field or an image is refused, with the reason.",
    429: "Too many requests of this client wait; see Retry-After.",
    501: "This server lacks what is needed for it.",
    503: "Too many requests wait, or it took too long; see Retry-After.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of the errors of a route."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {
        status: {"description": _SAID[status], "content": content}
        for status in statuses
    }


# 404 and 409 are those of jobs alone.
WORK = problems(*sorted(set(_SAID) - {404, 409}))
router = APIRouter(responses=problems(401))


# What follows is asynchronous though nothing waits: FastAPI would else run it in
# threads.


async def service_of(request: Request) -> Service:
    """The service of the application that a request came to."""
    return cast(Service, request.app.state.service)


ServiceOf = Annotated[Service, Depends(service_of)]


async def choice_of(  # noqa: PLR0917  (FastAPI calls it, by names)
    service: ServiceOf,
    weights: Annotated[
        str | None, Form(description="their name, of those in /info")
    ] = None,
    # The upper end here is that of any server; this server's own is checked in
    # `Service.choose`.
    beam: Annotated[
        int | None, Form(ge=1, le=100, description="width of the search")
    ] = None,
    threshold: Annotated[
        float | None,
        Form(
            ge=0,
            le=1,
            description="probability of change from which a pair counts as changed",
        ),
    ] = None,
    bands: Annotated[
        str | None, Form(description="red, green and blue by number or name: 4,3,2")
    ] = None,
    scale: Annotated[
        str | None, Form(description="the values that become black and white: 0,3000")
    ] = None,
    empty: Annotated[
        float,
        Form(
            ge=0, le=1, description="a pair with a larger share without data is refused"
        ),
    ] = 0.5,
) -> Choice:
    """What a request chose beside its files."""
    reading = Reading.of_texts(bands, scale, empty)
    return service.choose(weights, beam, threshold, reading)


async def uploads_of(
    service: ServiceOf,
    before: Annotated[list[UploadFile], "the images before, PNG, JPEG, WebP or TIFF"],
    after: Annotated[list[UploadFile], "the images after, in the same order"],
) -> list[UploadedPair]:
    """The pairs that a request sent."""
    # Before the images are decoded: their numbers are checked first.
    return pairs_of(before, after, service.settings.max_pairs)


async def upload_of(
    pairs: Annotated[list[UploadedPair], Depends(uploads_of)],
) -> UploadedPair:
    """The one pair that a request sent.

    Raises:
        Refused: more than one.
    """
    if len(pairs) != 1:
        raise Refused(422, f"this takes one pair; these are {len(pairs)}")
    return pairs[0]


ChoiceOf = Annotated[Choice, Depends(choice_of)]


@router.post("/caption", responses=WORK)
async def caption(
    service: ServiceOf,
    choice: ChoiceOf,
    pairs: Annotated[list[UploadedPair], Depends(uploads_of)],
) -> Captions:
    """What changed between two images of one place, in a sentence; of one pair or of
    several."""
    return await service.captions(pairs, choice)


@router.post("/explain", name="explain", responses=WORK)
async def explanation(
    service: ServiceOf,
    choice: ChoiceOf,
    pair: Annotated[UploadedPair, Depends(upload_of)],
) -> Explained:
    """The caption of one pair, and where the decoder looked as it chose each word."""
    return await service.explained(pair, choice)


@router.get("/info", name="info")
async def server_info(service: ServiceOf) -> Info:
    """Version, weights and limits of this server."""
    settings = service.settings
    return Info(
        version=__version__,
        weights=service.weights(),
        threshold=settings.threshold,
        limits=Limits(
            bytes=settings.max_bytes,
            pixels=settings.max_pixels,
            pairs=settings.max_pairs,
            seconds=settings.timeout,
            beam=settings.max_beam,
            requests=settings.waiting,
            requests_of_one_client=settings.per_client,
        ),
        token=settings.token_file is not None,
        georeferences=has_rasterio(),
    )


@router.get("/health")
async def health() -> Liveness:
    """The server lives."""
    return Liveness(status="lives")


@router.get("/ready", responses=problems(503))
async def ready(service: ServiceOf) -> Liveness:
    """The weights are loaded, and requests are taken."""
    if not service.ready:
        raise Refused(503, "the server is starting or ending: try again", retry_after=2)
    return Liveness(status="ready")


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    found = cast(Metrics, request.app.state.metrics)
    return Response(found.text(), media_type=CONTENT_TYPE_LATEST)
