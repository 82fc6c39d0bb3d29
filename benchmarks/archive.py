"""How fast `sencap archive` is beside the predictor alone, and how much memory it takes.

    python benchmarks/archive.py FOLDER speed [--pairs 384] [--rounds 3]
    python benchmarks/archive.py FOLDER cost [--pairs 256] [--workers 2]
    python benchmarks/archive.py FOLDER memory [--pairs 20000]
    python benchmarks/archive.py FOLDER ends [--pairs 300000]

FOLDER takes drawn pairs and the archives. ``speed`` captions the same files by the
predictor in one process, and by archives of 1 and 2 workers, in turns: ratios of one
round are good where the machine has other work too. The time of an archive is told with
Ray's start and without it. ``cost`` tells the seconds of a core that a pair takes, which
depends less on who else works here: those of the predictor alone, of the workers, and of
the rest of Ray. ``memory`` lists a few small pairs again and again, and tells, over the
run, what each kind of process holds. ``ends`` times what one process does at the begin
and at the end: it takes a list, whose files are not looked at, and makes the summary of
the archive that ``memory`` left.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

from sencap import caption_files, find_pairs, load
from sencap.archive.folder import Folder
from sencap.archive.summary import ArchiveSummary
from sencap.synthetic import render_pair

BLOCK = 32
PARTS = 8  # of a run, in which memory is told


def draw(folder: Path, count: int, side: int) -> list[tuple[Path, Path]]:
    """Drawn pairs as PNG files; those that are there are taken."""
    pairs = []
    for number in range(count):
        files = [
            folder / f"{side}-{number:04d}_{date}.png" for date in ("before", "after")
        ]
        if not files[1].exists():
            pair = render_pair(11, number, changed=number % 3 == 0)
            for file, image in zip(files, (pair.before, pair.after), strict=True):
                Image.fromarray(image).resize((side, side)).save(file)
        pairs.append((files[0], files[1]))
    return pairs


def write_list(path: Path, pairs: list[tuple[Path, Path]], count: int) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "before", "after"])
        for number in range(count):
            rows.writerow(
                [f"p{number}", *map(os.path.abspath, pairs[number % len(pairs)])]
            )


def archive(
    table: Path, out: Path, workers: int, threads: int
) -> subprocess.Popen[bytes]:
    shutil.rmtree(out, ignore_errors=True)
    words = ["archive", table, "-o", out, "--workers", workers, "--threads", threads]
    words += ["--block-size", BLOCK, "--quiet"]
    return subprocess.Popen(
        [sys.executable, "-m", "sencap", *map(str, words)], stdout=subprocess.DEVNULL
    )


def speeds_of_archive(
    table: Path, out: Path, count: int, workers: int, threads: int
) -> tuple[float, float]:
    """Pairs a second of the whole command, and from the end of the first blocks on."""
    begin = time.perf_counter()
    assert archive(table, out, workers, threads).wait() == 0
    seconds = time.perf_counter() - begin
    ends = sorted(file.stat().st_mtime for file in (out / "captions").glob("*.parquet"))
    # each worker's first block has the model's start in it
    steady = (len(ends) - workers) * BLOCK / (ends[-1] - ends[workers - 1])
    return count / seconds, steady


def speed_alone(table: Path, count: int, threads: int) -> float:
    predictor = load(threads=threads)
    files = find_pairs(table)
    list(caption_files(predictor, files[:BLOCK], []))
    begin = time.perf_counter()
    assert len(list(caption_files(predictor, files, []))) == count
    return count / (time.perf_counter() - begin)


def speed(folder: Path, count: int, rounds: int) -> None:
    table = folder / "speed.csv"
    write_list(table, draw(folder, min(count, 96), 256), count)
    kinds = {"1 worker": (1, 1), "2 workers": (2, 1), "1 worker, 2 threads": (1, 2)}
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds):
        for threads in (1, 2):
            found[f"alone, {threads} threads"].append(
                speed_alone(table, count, threads)
            )
        for name, (workers, threads) in kinds.items():
            whole, steady = speeds_of_archive(
                table, folder / "speed", count, workers, threads
            )
            found[f"{name}, with Ray's start"].append(whole)
            found[name].append(steady)
        told = {name: round(values[-1], 1) for name, values in found.items()}
        print(f"round {number + 1}:", told, flush=True)
    for one, other in [
        ("1 worker", "alone, 1 threads"),
        ("1 worker, 2 threads", "alone, 2 threads"),
        ("2 workers", "alone, 2 threads"),
        ("2 workers", "1 worker"),
    ]:
        ratios = [a / b for a, b in zip(found[one], found[other], strict=True)]
        told = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{one} / {other}: {statistics.median(ratios):.2f} ({told})")
    for name, values in found.items():
        print(f"{name}: {statistics.median(values):.1f} pairs/s")


def below(parent: int) -> dict[int, str]:
    """A process and what it has started, with the kind of each."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                status = (entry / "status").read_text()
                title = (entry / "cmdline").read_bytes().split(b"\0")[0].decode()
            except OSError:
                continue
            found = re.search(r"^PPid:\s*([0-9]+)", status, re.MULTILINE)
            assert found is not None
            parents[int(entry.name)], names[int(entry.name)] = int(found[1]), title
    family = {parent}
    while more := {one for one, above in parents.items() if above in family} - family:
        family |= more
    kinds = {}
    for one in family:
        is_worker = names.get(one, "").startswith("ray::MapWorker")
        kinds[one] = "worker" if is_worker else "rest of Ray"
    kinds[parent] = "command"
    return kinds


def worked(parent: int) -> dict[str, float]:
    """Seconds of a core that processes have used, by kind."""
    seconds: dict[str, float] = defaultdict(float)
    for one, kind in below(parent).items():
        try:
            words = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        seconds[kind] += (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    return seconds


def cost(folder: Path, count: int, workers: int) -> None:
    table = folder / "cost.csv"
    write_list(table, draw(folder, min(count, 96), 256), count)
    predictor = load(threads=1)
    files = find_pairs(table)
    list(caption_files(predictor, files[:BLOCK], []))
    begin = time.process_time()
    list(caption_files(predictor, files, []))
    alone = (time.process_time() - begin) / count
    print(f"alone: {alone * 1000:.0f} ms of a core for a pair", flush=True)
    out = folder / "cost"
    samples: list[tuple[int, dict[str, float]]] = []
    with archive(table, out, workers, 1) as run:
        while run.poll() is None:
            done = len(list((out / "captions").glob("[0-9]*.parquet"))) * BLOCK
            if done and done < count and (not samples or done > samples[-1][0]):
                samples.append((done, worked(run.pid)))
            time.sleep(0.02)
    # each worker's first block has the model's start in it
    (first, before), (last, after) = samples[workers - 1], samples[-1]
    for kind, seconds in after.items():
        one = (seconds - before[kind]) / (last - first)
        print(f"{kind}: {one * 1000:.1f} ms of a core for a pair, {one / alone:.3f}")


def held(parent: int) -> dict[str, float]:
    """Megabytes of a process and of what it has started, by kind; shared pages count by
    their share."""
    sizes: dict[str, float] = defaultdict(float)
    for one, kind in below(parent).items():
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        pss = re.search(r"^Pss:\s*([0-9]+) kB", text, re.MULTILINE)
        sizes[kind] += int(pss[1]) / 1024 if pss else 0
    return sizes


def memory(folder: Path, count: int, workers: int) -> None:
    table = folder / "memory.csv"
    write_list(table, draw(folder, 24, 64), count)
    out = folder / "memory"
    samples: list[tuple[int, dict[str, float]]] = []
    begin = time.perf_counter()
    with archive(table, out, workers, 1) as run:
        over = threading.Event()

        def watch() -> None:
            while not over.wait(2):
                done = len(list((out / "captions").glob("[0-9]*.parquet"))) * BLOCK
                samples.append((done, held(run.pid)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = run.wait()
        over.set()
        watcher.join()
    seconds = time.perf_counter() - begin
    print(f"{count:,} rows, {workers} workers: exit code {code}, {seconds:.0f} s")
    working = [(done, sizes) for done, sizes in samples if 0 < done < count]
    for part in np.array_split(np.arange(len(working)), PARTS):
        some = [working[number] for number in part]
        kinds = ("command", "worker", "rest of Ray")
        told = [
            f"{kind} {np.mean([sizes.get(kind, 0) for _, sizes in some]):.0f} MB"
            for kind in kinds
        ]
        print(f"to row {some[-1][0]:,}: {', '.join(told)}")


def ends(folder: Path, count: int) -> None:
    table, out = folder / "ends.csv", folder / "ends"
    shutil.rmtree(out, ignore_errors=True)
    write_list(
        table,
        [
            (Path(f"{place:06d}/2018.png"), Path(f"{place:06d}/2019.png"))
            for place in range(count)
        ],
        count,
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    Folder(out).begin(table, {}, 256)
    speed = count / (time.perf_counter() - begin)
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(f"taking a list of {count:,}: {speed:,.0f} rows/s, {more:.0f} MB more memory")
    done = folder / "memory"
    blocks = len(list((done / "captions").glob("[0-9]*.parquet")))
    begin = time.perf_counter()
    summary = ArchiveSummary.of(Folder(done), blocks)
    seconds = time.perf_counter() - begin
    print(f"summary of {summary.pairs:,} rows in {blocks:,} files: {seconds:.1f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("what", choices=("speed", "cost", "memory", "ends"))
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    if asked.what == "speed":
        speed(asked.folder, asked.pairs or 384, asked.rounds)
    elif asked.what == "cost":
        cost(asked.folder, asked.pairs or 256, asked.workers)
    elif asked.what == "ends":
        ends(asked.folder, asked.pairs or 300_000)
    else:
        memory(asked.folder, asked.pairs or 20_000, asked.workers)


if __name__ == "__main__":
    main()
