"""Text files, plain or compressed, read as bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from wpsgd.data.foreign import SUFFIXES
from wpsgd.data.source import is_stdin, reads_once
from wpsgd.errors import DataError

MAGIC = 6  # bytes that tell a compression


class Compression(NamedTuple):
    """How files of one suffix are recognised, and opened."""

    magic: bytes
    open: Callable[..., Any]


ZSTD = b"\x28\xb5\x2f\xfd"
COMPRESSIONS = {
    ".bz2": Compression(b"BZh", bz2.open),
    ".gz": Compression(b"\x1f\x8b", gzip.open),
    ".xz": Compression(b"\xfd7zXZ\x00", lzma.open),
}


@cache
def _zstd() -> Any:
    """The module that reads zstd: Python's own since 3.14, or its backport where it is installed."""
    for name in ("compression.zstd", "backports.zstd"):
        with suppress(ImportError):
            return import_module(name)
    return None


@cache
def _kinds() -> dict[str, Compression]:
    """The compressions that can be read and written here."""
    zstd = _zstd()
    return COMPRESSIONS if zstd is None else {**COMPRESSIONS, ".zst": Compression(ZSTD, zstd.open)}


def corrupt() -> tuple[type[Exception], ...]:
    """What a decompressor raises on bad data."""
    zstd = _zstd()
    known = (EOFError, OSError, zlib.error, lzma.LZMAError)
    return known if zstd is None else (*known, zstd.ZstdError)


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed where its first bytes say so, whatever its name. It is opened once.

    Raises DataError where it cannot be opened or a compressed name belies its first bytes, or for a pipe that
    was read already.
    """
    with _raw(path) as raw:
        start = raw.read(MAGIC)
        if raw.seekable():
            raw.seek(0)
            whole = raw
        else:
            whole = io.BufferedReader(_Behind(start, raw), 1 << 20)
        for suffix, kind in _kinds().items():
            if start.startswith(kind.magic):
                with kind.open(whole, "rb") as stream:
                    yield io.BufferedReader(stream, 1 << 20)
                return
            if start and path.suffix == suffix:
                raise DataError(
                    f"{path}: named {suffix} but its first bytes are not those of a {suffix} file"
                )
        yield whole


class _Behind(io.RawIOBase):
    """Bytes that were read already, and behind them the rest of a stream."""

    def __init__(self, start: bytes, rest: IO[bytes]) -> None:
        self._start, self._rest = start, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._start[: len(buffer)] or self._rest.read(len(buffer))
        self._start = self._start[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


@contextmanager
def _raw(path: Path) -> Iterator[IO[bytes]]:
    """The bytes as they are."""
    if is_stdin(path):
        yield _stdin(path)
        return
    try:
        raw = path.open("rb")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {_reason(error)}") from error
    with raw:
        # a pipe with a name waits for the next writer, one of a shell's <( ) is empty for ever
        if str(path).startswith(("/dev/fd/", "/proc/")) and reads_once(path):
            _mark_read(path, os.fstat(raw.fileno()))
        yield raw


def _stdin(path: Path) -> IO[bytes]:
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None or stream.closed:
        raise DataError(f"{path}: standard input is closed: pipe a file into it")
    if stream.isatty():
        raise DataError(f"{path}: standard input is a terminal: pipe a file into it")
    _mark_read(path, stream)
    return cast(IO[bytes], stream)


def _mark_read(path: Path, what: Any) -> None:
    """Raises DataError for a pipe that this process has read: it would be found empty."""
    key = (what.st_dev, what.st_ino) if isinstance(what, os.stat_result) else id(what)
    if key in _read_pipes:
        raise DataError(f"{path}: was read already, and a pipe can be read once: write it to a file first")
    _read_pipes[key] = what  # held, so that no other stream gets its number


_read_pipes: dict[Any, Any] = {}


def is_compressed(path: Path) -> bool:
    """Whether its first bytes say so; not of a pipe, which is opened once. Raises DataError."""
    if reads_once(path):
        return False
    with _raw(path) as raw:
        start = raw.read(MAGIC)
    return any(start.startswith(kind.magic) for kind in _kinds().values())


@contextmanager
def replacing(path: Path, *, force: bool = False) -> Iterator[IO[bytes]]:
    """A stream whose bytes, compressed by suffix, appear as `path` at once when all are written, or never.

    Raises DataError where the file exists and `force` is not set, or where it cannot be written.
    """
    if path.exists() and not force:
        raise DataError(f"{path}: exists already and is not overwritten without force")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    kind = _kinds().get(path.suffix)
    if kind is None and path.suffix in SUFFIXES:
        raise DataError(f"{path}: {path.suffix} cannot be written: {', '.join(_kinds())} can, and plain text")
    try:
        with kind.open(partial, "wb") if kind else partial.open("wb") as stream:
            yield stream
        partial.replace(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {_reason(error)}") from error
    finally:
        partial.unlink(missing_ok=True)


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
