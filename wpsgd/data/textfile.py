"""Text files, plain or compressed, read as bytes."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

from wpsgd.errors import DataError

CORRUPT = (EOFError, OSError, zlib.error, lzma.LZMAError)  # what a decompressor raises on bad data


class Compression(NamedTuple):
    """How files of one suffix are recognised, and opened."""

    magic: bytes
    open: Callable[..., Any]


COMPRESSIONS = {
    ".bz2": Compression(b"BZh", bz2.open),
    ".gz": Compression(b"\x1f\x8b", gzip.open),
    ".xz": Compression(b"\xfd7zXZ\x00", lzma.open),
}


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed where its first bytes say so, whatever its name.

    Raises DataError where it cannot be opened or a compressed name belies its first bytes.
    """
    try:
        with path.open("rb") as raw:
            start = raw.read(6)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {_reason(error)}") from error
    for suffix, kind in COMPRESSIONS.items():
        if start.startswith(kind.magic):
            with kind.open(path, "rb") as stream:
                yield io.BufferedReader(stream, 1 << 20)
            return
        if start and path.suffix == suffix:
            raise DataError(f"{path}: named {suffix} but its first bytes are not those of a {suffix} file")
    with path.open("rb") as plain:
        yield plain


def is_compressed(path: Path) -> bool:
    """Whether its first bytes say so. Raises DataError where it cannot be opened."""
    try:
        with path.open("rb") as raw:
            start = raw.read(6)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {_reason(error)}") from error
    return any(start.startswith(kind.magic) for kind in COMPRESSIONS.values())


@contextmanager
def replacing(path: Path, *, force: bool = False) -> Iterator[IO[bytes]]:
    """A stream whose bytes, compressed by suffix, appear as `path` at once when all are written, or never.

    Raises DataError where the file exists and `force` is not set, or where it cannot be written.
    """
    if path.exists() and not force:
        raise DataError(f"{path}: exists already and is not overwritten without force")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    kind = COMPRESSIONS.get(path.suffix)
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
