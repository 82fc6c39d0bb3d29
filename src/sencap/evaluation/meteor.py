"""METEOR 1.5 (Denkowski and Lavie 2014): the jar aligns, the arithmetic is done here.

Why by hand: pycocoevalcap's own wrapper starts Java for every score, which takes
seconds, and gives no numbers that could be added up. Here the jar that ships inside
``pycocoevalcap`` is asked once, for the matches of every pair (its ``SCORE`` lines);
from these 23 numbers a pair, scores of pairs, of subsets and of bootstrap samples
follow in numpy. A decimal comma cannot hurt: only the jar's other command, ``EVAL``,
reads numbers the way the locale writes them. The results equal those of the wrapper (a
test).

The jar is handed all it is to read at once, both its outputs are drained, and it has a
time limit, so it cannot hang a run. Options are those of the captioning literature:
``-l en -norm``.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sencap.errors import MissingDependencyError, SencapError
from sencap.evaluation.metrics import Floats, References, Tokens, check_scorable

COLUMNS = 23
"""Numbers per pair: hypothesis and reference length, function words in each; then for
exact, stem, synonym and paraphrase matches the words matched (content words in
hypothesis and in reference, function words in each); then the number of chunks, and of
matched words in hypothesis and reference."""

# The jar's parameters for English (-l en): Denkowski and Lavie 2014, table 2.
_ALPHA, _BETA, _GAMMA, _DELTA = 0.85, 0.2, 0.6, 0.75
_MATCHERS = np.array([1.0, 0.6, 0.8, 0.6])

_INSTALL = (
    "install Java 8 or later "
    "(Debian, Ubuntu: apt-get install default-jre-headless; conda: openjdk)"
)


def meteor_statistics(
    sets: Sequence[tuple[Sequence[Tokens], References]], *, time_limit: float = 600.0
) -> list[Floats]:
    """Match the hypotheses of several lists with their references in one run of the
    jar.

    sets: lists of hypotheses, each with the references of its pairs; pairs that occur
    twice are aligned once. time_limit: seconds the jar may take in all; it starts in
    about 7 s, then aligns 1,000 pairs and more a second.
    Returns per list an array (pairs, COLUMNS); see ``meteor_from_statistics``.

    Raises:
        MissingDependencyError: Java or the jar is missing or does not start.
        SencapError: the jar runs out of time or answers something else than expected.
        ShapeError, DataError: as ``metrics.check_scorable`` does.
    """
    for hypotheses, references in sets:
        check_scorable(hypotheses, references)
    groups = [
        list(map(_line, hypotheses, references)) for hypotheses, references in sets
    ]
    # The same caption is often said of pairs with the same references, and both
    # protocols' reference rows repeat it: each request is sent once.
    unique = list(dict.fromkeys(itertools.chain.from_iterable(groups)))
    if not unique:
        return []
    row_of = {line: row for row, line in enumerate(unique)}
    rows = _align(unique, time_limit)
    found = []
    for group in groups:
        found.append(rows[[row_of[line] for line in group]])
    return found


def meteor_from_statistics(statistics: Floats) -> Floats:
    """METEOR in 0..1 of rows of statistics: (..., COLUMNS) → (...). For a corpus
    ``add_statistics`` first."""
    lengths, function = statistics[..., 0:2], statistics[..., 2:4]
    # (…, 16) → (…, matcher, content or function words, hypothesis or reference).
    matches = statistics[..., 4:20].reshape(*statistics.shape[:-1], 4, 2, 2)
    # (…, 4, 2, 2) → (…, 2): each matched word counts by its matcher (exact 1, stem 0.6,
    # synonym 0.8, paraphrase 0.6), and by δ as a content word or 1 − δ as a function
    # word.
    weighted = np.einsum(
        "...mks,m,k->...s", matches, _MATCHERS, np.array([_DELTA, 1 - _DELTA])
    )
    # What all words of a side would weigh if each had an exact match.
    size = _DELTA * (lengths - function) + (1 - _DELTA) * function
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(size > 0, weighted / size, 0.0)
        precision, recall = shares[..., 0], shares[..., 1]
        # The harmonic mean; α = 0.85 lets recall weigh more. Where either is 0 the
        # divisor is infinite and the mean 0.
        mean = 1.0 / ((1 - _ALPHA) / precision + _ALPHA / recall)
        # A chunk is a run of matched words in the same order on both sides. Many chunks
        # for the number of matches mean a shuffled sentence, which is penalised.
        chunks = np.where(_whole(statistics), 0.0, statistics[..., 20])
        fragmentation = chunks / (statistics[..., 21:23].sum(axis=-1) / 2)
        score = mean * (1 - _GAMMA * fragmentation**_BETA)
    result: Floats = np.where((precision > 0) & (recall > 0), score, 0.0)
    return result


def add_statistics(rows: Floats) -> Floats:
    """The statistics of a corpus from those of its pairs: (pairs, COLUMNS) →
    (COLUMNS,).

    A pair that matches from end to end counts as unbroken (no chunk), as it does in the
    jar.
    """
    total: Floats = summable(rows).sum(axis=0)
    return total


def summable(rows: Floats) -> Floats:
    """The rows of pairs as they enter a sum, weighted or not: (pairs, COLUMNS) → the
    same shape, a copy."""
    rows = rows.copy()
    rows[_whole(rows), 20] = 0.0
    return rows


def _whole(statistics: Floats) -> npt.NDArray[np.bool_]:
    """Where every word of both sides is matched, in one piece."""
    in_one_piece: npt.NDArray[np.bool_] = statistics[..., 20] == 1
    in_one_piece &= (statistics[..., 21:23] == statistics[..., 0:2]).all(axis=-1)
    return in_one_piece


def _line(hypothesis: Tokens, captions: Sequence[Tokens]) -> str:
    """One request. The separator and line ends cannot occur inside a caption: they
    become spaces."""
    fields = ["SCORE"]
    for caption in (*captions, hypothesis):
        words = " ".join(caption).replace("|||", " ").split()
        fields.append(" ".join(words))
    return " ||| ".join(fields)


def _align(lines: Sequence[str], time_limit: float) -> Floats:
    command = [
        _java(),
        # The locale and encoding are fixed, so that no setting of the machine changes a
        # score.
        *("-Xmx2G", "-Duser.language=en", "-Duser.country=US", "-Dfile.encoding=UTF-8"),
        *("-jar", str(_jar()), "-", "-", "-stdio", "-l", "en", "-norm"),
    ]
    request = "".join(line + "\n" for line in lines).encode()
    try:
        done = subprocess.run(
            command, input=request, capture_output=True, timeout=time_limit, check=False
        )
    except subprocess.TimeoutExpired:
        raise SencapError(
            f"METEOR did not finish {len(lines)} pairs within {time_limit:g} s and "
            "was stopped; give it more time, or look for a Java that hangs (does "
            "'java -version' answer?)"
        ) from None
    except OSError as error:
        raise MissingDependencyError(
            f"METEOR: {command[0]} does not start ({error}); {_INSTALL}"
        ) from error
    # The end of what Java complained: the last lines name the cause.
    complaint = " ".join(done.stderr.decode(errors="replace").split())[-300:]
    if done.returncode:
        raise MissingDependencyError(
            f"METEOR: {command[0]} ended with exit code {done.returncode}: "
            f"{complaint or 'no message'}; {_INSTALL}"
        )
    answers = [line.split() for line in done.stdout.decode().splitlines()]
    try:
        rows = np.array(answers, dtype=np.float64)
    except ValueError:  # words, or lines of unequal lengths
        rows = np.empty((0, 0))
    if rows.shape != (len(lines), COLUMNS):
        raise SencapError(
            f"METEOR answered {rows.shape} numbers to {len(lines)} pairs, not "
            f"{(len(lines), COLUMNS)}; its last words: "
            f"{complaint or done.stdout[-200:]!r}"
        )
    return rows


def check_meteor() -> None:
    """Whether METEOR could run, without running it.

    Raises:
        MissingDependencyError: no Java, or no jar.
    """
    _java()
    _jar()


def java_version(time_limit: float = 10.0) -> str:
    """What Java says of its version, in one line.

    Raises:
        MissingDependencyError: there is none.
        SencapError: it does not start, or does not answer.
    """
    java = _java()
    try:
        done = subprocess.run(
            [java, "-version"], capture_output=True, timeout=time_limit, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SencapError(
            f"{java} does not start or does not answer; {_INSTALL}"
        ) from error
    said = (done.stderr or done.stdout).decode(errors="replace").splitlines() or [
        "no word"
    ]
    if done.returncode:
        raise SencapError(f"{java} does not start ({said[0][:200]}); {_INSTALL}")
    return said[0]


def _java() -> str:
    java = shutil.which("java")
    home = os.environ.get("JAVA_HOME")
    if java is None and home:
        # Java installed by hand is often known by JAVA_HOME only.
        java = shutil.which("java", path=str(Path(home) / "bin"))
    if java is None:
        raise MissingDependencyError(
            "METEOR needs Java, and there is no 'java' on PATH nor under JAVA_HOME; "
            f"{_INSTALL}. The other metrics do without"
        )
    return java


def _jar() -> Path:
    package = importlib.util.find_spec("pycocoevalcap")
    folders = (package and package.submodule_search_locations) or ()
    for folder in folders:
        jar = Path(folder) / "meteor" / "meteor-1.5.jar"
        if jar.is_file():
            return jar
    raise MissingDependencyError(
        "METEOR's jar comes with the package pycocoevalcap, and that is not here; "
        "pip install pycocoevalcap"
    )
