"""Scans over HTTP: jobs with progress, whose result is what `sencap.scan` says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

pytest.importorskip("rasterio", reason="needs the extra geo")

from sencap.images import read_image
from sencap.scenes import ScanSettings, scan
from serving_tools import HOUSES, Serve, files_of, png
from tiny_rasters import Write, write  # noqa: F401  (a fixture)

SMALL = {"side": "64", "overlap": "0"}


@pytest.fixture
def scene(write: Write) -> tuple[Path, Path]:  # noqa: F811
    """Two rasters of 3 × 2 windows of 64 pixels."""
    before, after = (
        np.tile(read_image(path), (1, 1, 1))[:, :128, :192] for path in HOUSES
    )
    return write("before.tif", before), write("after.tif", after)


def finished(client: TestClient, job: dict[str, Any]) -> dict[str, Any]:
    for _ in range(500):
        state: dict[str, Any] = client.get(f"/scan/{job['id']}").json()
        if state["state"] not in ("waiting", "running"):
            return state
        time.sleep(0.01)
    pytest.fail("the scan took too long")


def test_a_scan_is_a_job_with_progress_and_a_map(
    client: TestClient, scene: tuple[Path, Path]
) -> None:
    started = client.post("/scan", files=files_of(*scene), data=SMALL)
    assert started.status_code == 202
    job = started.json()
    assert started.headers["location"].endswith(f"/scan/{job['id']}")
    state = finished(client, job)
    assert (state["state"], state["done"], state["total"]) == ("finished", 6, 6)
    found = client.get(f"/scan/{job['id']}/result").json()
    settings = ScanSettings(side=64, overlap=0, crs="EPSG:4326")
    rows = list(scan(*scene, settings=settings))
    assert found["type"] == "FeatureCollection"
    assert (found["windows"], found["placed"], found["pixels"]) == (6, True, [192, 128])
    captions = [one["properties"]["caption"] for one in found["features"]]
    assert captions == [row.caption for row in rows]
    corner = found["features"][0]["geometry"]["coordinates"][0][0]
    assert corner == pytest.approx(rows[0].polygon[0])
    assert client.delete(f"/scan/{job['id']}").status_code == 204
    assert client.get(f"/scan/{job['id']}").status_code == 404


def test_images_without_a_place_are_scanned_in_pixels(client: TestClient) -> None:
    job = client.post("/scan", files=files_of(*HOUSES), data=SMALL).json()
    assert finished(client, job)["state"] == "finished"
    found = client.get(f"/scan/{job['id']}/result").json()
    assert found["placed"] is False
    assert found["features"][0]["geometry"]["coordinates"][0][0] == [0, 0]


def test_a_scan_that_fails_says_why_without_a_path(client: TestClient) -> None:
    job = client.post("/scan", files=files_of(HOUSES[0], b"II*\0\x08\0\0\0")).json()
    state = finished(client, job)
    assert state["state"] == "failed"
    assert state["problem"].startswith("after: ")
    assert "/proc" not in state["problem"]
    answer = client.get(f"/scan/{job['id']}/result")
    assert answer.status_code == 409
    assert answer.json()["detail"] == state["problem"]


def test_a_scan_is_cancelled_and_the_next_is_served(client: TestClient) -> None:
    content = png(1500, 1500)
    job = client.post("/scan", files=files_of(content, HOUSES[0]), data=SMALL).json()
    assert client.delete(f"/scan/{job['id']}").status_code == 204
    after = client.post("/scan", files=files_of(*HOUSES), data=SMALL).json()
    assert finished(client, after)["state"] == "finished"


def test_scenes_and_scans_are_limited(serve: Serve) -> None:
    client = serve(max_scene_pixels=2000, jobs=1)
    job = client.post("/scan", files=files_of(*[png(50, 50)] * 2)).json()
    state = finished(client, job)
    assert state["problem"].startswith("before: it is 50×50 pixels, above 2,000")
    # one that failed takes no place from others, and no image is no job
    other = client.post("/scan", files=files_of(*[png(50, 50)] * 2))
    assert other.status_code == 202
    assert client.post("/scan", files=files_of(b"x", b"y")).status_code == 415


@pytest.mark.parametrize("job", ["nothing", "../info", "x" * 3000])
def test_there_is_no_such_scan(client: TestClient, job: str) -> None:
    for path in (f"/scan/{job}", f"/scan/{job}/result"):
        assert client.get(path).status_code in (200, 404) if ".." in job else 404
    assert client.delete(f"/scan/{job}").status_code in (404, 405)
