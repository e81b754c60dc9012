"""The catalogue of data sets that are known by name."""

from __future__ import annotations

import functools
import logging
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, Self

import pooch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from wpsgd.data.textfile import COMPRESSIONS
from wpsgd.errors import DataError, nearest

CONNECT_SECONDS, READ_SECONDS = 5, 30

Share = Annotated[float, Field(gt=0, lt=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Download(_Strict):
    """A file on the web; `rows` where they are not those of the entry."""

    url: Annotated[str, Field(pattern=r"^https?://\S+/[^/\s]+$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    rows: PositiveInt | None = None


class Entry(_Strict):
    """One data set. Counts are those of its training file; `positive` lists the labels that become +1."""

    name: str
    title: str
    origin: Literal["download", "scikit-learn", "synthetic"]
    rows: PositiveInt
    features: PositiveInt
    nonzeros: PositiveInt
    classes: Annotated[int, Field(ge=2)]
    positive_share: Share
    unit_norm: bool
    licence: str
    citation: str | None = None
    positive: tuple[float, ...] | None = None
    twin: str | None = None
    train: Download | None = None
    test: Download | None = None

    @model_validator(mode="after")
    def _downloads_have_urls(self) -> Self:
        if (self.origin == "download") != (self.train is not None):
            raise ValueError("[train] with a url belongs to origin 'download' and to no other")
        return self


def folder() -> Path:
    """Where the catalogue's files lie: in the installed package, else in the checkout."""
    package = Path(__file__).resolve().parent.parent
    shipped = package / "shipped" / "datasets"
    return shipped if shipped.is_dir() else package.parent / "datasets"


def names() -> tuple[str, ...]:
    """The names of all data sets, sorted. Raises DataError where a file of the catalogue is wrong."""
    return tuple(_entries(folder()))


def entry(name: str) -> Entry:
    """The data set called `name`. Raises DataError for an unknown name or where the catalogue is wrong."""
    known = _entries(folder())
    if name not in known:
        raise DataError(f"no data set is called {name!r}{nearest(name, known)}; there are {', '.join(known)}")
    return known[name]


def cache_folder() -> Path:
    """Where fetched files are kept: WPSGD_DATA_DIR, else the user's cache."""
    return Path(os.environ.get("WPSGD_DATA_DIR") or pooch.os_cache("wpsgd")).expanduser()


def fetch(name: str, part: Literal["train", "test"] = "train") -> Path:
    """The file of a data set, downloaded unless the cache has it.

    Raises DataError, in one line, where the set has no such file, or it can neither be found nor fetched.
    """
    download = entry(name).train if part == "train" else entry(name).test
    if download is None:
        raise DataError(f"{name}: has no {part} file to fetch")
    path = cache_folder() / download.url.rsplit("/", 1)[1]
    with _quiet_pooch():
        try:
            _retrieve(download, path)
        except (OSError, ValueError) as error:
            raise DataError(f"{name} could not be fetched ({_reason(error)}): {download.url}") from error
    _check_start(path, name)
    return path


def fetch_all(source: str) -> str:
    """Fetches all files of `source`, if it is a name of the catalogue; why they cannot be had, or nothing.

    For one rank to call before all load: those that follow find the files there, or need not try.
    """
    if source not in names() or entry(source).origin != "download":
        return ""
    try:
        fetch(source)
        if entry(source).test is not None:
            fetch(source, "test")
    except DataError as error:
        return str(error)
    return ""


def _retrieve(download: Download, path: Path) -> None:
    pooch.retrieve(
        download.url,
        known_hash=download.sha256 and f"sha256:{download.sha256}",
        fname=path.name,
        path=path.parent,
        downloader=pooch.HTTPDownloader(timeout=(CONNECT_SECONDS, READ_SECONDS)),
    )


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    logger = pooch.get_logger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _reason(error: Exception) -> str:
    """What went wrong in a few words; the network library's exceptions are OSErrors with other names."""
    kind = type(error).__name__
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code}"
    if any(word in kind for word in ("Connection", "Connect", "Timeout", "Proxy", "SSL")):
        return "no network"
    return (
        str(error).partition("\n")[0]
        if isinstance(error, ValueError)
        else (getattr(error, "strerror", None) or kind)
    )


def _check_start(path: Path, name: str) -> None:
    """A login page of some network, answered in place of the data, must not stay in the cache."""
    compression = COMPRESSIONS.get(path.suffix)
    with path.open("rb") as stream:
        start = stream.read(6)
    if compression and not start.startswith(compression.magic):
        path.unlink()
        raise DataError(f"{name} could not be fetched (the answer was no {path.suffix} file)")


@functools.cache
def _entries(where: Path) -> dict[str, Entry]:
    entries = {
        path.stem: _entry_of(path) for path in sorted(where.glob("*.toml"), key=lambda path: path.stem)
    }
    for name, known in entries.items():
        if known.twin is not None and known.twin not in entries:
            raise DataError(f"{where / name}.toml: twin: {known.twin!r} is not in the catalogue")
    return entries


def _entry_of(path: Path) -> Entry:
    try:
        made = Entry.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{path}: {key}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error
    if made.name != path.stem:
        raise DataError(f"{path}: name: {made.name!r} differs from the file's name")
    return made
