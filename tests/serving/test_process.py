"""The server as a process: it starts, drains on SIGTERM, and leaves nothing behind when
killed."""

from __future__ import annotations

import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2 as httpx
import pytest

from sencap.cli import main
from serving_tools import HOUSES, Start, files_of


def test_sigterm_lets_what_was_begun_finish(start: Start, tmp_path: Path) -> None:
    process, address = start("--batch-wait", "1000", "--per-client", "4")
    begin = time.perf_counter()
    assert httpx.post(f"{address}caption", files=files_of(*HOUSES)).is_success
    assert time.perf_counter() - begin < 10
    with ThreadPoolExecutor(2) as pool:
        # each waits a second for others to be captioned with
        begun = [
            pool.submit(
                httpx.post, f"{address}caption", files=files_of(*HOUSES), timeout=20
            )
            for _ in range(2)
        ]
        while "sencap_requests_waiting 2.0" not in httpx.get(f"{address}metrics").text:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        answers = [answer.result() for answer in begun]
    assert [answer.status_code for answer in answers] == [200, 200]
    _, told = process.communicate(timeout=10)
    assert process.returncode == 143
    assert "Traceback" not in told
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}health")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_server_leaves_no_file(start: Start, tmp_path: Path) -> None:
    process, address = start("--timeout", "60")
    host, port = address.removeprefix("http://").strip("/").split(":")
    # a file of 3 MB, of which the end never comes
    with socket.create_connection((host, int(port))) as slow:
        head = b"POST /caption HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n"
        kind = b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
        part = b'--b\r\nContent-Disposition: form-data; name="before"; filename="a"\r\n\r\n'
        slow.sendall(head + kind + part + b"x" * 3_000_000)
        assert httpx.get(f"{address}health").is_success  # others are served meanwhile
        process.kill()
        process.wait(10)
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_sends_slowly_is_told_so_in_time(start: Start) -> None:
    _, address = start("--timeout", "1")
    host, port = address.removeprefix("http://").strip("/").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as slow:
        head = b"POST /caption HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        slow.sendall(
            head + b"Content-Type: multipart/form-data; boundary=b\r\n\r\n3\r\n--b\r\n"
        )
        answer = slow.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 408")
    assert httpx.get(f"{address}ready").is_success


def test_a_client_that_goes_away_frees_its_place(start: Start) -> None:
    _, address = start("--batch-wait", "1000", "--waiting", "1")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{address}caption", files=files_of(*HOUSES), timeout=0.2)
    time.sleep(0.2)
    assert "sencap_requests_waiting 0.0" in httpx.get(f"{address}metrics").text
    assert 'status="499"' in httpx.get(f"{address}metrics").text


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--port 70000", "port is 70000"),
        ("--host no.such.host.invalid", "cannot be listened on"),
        ("--token-file nothing", "token_file=nothing: it does not exist"),
        ("--weights nothing", "nothing is not a checkpoint folder"),
        ("--max-byte 5", "did you mean '--max-bytes'?"),
    ],
)
def test_what_cannot_be_served_is_refused(
    flags: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *flags.split()]) == 2
    assert words in capsys.readouterr().err


def test_a_port_that_is_taken_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 2
    assert (
        f"port={port} cannot be listened on (Address already in use)"
        in capsys.readouterr().err
    )


def test_requests_do_not_grow_the_memory(start: Start) -> None:
    """The second forty of eight clients; benchmarks/serve.py asks for longer."""
    _, address = start("--batch-size", "4")
    files = files_of(*HOUSES)

    def ask(_: int) -> int:
        with httpx.Client() as client:
            return sum(
                client.post(f"{address}caption", files=files).is_success
                for _ in range(5)
            )

    memory = []
    for _ in range(2):
        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(ask, range(8))) == 40
        figures = httpx.get(f"{address}metrics").text
        memory.append(
            float(figures.split("\nprocess_resident_memory_bytes ")[1].split()[0])
        )
    assert memory[1] - memory[0] < 20e6
