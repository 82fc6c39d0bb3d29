"""Captions over HTTP are the predictor's; errors are problems in words of ours."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from sencap import load
from sencap.demonstration import EXAMPLES
from sencap.explain import explain
from sencap.images import find_pairs
from sencap.predictor import Predictor
from sencap.weights import SHIPPED
from serving_tools import HOUSES, example, files_of, png
from tiny_rasters import Write, write  # noqa: F401  (a fixture)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return load()


def test_a_caption_is_the_predictors(client: TestClient, predictor: Predictor) -> None:
    answer = client.post("/caption", files=files_of(*HOUSES))
    assert answer.status_code == 200
    found, expected = answer.json(), predictor(*HOUSES)
    assert found["weights"] == SHIPPED.name
    (said,) = found["pairs"]
    assert said["caption"] == expected.text
    assert said["changed"] is True
    assert said["log_prob"] == pytest.approx(expected.log_prob, abs=1e-5)
    assert said["probability"] == pytest.approx(np.exp(expected.log_prob), abs=1e-5)
    assert said["change_probability"] == pytest.approx(
        expected.change_probability, abs=1e-5
    )
    others = [other["caption"] for other in said["alternatives"]]
    assert others == [other.text for other in expected.alternatives]
    assert said["geometry"] is None


def test_a_batch_is_answered_in_its_order(
    client: TestClient, predictor: Predictor
) -> None:
    pairs = [(before, after) for before, after, _ in find_pairs(EXAMPLES)]
    files = files_of(*[image for pair in pairs for image in pair])
    found = client.post("/caption", files=files).json()["pairs"]
    assert [said["caption"] for said in found] == [
        predictor(*pair).text for pair in pairs
    ]


def test_beam_and_threshold_are_a_requests_own(
    client: TestClient, predictor: Predictor
) -> None:
    data = {"beam": "1", "threshold": "0.4"}
    found = client.post("/caption", files=files_of(*HOUSES), data=data).json()
    assert (found["beam"], found["threshold"]) == (1, 0.4)
    assert found["pairs"][0]["caption"] == predictor(*HOUSES, beam=1).text
    strict = client.post(
        "/caption", files=files_of(*HOUSES), data={"threshold": "1"}
    ).json()
    assert strict["pairs"][0]["caption"] == "the scene is the same as before"
    usual = client.post("/caption", files=files_of(*HOUSES)).json()
    assert (usual["beam"], usual["threshold"]) == (predictor.beam, 0.5)


def test_an_explanation_says_where_each_word_looked(
    client: TestClient, predictor: Predictor
) -> None:
    found = client.post("/explain", files=files_of(*HOUSES)).json()
    expected = explain(*HOUSES, predictor)
    assert tuple(word["word"] for word in found["words"]) == expected.words
    assert expected.word_maps is not None
    for word, shares in zip(found["words"], expected.word_maps, strict=True):
        assert np.array(word["looked"]) == pytest.approx(shares * shares.size, abs=1e-3)
    assert found["before"].startswith("data:image/png;base64,")
    assert found["said"]["caption"] == expected.caption.text


def test_georeferenced_files_are_put_on_one_grid_and_tell_their_ground(
    client: TestClient,
    write: Write,  # noqa: F811
) -> None:
    pixels = np.random.default_rng(0).integers(1, 255, (3, 80, 96), dtype=np.uint8)
    before, after = write("before.tif", pixels), write("after.tif", pixels, left=16)
    (said,) = client.post("/caption", files=files_of(before, after)).json()["pairs"]
    assert said["read"]["pixels"] == [80, 80]  # what both show
    assert said["read"]["crs"] == "EPSG:32614"
    assert said["geometry"]["type"] == "Polygon"
    ring = np.array(said["geometry"]["coordinates"][0])
    assert ring.shape == (5, 2)
    # 120 km east of zone 14's middle meridian, 99° west
    assert ring[:, 0] == pytest.approx(np.full(5, -97.752), abs=2e-3)
    assert ring[:, 1] == pytest.approx(np.full(5, 30.275), abs=5e-3)


def test_what_the_server_says_of_itself(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "lives"}
    assert client.get("/ready").json() == {"status": "ready"}
    info = client.get("/info").json()
    assert [one["name"] for one in info["weights"]] == [SHIPPED.name]
    assert info["limits"]["bytes"] == 64_000_000
    client.post("/caption", files=files_of(*HOUSES))
    figures = client.get("/metrics").text
    assert 'sencap_requests_total{route="/caption",status="200"}' in figures
    assert "process_resident_memory_bytes" in figures
    assert "sencap_batch_pairs_count" in figures


def test_the_document_names_problems_and_every_route(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    routes = {"/caption", "/explain", "/health", "/ready", "/metrics", "/info"}
    assert routes <= document["paths"].keys()
    assert "Problem" in document["components"]["schemas"]
    answers = document["paths"]["/caption"]["post"]["responses"]
    assert {"200", "413", "415", "422", "429", "503"} <= answers.keys()
    assert "application/problem+json" in answers["413"]["content"]


def _cut(path: Path) -> bytes:
    return path.read_bytes()[:3000]


WRONG: list[tuple[str, list[Any], dict[str, str], int, str]] = [
    ("nothing", [], {}, 422, "before is missing; after is missing"),
    ("one file", [HOUSES[0]], {}, 422, "after is missing"),
    ("three files", [*HOUSES, HOUSES[0]], {}, 422, "2 files before and 1 after"),
    (
        "no image",
        [b"hello", b"hello"],
        {},
        415,
        "before: by its content it is no PNG, JPEG, WebP",
    ),
    (
        "markup",
        [b"<svg/>", b"<VRTDataset/>"],
        {},
        415,
        "before: by its content it is no PNG",
    ),
    ("empty", [b"", b""], {}, 422, "before: the file is empty"),
    ("cut off", [HOUSES[0], _cut(HOUSES[1])], {}, 422, "after: it is cut off"),
    ("damaged tiff", [b"II*\0\x08\0\0\0"] * 2, {}, 422, "before: it holds 0 pages"),
    ("sizes", [png(64, 64), png(64, 65)], {}, 422, "before .*64×64.* after .*65"),
    ("tiny", [png(8, 8)] * 2, {}, 422, "before: it is 8×8 pixels, but each side"),
    (
        "bomb",
        [png(4001, 4000)] * 2,
        {},
        413,
        "before: it is 4001×4000 pixels, above 16,000,000",
    ),
    (
        "beam",
        [*HOUSES],
        {"beam": "0"},
        422,
        "beam is '0'; it must be greater than or equal to 1",
    ),
    ("wide", [*HOUSES], {"beam": "99"}, 422, "beam is 99; here it may be 10 at most"),
    ("threshold", [*HOUSES], {"threshold": "nan"}, 422, "threshold"),
    (
        "weights",
        [*HOUSES],
        {"weights": SHIPPED.name[:-1]},
        422,
        f"did you mean '{SHIPPED.name}'",
    ),
    ("path", [*HOUSES], {"weights": "../../etc"}, 422, "'../../etc' are not here"),
    ("bands", [*HOUSES], {"bands": "9,9,9"}, 422, "before: .*9"),
    ("scale", [*HOUSES], {"scale": "x"}, 422, "scale='x': two numbers LOW,HIGH"),
    (
        "fields",
        [*HOUSES],
        {f"f{n}": "x" for n in range(10_000)},
        413,
        "Too many fields",
    ),
    ("long field", [*HOUSES], {"bands": "x" * 5000}, 413, "exceeded maximum size"),
]


@pytest.mark.parametrize("route", ["/caption", "/explain"])
@pytest.mark.parametrize(("name", "sources", "data", "status", "words"), WRONG)
def test_a_refusal_is_a_problem_with_its_status(
    client: TestClient,
    route: str,
    name: str,
    sources: list[Any],
    data: dict[str, str],
    status: int,
    words: str,
) -> None:
    files = files_of(*sources) or [("other", ("x", b"x", "text/plain"))]
    answer = client.post(route, files=files, data=data)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert told["status"] == status
    assert_matches(words, told["detail"])
    assert "/proc" not in answer.text
    assert "/tmp" not in answer.text
    assert "Error" not in answer.text


def assert_matches(pattern: str, text: str) -> None:
    assert re.search(pattern, text), text


def test_a_raster_of_too_many_pixels_is_refused_by_its_header(
    client: TestClient, tmp_path: Path
) -> None:
    rasterio = pytest.importorskip("rasterio", reason="needs the extra geo")
    path = tmp_path / "sparse.tif"
    transform = rasterio.Affine(1, 0, 500_000, 0, -1, 3_000_000)
    profile = {
        "driver": "GTiff",
        "width": 200_000,
        "height": 200_000,
        "count": 3,
        "tiled": True,
    }
    more = {
        "dtype": "uint8",
        "crs": "EPSG:32633",
        "transform": transform,
        "sparse_ok": True,
    }
    with rasterio.open(path, "w", **profile, **more):
        pass
    answer = client.post("/caption", files=files_of(path, path))
    assert answer.status_code == 413
    assert answer.json()["detail"].startswith(
        "before: it is 200000×200000 pixels, above"
    )


@pytest.mark.parametrize(
    "name", ["../../../etc/passwd", "a\nb\r\nX-Evil: 1", "\0", "x" * 5000]
)
def test_names_of_files_mean_nothing(client: TestClient, name: str) -> None:
    files = [(field, (name, path.read_bytes())) for field, path in _fields(HOUSES)]
    answer = client.post("/caption", files=files)
    # a name longer than a header may be is no form any more
    assert answer.status_code == (400 if len(name) > 4000 else 200)
    assert "X-Evil" not in answer.headers
    assert "etc" not in answer.text


def _fields(pair: tuple[Path, Path]) -> list[tuple[str, Path]]:
    return list(zip(("before", "after"), pair, strict=True))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/caption", 405),
        ("GET", "/static/../app.py", 404),
    ],
)
def test_wrong_addresses_are_problems_too(
    client: TestClient, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "kind", ["application/json", "image/png", "application/x-www-form-urlencoded", ""]
)
def test_another_type_of_body_is_refused(client: TestClient, kind: str) -> None:
    answer = client.post("/caption", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 415


def test_a_damaged_form_is_refused(client: TestClient) -> None:
    for kind in ("multipart/form-data", "multipart/form-data; boundary=x"):
        answer = client.post(
            "/caption", content=b"--y\r\nzz", headers={"content-type": kind}
        )
        assert answer.status_code in (400, 422)
        assert answer.headers["content-type"] == "application/problem+json"


def test_every_answer_has_the_headers_that_keep_others_out(client: TestClient) -> None:
    for answer in (client.get("/"), client.get("/info"), client.get("/nothing")):
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers


def test_json_is_written_in_ordinary_numbers(client: TestClient) -> None:
    text = client.post("/explain", files=files_of(*example("synthetic-unchanged"))).text
    json.loads(text, parse_constant=pytest.fail)


def test_another_image_kind_is_read(client: TestClient) -> None:
    content = io.BytesIO()
    Image.open(HOUSES[0]).convert("RGB").save(content, "WEBP")
    assert client.post(
        "/caption", files=files_of(content.getvalue(), HOUSES[1])
    ).is_success
