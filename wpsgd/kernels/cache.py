"""Where compiled kernels are kept: a folder for each state of their sources, or nowhere at all.

Numba asks of a kernel only whether its own file has changed. But kernels call those of other modules, whose
code is compiled into them; so one stamp of all sources names the folder. Numba also ends a process where no
folder can be written, or where the disk is full. Here such a process compiles for itself, and says so once.
"""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import inspect
import logging
import multiprocessing
import os
import pickle
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any
from uuid import uuid4

import numba
import numba.core.config
import numba.core.serialize
import numba.misc.appdirs
from numba.core.caching import CompileResultCacheImpl, FunctionCache

from wpsgd.launcher import launched_rank

PREFIX, USED = "wpsgd-kernels-", "used"  # of folders; the file in each whose time says when it was used last
FIX = "set NUMBA_CACHE_DIR to a folder that can be written, on a local disk"
CHECKSUM = hashlib.sha256().digest_size
ROOM = 4 << 20  # bytes that all kernels take, and some more
HOUR, MONTH = 3600.0, 30 * 86400.0
KEPT = 8  # folders beside one another: other environments may hold other versions
UNTYPED: Any = numba
log = logging.getLogger("wpsgd.kernels")


def _stamp() -> str:
    """Of the sources of all kernels, and of Numba's version."""
    digest = hashlib.sha256(numba.__version__.encode())
    files = {file.name: file for file in resources.files("wpsgd.kernels").iterdir()}
    for name in sorted(name for name in files if name.endswith((".py", ".pyc"))):
        digest.update(f"{name}\n".encode() + files[name].read_bytes())
    return digest.hexdigest()[:16]


STAMP = _stamp()  # now: files may change while this process runs what it has imported


def places() -> list[Path]:
    """The folders that may hold this stamp's, in the order in which they are tried."""
    config = UNTYPED.core.config
    config.reload_config()  # the environment may have changed since numba was imported
    named = [Path(config.CACHE_DIR).absolute()] if config.CACHE_DIR else []
    user = Path(UNTYPED.misc.appdirs.AppDirs(appname="numba", appauthor=False).user_cache_dir)
    beside = Path(importlib.util.cache_from_source(__file__)).parent
    # who has no home is told of a folder called ~
    return [*named, beside, *([user] if user.is_absolute() else [])]


def folder_in(place: Path) -> Path:
    """Of this stamp, whether it is there or not."""
    return place / f"{PREFIX}{STAMP}"


def opened(place: Path) -> Path:
    """The folder of this stamp, made where it is not there. Raises OSError where it takes no file."""
    folder = folder_in(place)
    new = not folder.is_dir()
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / USED, b"")
    if new:
        _clear(place, folder)
    return folder


def check_room(folder: Path) -> None:
    """Raises OSError where the kernels would not all fit into a folder."""
    _write(folder / "room", os.urandom(ROOM))  # of a file system that compresses, too
    (folder / "room").unlink()


def words(error: OSError) -> str:
    """What is wrong with a folder, after its name."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"{'is full' if full else 'cannot be written'} ({(error.strerror or str(error)).lower()})"


@cache
def kept_in() -> Path | None:
    """The folder that kernels are written to: the first that takes a file, or None."""
    refused = []
    for place in places():
        try:
            return opened(place)
        except OSError as error:
            refused.append(f"{place} {words(error)}")
    _give_up(", ".join(refused))
    return None


def _give_up(why: str) -> None:
    """Says that each process compiles for itself: of many processes one says so."""
    first = launched_rank() == 0 and multiprocessing.current_process().name == "MainProcess"
    say = log.warning if first else log.info
    say("kernels are compiled anew by each process, which takes up to a minute: %s; %s", why, FIX)


class _Files:
    """The files of one kernel, as numba asks for them: one for each combination of types.

    A file begins with the checksum of the rest: what a crash or a full disk has cut off counts as not there.
    """

    full = False  # the folder of all kernels

    def __init__(self, name: str) -> None:
        self._name = name

    def load(self, key: object) -> Any:
        """What was saved under this key, be it in a place that can only be read; None where nothing was."""
        for folder in _tried():
            try:
                content = self._file(folder, key).read_bytes()
            except OSError:
                continue
            if hashlib.sha256(content[CHECKSUM:]).digest() == content[:CHECKSUM]:
                _mark_used(folder)
                return pickle.loads(content[CHECKSUM:])
        return None

    def save(self, key: object, data: Any) -> None:
        """Keeps what was compiled, where that is possible."""
        folder = None if _Files.full else kept_in()
        if folder is None:
            return
        content = UNTYPED.core.serialize.dumps(data)
        try:
            folder.mkdir(exist_ok=True)  # another process may have cleared it away
            _write(self._file(folder, key), hashlib.sha256(content).digest() + content)
        except OSError as error:
            _Files.full = True
            _give_up(f"{folder} {words(error)}")

    def flush(self) -> None:
        """Forgets them all."""
        for folder in _tried():
            for file in folder.glob(f"{self._name}-*.nbc"):
                file.unlink(missing_ok=True)

    def _file(self, folder: Path, key: object) -> Path:
        return folder / f"{self._name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:24]}.nbc"


class _Source:
    """What numba calls a locator; the folder is looked for when it is needed."""

    def __init__(self, file: str) -> None:
        self._py_file = file

    def get_cache_path(self) -> str:
        return ""

    def get_source_stamp(self) -> str:
        return ""

    def ensure_cache_path(self) -> None: ...


class _Parts(CompileResultCacheImpl):
    def __init__(self, function: Callable[..., Any]) -> None:
        code = function.__code__
        self._lineno, self._locator = code.co_firstlineno, _Source(code.co_filename)
        name = f"{Path(code.co_filename).stem}.{function.__name__}-{self._lineno}"
        self._filename_base = f"{name}.{sys.implementation.cache_tag}{_apart(function)}"


class KernelCache(FunctionCache):
    """Takes the place of numba's cache of one kernel."""

    _impl_class = _Parts

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call] # numba carries few types
        files: Any = _Files(self._impl.filename_base)
        self._cache_file = files


def _apart(function: Callable[..., Any]) -> str:
    """What tells a kernel of another package apart, whose source is not in the stamp."""
    if Path(function.__code__.co_filename).parent == Path(__file__).parent:
        return ""
    return "-" + hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]


@cache
def _tried() -> list[Path]:
    return [*map(folder_in, places())]


@cache
def _mark_used(folder: Path) -> None:
    with suppress(OSError):  # it may be there to be read only
        os.utime(folder / USED)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all. Raises OSError."""
    part = path.with_name(f"{path.name}.{uuid4().hex[:16]}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError:
        with suppress(OSError):
            part.unlink()
        raise


def _clear(place: Path, kept: Path) -> None:
    """Removes the folders of other stamps that nobody has used for a month, or that are many and rest.

    A process that still needs one compiles again.
    """
    others = sorted((path for path in place.glob(f"{PREFIX}*") if path != kept), key=_rest)
    for number, folder in enumerate(others, start=1):
        if _rest(folder) > (MONTH if number < KEPT else HOUR):
            shutil.rmtree(folder, ignore_errors=True)


def _rest(folder: Path) -> float:
    """Seconds since the last use."""
    try:
        return time.time() - (folder / USED).stat().st_mtime
    except OSError:  # it is being made, or removed
        return 0.0
