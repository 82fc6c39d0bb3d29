"""Each limit has its status; whoever leaves frees a place; batches; token; path
prefix."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from sencap import load
from sencap.demonstration import EXAMPLES
from sencap.engines.onnx import OnnxEngine
from sencap.errors import SettingsError
from sencap.images import find_pairs, read_pair
from sencap.predictor import Predictor
from sencap.serving.batching import Batcher
from sencap.serving.jobs import Job, Jobs
from sencap.serving.problems import Refused
from sencap.serving.service import Service
from sencap.serving.settings import ServerSettings
from sencap.weights import SHIPPED
from serving_tools import HOUSES, Serve, files_of, png

OPEN = Path("/proc/self/fd")
TOKEN = "a-token-of-twenty-letters"


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return load()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Captions wait until the event is set."""
    go_on = threading.Event()
    usual = Predictor.caption_pairs

    def waiting(self: Predictor, *pairs: Any, **more: Any) -> Any:
        if "warm-up" not in [pair.name for pair in pairs[0]]:
            assert go_on.wait(10)
        return usual(self, *pairs, **more)

    monkeypatch.setattr(Predictor, "caption_pairs", waiting)
    yield go_on
    go_on.set()


def test_bytes_are_counted_whether_or_not_they_are_announced(serve: Serve) -> None:
    client = serve(max_bytes=20_000)
    files = files_of(*[b"x" * 15_000] * 2)
    announced = client.post("/caption", files=files)
    assert announced.status_code == 413
    assert announced.json()["detail"] == "a request may have 20,000 bytes: send less"
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        yield b'--x\r\nContent-Disposition: form-data; name="before"; filename="a"\r\n\r\n'
        while read < 100:
            read += 1
            yield b"y" * 1000

    kind = {"content-type": "multipart/form-data; boundary=x"}
    streamed = client.post("/caption", content=endless(), headers=kind)
    assert streamed.status_code == 413
    assert streamed.headers["content-type"] == "application/problem+json"


def test_a_length_that_is_no_number_is_no_failure_of_the_server() -> None:
    from sencap.serving.gate import Gate
    from sencap.serving.metrics import Metrics

    headers = [(b"content-type", b"multipart/form-data"), (b"content-length", b"\xb2")]
    scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
    sent: list[Any] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        sent.append(message["status"])

    asyncio.run(Gate(app, ServerSettings(), None, Metrics())(scope, receive, send))
    # The length ² is left to the count of the bytes as they come.
    assert sent == [200]


def test_pixels_and_pairs_are_limited(serve: Serve) -> None:
    client = serve(max_pixels=5000, max_pairs=2)
    assert (
        client.post("/caption", files=files_of(*[png(70, 70)] * 4)).status_code == 200
    )
    many = client.post("/caption", files=files_of(*[png(70, 70)] * 6))
    assert many.status_code == 413
    large = client.post("/caption", files=files_of(*[png(71, 71)] * 2))
    assert large.status_code == 413
    assert large.json()["detail"].startswith(
        "before: it is 71×71 pixels, above 5,000: cut it"
    )


def test_a_full_queue_is_told_with_when_to_come_back(
    serve: Serve, held: threading.Event
) -> None:
    client = serve(waiting=2, per_client=2)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        begun = [
            pool.submit(client.post, "/caption", files=files_of(*HOUSES))
            for _ in range(2)
        ]
        _until_waiting(client, 2)
        refused = client.post("/caption", files=files_of(*HOUSES))
        # looking is free
        assert client.get("/health").is_success
        held.set()
        assert all(answer.result().is_success for answer in begun)
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["detail"].startswith("2 requests of one client may wait")
    assert client.post("/caption", files=files_of(*HOUSES)).is_success


def test_too_many_clients_get_503(serve: Serve, held: threading.Event) -> None:
    client = serve(waiting=1, per_client=2)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        begun = pool.submit(client.post, "/caption", files=files_of(*HOUSES))
        _until_waiting(client, 1)
        refused = client.post("/caption", files=files_of(*HOUSES))
        held.set()
        assert begun.result().is_success
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0


def test_an_answer_that_takes_too_long_is_given_up(
    serve: Serve, held: threading.Event
) -> None:
    client = serve(timeout=1)
    answer = client.post("/caption", files=files_of(*HOUSES))
    assert answer.status_code == 503
    assert answer.json()["detail"] == "the answer was not ready within 1 s"
    assert answer.headers["retry-after"]
    _until_waiting(client, 0)
    held.set()
    assert client.post("/caption", files=files_of(*HOUSES)).is_success


def _until_waiting(client: TestClient, number: int) -> None:
    for _ in range(1000):
        if f"sencap_requests_waiting {number}.0" in client.get("/metrics").text:
            return
        threading.Event().wait(0.005)
    pytest.fail(f"there were never {number} waiting")


def test_a_token_is_asked_for(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    client = serve(token_file=str(path))
    assert {client.get(path).status_code for path in ("/", "/health", "/ready")} == {
        200
    }
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": TOKEN}):
        for answer in (
            client.post("/caption", files=files_of(*HOUSES), headers=headers),
            client.get("/info", headers=headers),
            client.get("/metrics", headers=headers),
        ):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert TOKEN not in answer.text
    right = {"authorization": f"Bearer {TOKEN}"}
    assert client.post("/caption", files=files_of(*HOUSES), headers=right).is_success
    assert client.get("/info", headers=right).json()["token"] is True


def test_pages_of_other_sites_may_not_ask(client: TestClient) -> None:
    headers = {"sec-fetch-site": "cross-site"}
    assert (
        client.post("/caption", files=files_of(*HOUSES), headers=headers).status_code
        == 403
    )
    assert client.get("/", headers=headers).is_success


def test_behind_a_prefix_the_page_asks_below_it(serve: Serve) -> None:
    client = serve(root_path="/sencap")
    assert '<base href="/sencap/">' in client.get("/").text
    assert "<base" not in serve().get("/").text
    for path in (
        "/ready",
        "/sencap/ready",
        "/sencap/static/page.js",
        "/static/page.js",
    ):
        assert client.get(path).is_success, path
    assert client.get("/sencap/openapi.json").json()["servers"] == [{"url": "/sencap"}]


def test_a_server_may_search_narrower_than_the_weights_would(serve: Serve) -> None:
    client = serve(max_beam=2)
    (told,) = client.get("/info").json()["weights"]
    said = client.post("/caption", files=files_of(*HOUSES))
    assert told["beam"] == said.json()["beam"] == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"port": 70_000}, "port is 70000"),
        ({"beam": 20}, "beam=20 is above max_beam=10"),
        ({"threshold": 1.5}, "threshold=1.5 is a probability"),
        ({"root_path": "sencap"}, "root_path='sencap' must be a path such as /sencap"),
        ({"root_path": "/a/"}, "without a slash at its end"),
        ({"root_path": '/"><script>'}, "must be a path"),
        ({"max_bytes": 3}, "max_bytes is 3"),
        ({"precision": "fp4"}, "precision"),
        ({"timeout": 0}, "timeout is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        ServerSettings(**settings)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "it does not exist"), (b"", "at least 16"), (b"short", "at least 16"),
     (b"two words that are long", "one line"), (b"\xff" * 20, "no readable text")],
)  # fmt: skip
def test_a_token_file_without_a_token_is_refused(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=words) as refused:
        ServerSettings(token_file=str(path)).token()
    assert "two words" not in str(refused.value)


def test_two_weights_of_one_name_are_refused(tmp_path: Path) -> None:
    from sencap.serving.metrics import Metrics

    other = tmp_path / SHIPPED.name
    other.symlink_to(SHIPPED)
    settings = ServerSettings(weights=f"{SHIPPED},{other}")
    with pytest.raises(SettingsError, match=f"two folders are called {SHIPPED.name}"):
        Service(settings, Metrics())


def test_requests_choose_among_weights(serve: Serve, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.symlink_to(SHIPPED)
    client = serve(weights=f"{SHIPPED},{other}")
    assert [one["name"] for one in client.get("/info").json()["weights"]] == [
        SHIPPED.name,
        "other",
    ]
    found = client.post(
        "/caption", files=files_of(*HOUSES), data={"weights": "other"}
    ).json()
    assert found["weights"] == "other"


def test_pairs_that_come_together_are_captioned_together(predictor: Predictor) -> None:
    found_pairs = find_pairs(EXAMPLES)
    pairs = [
        read_pair(one, two, size=predictor.size) for one, two, _ in found_pairs
    ] * 3
    sizes: list[int] = []

    async def all_at_once() -> list[Any]:
        async with Batcher(batch_size=8, wait=0.05, seen=sizes.append) as batcher:
            return await asyncio.gather(
                *(batcher.caption(predictor, 3, pair) for pair in pairs)
            )

    found = asyncio.run(all_at_once())
    assert sizes == [8, 8, 5]
    for caption, pair in zip(found, pairs, strict=True):
        (alone,) = predictor.caption_pairs([pair], beam=3)
        assert caption.text == alone.text
        assert caption.log_prob == pytest.approx(alone.log_prob, abs=1e-4)


def test_only_what_is_asked_alike_goes_together(predictor: Predictor) -> None:
    pair = read_pair(*HOUSES, size=predictor.size)
    sizes: list[int] = []

    async def mixed() -> list[Any]:
        async with Batcher(batch_size=8, wait=0.05, seen=sizes.append) as batcher:
            asked = [batcher.caption(predictor, beam, pair) for beam in (1, 3, 1, 3, 1)]
            return await asyncio.gather(*asked)

    found = asyncio.run(mixed())
    assert sizes == [3, 2]
    assert [len(caption.alternatives) > 0 for caption in found] == [
        False,
        True,
        False,
        True,
        False,
    ]


def test_whoever_leaves_gives_the_place_up(predictor: Predictor) -> None:
    pair = read_pair(*HOUSES, size=predictor.size)
    sizes: list[int] = []

    async def leave() -> None:
        async with Batcher(batch_size=8, wait=0.05, seen=sizes.append) as batcher:
            asked = [
                asyncio.create_task(batcher.caption(predictor, 1, pair))
                for _ in range(5)
            ]
            await asyncio.sleep(0)
            for task in asked[:3]:
                task.cancel()
            await asyncio.gather(*asked[3:])

    asyncio.run(leave())
    assert sizes == [2]


def test_one_thread_runs_the_model_whatever_is_asked(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []
    usual = OnnxEngine.encode

    def noted(self: OnnxEngine, *given: Any, **more: Any) -> Any:
        threads.append(threading.current_thread().name)
        return usual(self, *given, **more)

    monkeypatch.setattr(OnnxEngine, "encode", noted)
    for route in ("/caption", "/explain"):
        assert client.post(route, files=files_of(*HOUSES)).is_success
    # A caption is asked for twice: of a pair that is not changed for sure, in reverse
    # order too. An explanation encodes the pair once more, with its maps.
    assert [name.startswith("sencap-model") for name in threads] == [True] * 5


def test_work_alone_waits_its_turn_and_is_not_begun_for_nobody() -> None:
    go_on = threading.Event()
    begun: list[str] = []

    def first() -> str:
        begun.append("first")
        assert go_on.wait(5)
        return "done"

    async def ask() -> str:
        async with Batcher(batch_size=1, wait=0) as batcher:
            one = asyncio.create_task(batcher.alone(first))
            other = asyncio.create_task(batcher.alone(lambda: begun.append("other")))
            await asyncio.sleep(0.02)
            other.cancel()
            # Only when it is known to be gone may the thread look for what is next.
            await asyncio.gather(other, return_exceptions=True)
            go_on.set()
            return await one

    assert asyncio.run(ask()) == "done"
    assert begun == ["first"]


def test_an_error_of_the_model_is_told_to_whoever_asked_and_the_next_are_served(
    predictor: Predictor,
) -> None:
    good = read_pair(*HOUSES, size=predictor.size)
    bad = dataclasses.replace(good, images=np.zeros((2, 3, 32, 32), np.uint8))
    broken = dataclasses.replace(good)
    object.__setattr__(broken, "images", None)

    async def both() -> str:
        async with Batcher(batch_size=1, wait=0) as batcher:
            with pytest.raises(AttributeError, match="images"):
                await batcher.caption(predictor, 1, broken)
            return (await batcher.caption(predictor, 1, bad)).text

    assert asyncio.run(both())


def test_jobs_tell_how_far_they_are_and_end_when_cancelled() -> None:
    jobs = Jobs(most=2, keep=60)
    go_on = threading.Event()
    seen = threading.Event()

    def work(job: Job) -> str:
        job.goes_on(1, 3)
        seen.set()
        assert go_on.wait(5)
        job.goes_on(2, 3)
        return "done"

    one, other = jobs.start(work), jobs.start(work)
    assert seen.wait(5)
    assert (one.state, one.done, one.total) == ("running", 1, 3)
    assert other.state == "waiting"
    with pytest.raises(Refused, match="2 jobs are waiting"):
        jobs.start(work)
    jobs.cancel(other.id)
    with pytest.raises(Refused, match="no such job"):
        jobs.get(other.id)
    go_on.set()
    jobs.close()
    assert (one.state, other.state) == ("cancelled", "cancelled")


def test_of_jobs_that_ended_the_newest_are_kept() -> None:
    jobs = Jobs(most=2, keep=60)
    numbers = []
    for number in range(4):
        job = jobs.start(lambda _, number=number: number)  # type: ignore[misc]
        numbers.append(job.id)
        while job.ended is None:
            time.sleep(0.001)
    assert [jobs.get(key).result for key in numbers[2:]] == [2, 3]
    with pytest.raises(Refused, match="no such job"):
        jobs.get(numbers[1])


def test_results_of_jobs_are_forgotten_in_time() -> None:
    jobs = Jobs(most=1, keep=0.01)
    job = jobs.start(lambda _: "done")
    jobs.close()
    assert job.result == "done"
    threading.Event().wait(0.02)
    with pytest.raises(Refused, match="no such job"):
        jobs.get(job.id)


@pytest.mark.skipif(not OPEN.is_dir(), reason="needs Linux's list of open files")
def test_nothing_of_a_request_is_left_open(client: TestClient) -> None:
    client.post("/caption", files=files_of(*HOUSES))
    before = len(list(OPEN.iterdir()))
    for sources in ([*HOUSES], [b"x", b"y"], [HOUSES[0], b""], [HOUSES[0]]):
        client.post("/caption", files=files_of(*sources))
        client.post("/explain", files=files_of(*sources))
    assert len(list(OPEN.iterdir())) <= before
