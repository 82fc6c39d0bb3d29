"""Scans of two large images, as jobs: started, asked after, fetched as GeoJSON,
cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Form, Request, Response

from sencap.predictor import Predictor
from sencap.rasters.grid import reprojected
from sencap.scenes import ScanSettings
from sencap.scenes.ground import WGS84
from sencap.scenes.rows import Row
from sencap.scenes.scanning import batches
from sencap.scenes.scene import Scene
from sencap.scenes.trained import Trained
from sencap.serving.answers import JobState, Scanned
from sencap.serving.batching import Batcher
from sencap.serving.jobs import Job, Jobs
from sencap.serving.problems import Refused
from sencap.serving.routes import WORK, ChoiceOf, ServiceOf, problems, upload_of
from sencap.serving.service import Choice, Service
from sencap.serving.uploads import UploadedPair
from sencap.structures import Caption, ImagePair

scan_router = APIRouter(responses=problems(401))


async def jobs_of(request: Request) -> Jobs:
    """The jobs of the application that a request came to."""
    return cast(Jobs, request.app.state.jobs)


JobsOf = Annotated[Jobs, Depends(jobs_of)]


@scan_router.post("/scan", status_code=202, responses=WORK)
async def start_scan(  # noqa: PLR0917  (FastAPI calls it, by names)
    service: ServiceOf,
    choice: ChoiceOf,
    pair: Annotated[UploadedPair, Depends(upload_of)],
    jobs: JobsOf,
    request: Request,
    response: Response,
    side: Annotated[
        int | None,
        Form(
            ge=32,
            le=4096,
            description="of a window, in pixels; usual: as the weights learnt",
        ),
    ] = None,
    overlap: Annotated[
        float,
        Form(
            ge=0, le=0.95, description="the share of a side that windows have in common"
        ),
    ] = 0.25,
) -> JobState:
    """Caption two large images window by window; what comes is a job to ask after."""
    settings = ScanSettings(
        weights=choice.predictor.checkpoint.path,
        beam=choice.beam,
        reading=choice.reading,
        side=side,
        overlap=overlap,
        batch_size=service.settings.batch_size,
    )
    # Windows are read from a file when their turn comes, never a scene as a whole.
    if not isinstance(pair.before.source, Path):
        raise Refused(501, "scans need Linux, where a file without a name has a path")
    # Now, so that what is no image is refused at once and not after a wait in the
    # queue.
    pair.check_kinds()
    # It has what a scan calls of a predictor, and no more.
    shared = cast(
        Predictor, _Shared(choice, service.batcher, asyncio.get_running_loop())
    )
    job = jobs.start(_work(service, pair, settings, shared))
    response.headers["Location"] = str(request.url_for("scan_state", job_id=job.id))
    return _state(job)


@scan_router.get("/scan/{job_id}", responses=problems(404))
async def scan_state(job_id: str, jobs: JobsOf) -> JobState:
    """How far a scan is."""
    return _state(jobs.get(job_id))


@scan_router.get("/scan/{job_id}/result", responses=problems(404, 409))
async def scan_result(job_id: str, jobs: JobsOf) -> Scanned:
    """What a scan found, as GeoJSON: a feature for each window with data."""
    job = jobs.get(job_id)
    if job.state != "finished":
        raise Refused(409, job.problem or f"the scan is not finished, but {job.state}")
    return cast(Scanned, job.result)


@scan_router.delete("/scan/{job_id}", status_code=204, responses=problems(404))
async def cancel_scan(job_id: str, jobs: JobsOf) -> None:
    """Cancel a scan, or forget its result."""
    jobs.cancel(job_id)


class _Shared:
    """A predictor for a job's thread, whose pairs wait in the one queue with those of
    requests."""

    def __init__(
        self, choice: Choice, batcher: Batcher, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.size = choice.predictor.size
        self._choice, self._batcher, self._loop = choice, batcher, loop

    def caption_pairs(self, pairs: Sequence[ImagePair]) -> list[Caption]:
        """See `Predictor.caption_pairs`."""
        predictor, beam = self._choice.predictor, self._choice.beam
        # All at once, so that they can become one batch. The event loop is in another
        # thread, and this one waits for it.
        asked = [
            asyncio.run_coroutine_threadsafe(
                self._batcher.caption(predictor, beam, pair), self._loop
            )
            for pair in pairs
        ]
        return [caption.result() for caption in asked]


def _work(
    service: Service, pair: UploadedPair, settings: ScanSettings, predictor: Predictor
) -> Callable[[Job], Scanned]:
    """What a scan does, in the thread of the jobs."""

    def work(job: Job) -> Scanned:
        before, after = cast(Path, pair.before.source), cast(Path, pair.after.source)
        # The result is kept in memory: a row for each window, no pixels.
        rows: list[Row] = []
        empty = 0
        with (
            pair.within(service.settings.max_scene_pixels, as_scene=True),
            Scene(before, after, settings, Trained.of(settings.weights)) as scene,
        ):
            windows = len(scene.tiling)
            job.goes_on(0, windows)
            # Between batches the job tells how far it is, and ends if it was cancelled.
            for batch in batches(scene, predictor):
                rows += batch.rows
                empty += batch.without_data
                job.goes_on(batch.end, windows)
            return Scanned(
                windows=windows,
                without_data=empty,
                changed=sum(row.changed for row in rows),
                placed=scene.grid.crs is not None,
                pixels=(scene.grid.width, scene.grid.height),
                notes=[pair.without_paths(note) for note in scene.notes],
                features=[_feature(row, scene.crs) for row in rows],
            )

    return work


def _feature(row: Row, crs: Any) -> dict[str, Any]:
    """A window as a GeoJSON feature, in degrees if its projection is known."""
    # The corners become the geometry, everything else of the row its properties.
    # GeoJSON wants longitudes and latitudes, and a ring that ends where it began.
    told = asdict(row)
    ring = [list(corner) for corner in reprojected(told.pop("polygon"), crs, WGS84)]
    geometry = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    return {"type": "Feature", "geometry": geometry, "properties": told}


def _state(job: Job) -> JobState:
    return JobState(
        id=job.id, state=job.state, done=job.done, total=job.total, problem=job.problem
    )
