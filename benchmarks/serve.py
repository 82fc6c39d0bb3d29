"""How `sencap serve` holds up: throughput of one client and of many against the
predictor alone, times of answers, memory, and what hostile requests do to it.

    python benchmarks/serve.py [--clients 50] [--seconds 120]

It starts a server of its own on the loopback. Figures are only worth comparing within
one run.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import random
import re
import subprocess
import sys
import time

import httpx2 as httpx
import numpy as np

from sencap import load
from sencap.demonstration import EXAMPLES
from sencap.images import find_pairs, read_pair

PAIRS = find_pairs(EXAMPLES)
CONTENT = [(before.read_bytes(), after.read_bytes()) for before, after, _ in PAIRS]


def files_of(before: bytes, after: bytes) -> dict[str, tuple[str, bytes]]:
    return {"before": ("a", before), "after": ("b", after)}


def hostile(chance: random.Random) -> dict[str, tuple[str, bytes]]:
    """An upload that has to be refused."""
    whole = CONTENT[0][0]
    bomb = (
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xff\xff\0\0\xff\xff\x08\x02\0\0\0"
        + b"\0" * 99
    )
    return files_of(
        whole, chance.choice([whole[:2000], bomb, b"", b"hello" * 999, whole[::-1]])
    )


async def clients(
    address: str, count: int, seconds: float, *, wrong: float = 0.0
) -> tuple[collections.Counter[int], list[float], list[tuple[float, float]]]:
    """Statuses, seconds of the good answers, and the server's memory in MB over
    time."""
    statuses: collections.Counter[int] = collections.Counter()
    times: list[float] = []
    memory: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds

    async def one(number: int) -> None:
        chance = random.Random(number)
        async with httpx.AsyncClient(timeout=60) as client:
            while time.perf_counter() < end:
                bad = chance.random() < wrong
                files = hostile(chance) if bad else files_of(*chance.choice(CONTENT))
                begin = time.perf_counter()
                if bad and chance.random() < 0.1:  # a client that goes away
                    try:
                        await client.post(
                            f"{address}caption", files=files, timeout=0.005
                        )
                    except httpx.TimeoutException:
                        statuses[499] += 1
                    continue
                answer = await client.post(f"{address}caption", files=files)
                statuses[answer.status_code] += 1
                if answer.is_success:
                    times.append(time.perf_counter() - begin)
                elif answer.status_code == 503:
                    await asyncio.sleep(float(answer.headers["retry-after"]))

    async def watch() -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            while time.perf_counter() < end:
                text = (await client.get(f"{address}metrics")).text
                found = re.search(r"^process_resident_memory_bytes (\S+)", text, re.M)
                if found:
                    memory.append((time.perf_counter(), float(found[1]) / 1e6))
                await asyncio.sleep(1)

    await asyncio.gather(watch(), *(one(number) for number in range(count)))
    return statuses, times, memory


def told(name: str, seconds: float, found: tuple) -> float:
    statuses, times, memory = found
    speed = len(times) / seconds
    p50, p95 = np.percentile(times, [50, 95]) * 1000
    megabytes = [value for _, value in memory]
    print(
        f"{name}: {speed:.1f} pairs/s, p50 {p50:.0f} ms, p95 {p95:.0f} ms, "
        f"{dict(sorted(statuses.items()))}, memory {megabytes[0]:.0f} → "
        f"{megabytes[-1]:.0f} MB"
    )
    return speed


def alone(batch: int, seconds: float) -> float:
    """Pairs a second of the predictor itself, files read beforehand."""
    predictor = load()
    pairs = [
        read_pair(before, after, size=predictor.size) for before, after, _ in PAIRS
    ]
    chosen = (pairs * batch)[:batch]
    predictor.caption_pairs(chosen)
    done, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        predictor.caption_pairs(chosen)
        done += batch
    return done / (time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120)
    given = parser.parse_args()
    begin = time.perf_counter()
    flags = ["--port", "0", "--per-client", "64", "--waiting", "64"]
    with subprocess.Popen(
        [sys.executable, "-m", "sencap", "serve", *flags],
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[-1]
            before = time.perf_counter()
            httpx.post(f"{address}caption", files=files_of(*CONTENT[0]), timeout=60)
            now = time.perf_counter()
            print(f"first answer {now - before:.2f} s after the address")
            print(f"first answer {now - begin:.2f} s after the command")
            part = given.seconds / 6
            single = told("1 client", part, asyncio.run(clients(address, 1, part)))
            many = told("16 clients", part, asyncio.run(clients(address, 16, part)))
            print(f"16 clients reach {many / single:.2f} times one client's throughput")
            mixed = asyncio.run(
                clients(address, given.clients, given.seconds, wrong=0.3)
            )
            told(f"{given.clients} clients, 3 in 10 hostile", given.seconds, mixed)
            values = np.array([value for _, value in mixed[2]])
            quarters = [quarter.mean() for quarter in np.array_split(values, 4)]
            print("memory by quarters:", [round(quarter) for quarter in quarters], "MB")
            print(
                f"last quarter against the second: {quarters[3] / quarters[1] - 1:+.1%}"
            )
        finally:
            server.terminate()
    # on the cores that the server has left
    for batch in (1, 8, 16):
        print(f"the predictor alone, {batch} at once: {alone(batch, part):.1f} pairs/s")


if __name__ == "__main__":
    main()
