"""What a server is told: typed, checked at birth, before anything heavy is imported."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sencap.bounds import check_number, check_numbers
from sencap.engines.precisions import Precision, check_precision
from sencap.errors import SettingsError
from sencap.files import not_a_file

# Characters; a shorter one could be guessed.
_SHORTEST_TOKEN = 16
# Bytes of its file that are read, whatever file is named.
_LONGEST_TOKEN = 4096


@dataclass(frozen=True)
class ServerSettings:
    """The settings of `sencap serve`; flags and keys of its YAML file alike.

    Attributes:
        weights: Checkpoint folders, or checkpoints on the hub (hub:OWNER/NAME@REVISION),
            joined by commas, the first of them the usual one (default: the weights that
            ship with sencap). Requests name them by the last part of their names.
        host: The address to listen on; 0.0.0.0 lets other machines in.
        port: The port; 0 takes any that is free.
        root_path: The path under which a proxy shows the server, such as /sencap.
        token_file: A file that holds a token, which requests must then send:
            Authorization: Bearer TOKEN.
        beam: Width of the beam search where a request names none (default: that of the
            weights).
        max_beam: The widest that a request may name.
        threshold: The probability of change from which a pair counts as changed, where
            a request names none.
        precision: fp32 (exact), or int8 (faster), where the checkpoints and the
            processor offer it.
        max_bytes: Bytes that a request may have.
        max_pixels: Pixels that an image may have.
        max_scene_pixels: Pixels that an image may have that is scanned window by
            window.
        max_pairs: Pairs that a request may have.
        waiting: Requests that may be at work or wait; further ones get 503.
        per_client: Those of one address; further ones get 429.
        timeout: Seconds that a request may take, sending included.
        batch_size: Pairs captioned at once.
        batch_wait: Milliseconds that a request waits for others, to be captioned with
            them.
        jobs: Scans that may wait; further ones get 503. As many results are kept.
        keep: Minutes that the result of a scan is kept.
    """

    weights: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    root_path: str | None = None
    token_file: str | None = None
    beam: int | None = None
    max_beam: int = 10
    threshold: float = 0.5
    precision: Precision = "fp32"
    max_bytes: int = 64_000_000
    max_pixels: int = 16_000_000
    max_scene_pixels: int = 400_000_000
    max_pairs: int = 16
    waiting: int = 64
    per_client: int = 32
    timeout: int = 30
    batch_size: int = 16
    batch_wait: int = 5
    jobs: int = 8
    keep: int = 60

    def __post_init__(self) -> None:
        # The bounds of both beams are those of a search anywhere in sencap.
        check_number("beam", self.max_beam)
        check_numbers(beam=self.beam, port=self.port, batch_size=self.batch_size)
        check_numbers(max_bytes=self.max_bytes, max_pixels=self.max_pixels)
        check_number("max_scene_pixels", self.max_scene_pixels)
        check_numbers(
            max_pairs=self.max_pairs, waiting=self.waiting, per_client=self.per_client
        )
        check_numbers(timeout=self.timeout, batch_wait=self.batch_wait)
        check_numbers(jobs=self.jobs, keep=self.keep)
        check_precision(self.precision)
        if self.beam is not None and self.beam > self.max_beam:
            raise SettingsError(f"beam={self.beam} is above max_beam={self.max_beam}")
        if not 0 <= self.threshold <= 1:
            raise SettingsError(
                f"threshold={self.threshold} is a probability: it must be in 0 … 1"
            )
        # It is put before paths, where a slash at its end would be doubled.
        if self.root_path is not None and not re.fullmatch(
            r"(/[\w.~-]+)+", self.root_path
        ):
            raise SettingsError(
                f"root_path={self.root_path!r} must be a path such as /sencap, "
                "without a slash at its end"
            )

    def token(self) -> str | None:
        """The token that the file holds.

        Raises:
            SettingsError: no such file, or no token in it; what it holds is not
                repeated.
        """
        if self.token_file is None:
            return None
        path = Path(self.token_file)
        if reason := not_a_file(path):
            raise SettingsError(
                f"token_file={path}: {reason}; name a file with one line"
            )
        try:
            with path.open("rb") as file:
                content = file.read(_LONGEST_TOKEN)
            token = content.decode("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"token_file={path} is no readable text in ASCII"
            ) from error
        # [!-~] are the visible letters of ASCII: a header cannot carry others safely.
        if len(token) < _SHORTEST_TOKEN or not re.fullmatch(r"[!-~]+", token):
            raise SettingsError(
                f"token_file={path} must hold one line of at least {_SHORTEST_TOKEN} "
                "letters, digits and signs, such as openssl rand -hex 32 prints"
            )
        return token
