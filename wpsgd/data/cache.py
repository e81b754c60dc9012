"""The cache of converted texts: a large one is converted once, and mapped ever after.

A store is found by the checksum of what it depends on: the text's size, its time of change, its first and
last mebibyte, and how it is converted. To read all of a large file would take longer than to map the store.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wpsgd.data import catalog
from wpsgd.data.convert import Wishes, convert
from wpsgd.data.partial import Unwritable
from wpsgd.data.source import expanded, files_of, is_pattern, reads_once
from wpsgd.data.store import FORMAT, ROW_ORDER, is_store
from wpsgd.data.textfile import is_compressed
from wpsgd.errors import ConfigError, DataError

LARGE = 32 << 20  # bytes of text that are worth it
COMPRESSION = 4  # bytes of text in a byte of a compressed file, roughly
SAMPLE = 1 << 20
LIMIT = "WPSGD_CACHE_GIB"  # names the most that the cache holds
DEFAULT_GIB = 100.0
LEAVING = ".leaving"


def stored(source: str, wishes: Wishes, say: Callable[[str], None]) -> Path | None:
    """The store that stands for a text, converted now unless the cache has it.

    None for sources that are no text or a small one, or where the cache cannot be written.
    say: told what is done and why not
    Raises DataError for a text that cannot be read.
    """
    text = _text_of(source)
    if text is None or not _is_large(text):
        return None
    name = re.sub(r"[^\w.-]", "_", text.name)  # a pattern has other characters
    folder = catalog.cache_folder() / "stores" / f"{name}-{_key(text, wishes)}"
    if is_store(folder):
        _used(folder)
        return folder
    limit = limit_bytes()
    say(f"note: {source} is converted once, into {folder}")
    try:
        convert(text, folder, wishes, wait=True)
    except Unwritable as error:
        say(f"note: {source} is read as text: {error}")
        return None
    except DataError:
        if not is_store(folder):  # another process may have been first
            raise
    for name in evict(folder, limit):
        say(f"note: {name} left the cache, which holds {limit / 2**30:g} GiB at most ({LIMIT})")
    return folder


def limit_bytes() -> int:
    """The most that the cache holds. Raises ConfigError where the environment says what cannot be meant."""
    text = os.environ.get(LIMIT, str(DEFAULT_GIB))
    try:
        gib = float(text.replace("_", "x"))  # float() reads 1_0 as 10
    except ValueError:
        gib = -1.0
    if not 0.0 <= gib <= 1e6:
        raise ConfigError(f"{LIMIT} = {text}: must be a number of GiB from 0 to 1e6")
    return int(gib * 2**30)


def evict(kept: Path, limit: int) -> list[str]:
    """Removes the stores beside `kept` that were not used for longest, until all fit; their names.

    What a process has mapped stays there for it.
    """
    for left in kept.parent.glob(f".*{LEAVING}"):  # by a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    stores = [path for path in kept.parent.iterdir() if path.name[0] != "." and is_store(path)]
    newest = sorted(stores, key=_last_use, reverse=True)
    total, gone = _size(kept), []
    for store in newest:
        if store == kept:
            continue
        total += _size(store)
        if total > limit:
            leaving = store.with_name(f".{store.name}{LEAVING}")  # at once, not file by file
            with suppress(OSError):
                store.rename(leaving)
                gone.append(store.name)
            shutil.rmtree(leaving, ignore_errors=True)
    return gone


def _used(store: Path) -> None:
    with suppress(OSError):  # a cache may be there to be read only
        os.utime(store)


def _last_use(store: Path) -> float:
    try:
        return store.stat().st_mtime
    except OSError:
        return 0.0


def _size(store: Path) -> int:
    total = 0
    for path in store.glob("*"):
        with suppress(OSError):  # it may leave by another process
            total += path.stat().st_size
    return total


def _text_of(source: str) -> Path | None:
    if source not in catalog.names():
        path = expanded(source)
        there = is_pattern(path) or (path.exists() and not is_store(path))
        return path if there and not any(map(reads_once, files_of(path))) else None
    if catalog.entry(source).origin != "download":
        return None
    try:
        return catalog.fetch(source)
    except DataError:
        return None


def _is_large(text: Path) -> bool:
    sizes = (file.stat().st_size * (COMPRESSION if is_compressed(file) else 1) for file in files_of(text))
    return sum(sizes) >= LARGE


def _key(text: Path, wishes: Wishes) -> str:
    """Of one file, the first and the last bytes; of many, fewer bytes of each."""
    files = files_of(text)
    samples, length = hashlib.sha256(), SAMPLE // len(files)
    known: dict[str, Any] = {"format": FORMAT, "order": ROW_ORDER, **asdict(wishes), "files": []}
    for file in files:
        facts = file.stat()
        known["files"].append((facts.st_size, facts.st_mtime_ns))
        with file.open("rb") as stream:
            samples.update(stream.read(length))
            stream.seek(-min(length, facts.st_size), os.SEEK_END)
            samples.update(stream.read())
    samples.update(json.dumps(known, sort_keys=True).encode())
    return samples.hexdigest()[:16]
