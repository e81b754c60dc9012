"""Saves and finds the state of a strategy between rounds: a folder a checkpoint, complete or not there.

    round-000000012/manifest.json   format, round, ranks, fingerprint of the settings, checksums
    round-000000012/shared.npz      what all ranks hold
    round-000000012/rank-0003.npz   what rank 3 holds besides

Files are written into round-000000012.part, which is renamed once the manifest is on disk. The checkpoint
before the newest is kept too, for the day when the newest cannot be read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from wpsgd.errors import CheckpointError
from wpsgd.requests import State, Value

FORMAT = 2
KEPT = 2


class Keeper:
    """What a runtime asks at each boundary. This one never stops and never saves."""

    def wants_stop(self) -> bool:
        """Asked on every rank; one yes stops all."""
        return False

    def due(self, round: int) -> bool:
        """Asked on the first rank: whether to save now."""
        return False

    def prepare(self, round: int) -> None:
        """Called on the first rank before any `save` of the round."""

    def save(self, rank: int, state: State, first: bool) -> dict[str, str]:
        """Saves a rank's part, the shared one too if `first`; checksums by file name."""
        return {}

    def publish(self, round: int, checksums: Sequence[Mapping[str, str]]) -> None:
        """Called on the first rank when all parts are on disk."""


@dataclass(eq=False)
class CheckpointKeeper(Keeper):
    """Saves into `folder` every so many seconds, and whenever `stop` says that it is time to leave.

    fingerprint: of the settings; a checkpoint made under others is refused
    every: seconds between checkpoints
    """

    folder: Path
    fingerprint: str
    stop: Callable[[], bool] = lambda: False
    every: float = inf
    _saved_at: float = field(default_factory=time.monotonic)

    def wants_stop(self) -> bool:
        return self.stop()

    def due(self, round: int) -> bool:
        return time.monotonic() - self._saved_at >= self.every

    def prepare(self, round: int) -> None:
        part = self._part(round)
        with _disk_errors(part):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)

    def save(self, rank: int, state: State, first: bool) -> dict[str, str]:
        part = self._part(state.round)
        files = {f"rank-{rank:04d}.npz": state.own}
        if first:
            files["shared.npz"] = state.shared
        return {name: _write(part / name, values) for name, values in files.items()}

    def publish(self, round: int, checksums: Sequence[Mapping[str, str]]) -> None:
        merged = {name: checksum for part in checksums for name, checksum in part.items()}
        manifest = {
            "format": FORMAT,
            "round": round,
            "ranks": len(checksums),
            "fingerprint": self.fingerprint,
            "checksums": merged,
        }
        part, whole = self._part(round), self.folder / _name(round)
        with _disk_errors(part):
            _write_bytes(part / "manifest.json", json.dumps(manifest, indent=1).encode())
            shutil.rmtree(whole, ignore_errors=True)
            os.replace(part, whole)
            for old in _complete(self.folder)[KEPT:]:
                shutil.rmtree(old)
        self._saved_at = time.monotonic()

    def _part(self, round: int) -> Path:
        return self.folder / f"{_name(round)}.part"


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint that can be read. `notes`: one line for each newer one that could not."""

    path: Path
    round: int
    ranks: int
    notes: tuple[str, ...] = ()

    def state(self, rank: int) -> State:
        """The state of one rank."""
        return State(self.round, _read(self.path / "shared.npz"), _read(self.path / f"rank-{rank:04d}.npz"))


def latest(folder: Path, fingerprint: str) -> Found | None:
    """The newest checkpoint whose checksums hold, or None where there is none at all.

    Raises CheckpointError where none of those there can be read, or it was made under other settings.
    """
    notes: list[str] = []
    for path in _complete(folder):
        try:
            manifest = _verified(path)
        except (OSError, ValueError, KeyError, TypeError) as error:
            notes.append(f"{path}: damaged ({error}); the checkpoint before it is used")
            continue
        if manifest["fingerprint"] != fingerprint:
            raise CheckpointError(
                f"{path}: made under other settings; resume with the config it was made with"
            )
        return Found(path, int(manifest["round"]), int(manifest["ranks"]), tuple(notes))
    if notes:
        raise CheckpointError(f"{folder}: no checkpoint can be read: {'; '.join(notes)}")
    return None


def fingerprint(settings: Any) -> str:
    """A short hash of JSON-like settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _complete(folder: Path) -> list[Path]:
    names = folder.glob("round-*") if folder.is_dir() else ()
    return sorted((path for path in names if path.suffix != ".part"), reverse=True)


def _name(round: int) -> str:
    return f"round-{round:09d}"


def _verified(path: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((path / "manifest.json").read_text())
    if manifest["format"] != FORMAT:
        raise ValueError(f"format {manifest['format']}, this version reads format {FORMAT}")
    for name, checksum in manifest["checksums"].items():
        if _checksum(path / name) != checksum:
            raise ValueError(f"{name} does not match its checksum")
    return manifest


def _checksum(path: Path) -> str:
    with path.open("rb") as file:  # a wide model is not read as a whole
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, values: Mapping[str, Value]) -> str:
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in values.items()}
    with _disk_errors(path):
        with path.open("wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        return _checksum(path)


def _write_bytes(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> dict[str, Value]:
    with np.load(path, allow_pickle=False) as values:
        return {name: values[name] if values[name].ndim else values[name].item() for name in values.files}


class _disk_errors:  # noqa: N801 - reads as a verb where it is used
    """Turns a full disk or a folder that cannot be written into one line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            reason = error.strerror or error
            raise CheckpointError(
                f"{self.path}: cannot be written ({reason}); the checkpoint before it is kept"
            ) from error
