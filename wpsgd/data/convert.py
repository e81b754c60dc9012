"""Conversion: svmlight text to a store, in memory that does not grow with the non-zeros.

The text is parsed block by block and appended to files in its own order; only what belongs to a row or a
column stays in memory. Then windows of the new order are gathered from those files and written.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wpsgd.data.arrange import Draft, Plan, planned, write_arrays
from wpsgd.data.partial import appearing
from wpsgd.data.source import expanded, files_of, reads_once
from wpsgd.data.store import META, Array, Meta, Source, Store, open_store
from wpsgd.data.svmlight import ZeroBased, check_zero_based
from wpsgd.data.svmlight_blocks import Terms, read_blocks
from wpsgd.errors import ConfigError, DataError
from wpsgd.kernels.layout import scale_to_unit
from wpsgd.processors import free_processors

PACKAGES = ("wpsgd", "numpy", "numba")


@dataclass(frozen=True, slots=True)
class Wishes:
    """How a text is to be converted.

    zero_based: whether indices count from 0; "auto": they do if an index 0 occurs
    unit_norm: scales each row to unit L2 norm; seed: of the rows' permutation
    skip_bad_lines: leaves out lines with a fault, and counts them
    sort_indices: sorts indices that do not ascend within a row, rather than refuse them
    """

    dtype: str = "float64"
    zero_based: ZeroBased = "auto"
    unit_norm: bool = False
    seed: int = 0
    skip_bad_lines: bool = False
    sort_indices: bool = False

    def __post_init__(self) -> None:
        check_zero_based(self.zero_based)
        if self.dtype not in ("float32", "float64"):
            raise ConfigError(f"dtype = {self.dtype}: allowed are float32, float64")
        if self.seed < 0:
            raise ConfigError(f"seed = {self.seed}: an integer of at least 0 is needed")


def convert(
    source: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    wishes: Wishes | None = None,
    *,
    jobs: int | None = None,
    force: bool = False,
    wait: bool = False,
) -> Store:
    """Converts svmlight text into a store; its arrays do not depend on `jobs`.

    source: a file, plain or compressed, a pipe, or a folder or a pattern of part files, see source.py
    jobs: threads that parse, by default one for each processor
    force: replaces a folder that is there; wait: for another process that converts into the same folder
    Raises DataError for a text that cannot be read or a folder that cannot be written, ConfigError for
    arguments that cannot be meant.
    """
    path, target, wishes = expanded(source), Path(folder), wishes or Wishes()
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs = {jobs}: an integer of at least 1 is needed")
    with ThreadPoolExecutor(1) as aside, appearing(target, force=force, wait=wait) as part:
        whole = None if reads_once(path) else aside.submit(_described, path)
        draft, parsed = _parsed(path, part, wishes, jobs or free_processors())
        plan = planned(draft, path, wishes.zero_based, wishes.seed)
        write_arrays(part, draft, plan, jobs or free_processors())
        meta = meta_of(draft, plan, wishes, parsed if whole is None else whole.result())
        # last, because it is what makes the folder a store
        (part / META).write_text(meta.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return open_store(target)


def _described(path: Path) -> Source:
    """The checksum is that of all files, one behind another."""
    checksum, size = hashlib.sha256(), 0
    for file in files_of(path):
        try:
            with file.open("rb") as stream:
                while piece := stream.read(1 << 20):
                    checksum.update(piece)
                    size += len(piece)
        except OSError as error:
            raise DataError(f"{file}: cannot be read: {(error.strerror or str(error)).lower()}") from error
    return Source(name=path.name, bytes=size, sha256=checksum.hexdigest())


def _parsed(path: Path, part: Path, wishes: Wishes, jobs: int) -> tuple[Draft, Source]:
    """The rows, and of a pipe the source: its bytes are gone, so that the checksum is that of the rows."""
    draft, checksum, piped = Draft(part, np.dtype(wishes.dtype)), hashlib.sha256(), reads_once(path)
    terms = Terms(wishes.zero_based is False, draft.dtype, wishes.skip_bad_lines, wishes.sort_indices)
    with draft.indices_file.open("wb") as indices, draft.values_file.open("wb") as values:
        for block in read_blocks(path, terms, jobs):
            draft.add(block)
            for array in (block.indptr, block.indices, block.values, block.labels) if piped else ():
                checksum.update(array.tobytes())
            block.indices.tofile(indices)
            if wishes.unit_norm:
                scale_to_unit(block.indptr, block.values, block.values)
            block.values.tofile(values)
    return draft, Source(name=path.name, bytes=0, sha256=checksum.hexdigest())


def meta_of(draft: Draft, plan: Plan, wishes: Wishes, source: Source) -> Meta:
    """What there is to know of the store that comes of a draft."""
    nonzeros = int(plan.indptr[-1])
    arrays = {"indices": Array(dtype="int32", length=nonzeros)}
    arrays["values"] = Array(dtype=wishes.dtype, length=nonzeros)
    for name, array in (
        ("indptr", plan.indptr),
        ("labels", plan.labels),
        ("columns", plan.columns),
        ("rows", plan.order),
    ):
        arrays[name] = Array(dtype=str(array.dtype), length=len(array))
    return Meta(
        source=source,
        rows=len(plan.labels),
        features=plan.features,
        nonzeros=nonzeros,
        classes=tuple(plan.classes.tolist()),
        bad_lines=draft.bad_lines,
        zero_based=plan.base == 0,
        unit_norm=wishes.unit_norm,
        dtype=wishes.dtype,
        seed=wishes.seed,
        versions={name: importlib.metadata.version(name) for name in PACKAGES},
        arrays=arrays,
    )
