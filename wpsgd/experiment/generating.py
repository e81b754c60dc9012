"""The command data generate: synthetic twins as text or as stores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wpsgd.data.generate import generate
from wpsgd.data.rows import Rows
from wpsgd.data.store import is_store
from wpsgd.data.svmlight import write_blocks
from wpsgd.data.synthetic import SHAPES, Stream
from wpsgd.data.textfile import replacing
from wpsgd.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True)
class Made:
    """What was written."""

    rows: int
    features: int
    nonzeros: int


def write_twin(
    name: str,
    path: Path,
    *,
    scale: float,
    seed: int,
    force: bool,
    store: bool = False,
    dtype: str = "float64",
) -> Made:
    """Writes a twin, block by block, and, as PATH.truth.npy, the weights that made its labels.

    store: as a store in the folder `path`, else as text; dtype: of the values of a store
    Raises ConfigError for a name that is no twin's, another dtype or files that are there, DataError where it
    cannot write.
    """
    if name not in SHAPES:
        raise ConfigError(f"{name}: is not synthetic; there are {', '.join(SHAPES)}{nearest(name, SHAPES)}")
    if dtype not in ("float64", "float32"):
        raise ConfigError(f"--dtype {dtype}: must be one of float64, float32")
    if dtype != "float64" and not store:
        raise ConfigError(f"--dtype {dtype}: is for --store; text holds what float64 holds")
    truth = path.with_name(f"{path.name}.truth.npy")
    _check_free(path, truth, force=force, store=store)
    stream = Stream(SHAPES[name](scale), seed, dtype)
    made = _stored(name, stream, path, force) if store else _written(stream, path, force)
    with replacing(truth, force=force) as file:
        np.save(file, stream.truth)
    return made


def _check_free(path: Path, truth: Path, *, force: bool, store: bool) -> None:
    for file in (path, truth):
        if file.exists() and not force:
            raise ConfigError(f"{file}: is there already; --force replaces it")
    if path.exists() and store != path.is_dir():
        raise ConfigError(f"{path}: is a {'file' if store else 'folder'}; name another place")
    if path.exists() and store and not is_store(path):
        raise ConfigError(f"{path}: is no converted folder; --force replaces nothing else")


def _stored(name: str, stream: Stream, folder: Path, force: bool) -> Made:
    meta = generate(stream, folder, name, force=force).meta
    return Made(meta.rows, meta.features, meta.nonzeros)


def _written(stream: Stream, path: Path, force: bool) -> Made:
    nonzeros = 0

    def counted() -> Iterator[Rows]:
        nonlocal nonzeros
        for block in stream.blocks():
            nonzeros += block.nonzeros
            yield block

    write_blocks(path, counted(), force=force)
    return Made(stream.shape.rows, stream.shape.features, nonzeros)
