"""Folders that appear whole or never."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wpsgd.errors import DataError


class Unwritable(DataError):
    """The disk is full, or the place is not to be written to."""


@contextmanager
def appearing(folder: Path, *, force: bool = False, wait: bool = False) -> Iterator[Path]:
    """A folder to write into, which takes the place of `folder` at the end of the block, and only then.

    What a killed writer left behind is cleared by the next one. force: replaces a folder that is there
    wait: for another process that writes the same folder, rather than fail; then `folder` may be there
    Raises DataError where `folder` exists without `force`, is being written, or (Unwritable) cannot be.
    """
    part = folder.with_name(f".{folder.name}.part")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = _locked(part, wait=wait)
        try:
            _check_free(folder, force)
            _clear(part)
            yield part
            _sync(part)
            _take_place(part, folder)
        finally:
            with suppress(OSError):
                _clear(part)
                part.rmdir()
            os.close(lock)
    except OSError as error:
        raise Unwritable(f"{folder}: cannot be written: {(error.strerror or str(error)).lower()}") from error


def _check_free(folder: Path, force: bool) -> None:
    if folder.exists() and not force:
        raise DataError(f"{folder}: exists already and is not overwritten without force")


def _locked(part: Path, *, wait: bool) -> int:
    """The folder, opened, which the operating system unlocks whatever becomes of this process."""
    while True:
        part.mkdir(exist_ok=True)
        try:
            lock = os.open(part, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(lock)
            raise DataError(f"{part}: another process is writing it") from None
        with suppress(OSError):
            if os.path.samestat(os.fstat(lock), part.stat()):
                return lock
        os.close(lock)  # it was renamed or removed while this process waited


def _clear(part: Path) -> None:
    for item in part.iterdir():
        shutil.rmtree(item) if item.is_dir() else item.unlink()


def _sync(part: Path) -> None:
    for item in [*part.iterdir(), part]:
        number = os.open(item, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _take_place(part: Path, folder: Path) -> None:
    if not folder.exists():
        part.rename(folder)
        return
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
