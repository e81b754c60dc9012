"""Generation: a synthetic problem straight into a store, in memory that does not grow with the non-zeros.

The rows, their order and the numbering of their columns are those that `convert` makes of the problem's text:
indices count from 1 there. Only columns that no row holds are kept too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np

from wpsgd.data.arrange import Draft, planned, write_arrays
from wpsgd.data.convert import Wishes, meta_of
from wpsgd.data.partial import appearing
from wpsgd.data.store import META, Source, Store, open_store
from wpsgd.data.svmlight_blocks import Block
from wpsgd.data.synthetic import Stream
from wpsgd.kernels.layout import scale_to_unit
from wpsgd.processors import free_processors


def generate(
    stream: Stream,
    folder: str | os.PathLike[str],
    name: str,
    *,
    jobs: int | None = None,
    force: bool = False,
) -> Store:
    """A store of the rows of `stream`, scaled to unit length in its precision, arranged by its seed.

    name: what the store calls its source; jobs: threads that arrange; force: replaces a folder that is there
    Raises DataError for a folder that cannot be written.
    """
    target, wishes = Path(folder), Wishes(stream.dtype.name, False, True, stream.seed)
    with appearing(target, force=force) as part:
        draft = _drafted(stream, part)
        plan = planned(draft, target, wishes.zero_based, wishes.seed)
        write_arrays(part, draft, plan, jobs or free_processors())
        meta = meta_of(draft, plan, wishes, _source(stream, name))
        # last, because it is what makes the folder a store
        (part / META).write_text(meta.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return open_store(target)


def _drafted(stream: Stream, part: Path) -> Draft:
    width = stream.shape.features + 1
    draft = Draft(part, stream.dtype, counts=np.zeros(width, np.int64), used=width)
    with draft.indices_file.open("wb") as indices, draft.values_file.open("wb") as values:
        for rows in stream.blocks():
            columns = rows.indices + np.int32(1)
            draft.add(Block(rows.indptr, columns, rows.values, rows.labels.astype(np.float64), len(rows)))
            columns.tofile(indices)
            scale_to_unit(rows.indptr, rows.values, rows.values)
            rows.values.tofile(values)
    return draft


def _source(stream: Stream, name: str) -> Source:
    """What the rows are a function of takes the place of the bytes of a text."""
    known = {"name": name, "seed": stream.seed, **dataclasses.asdict(stream.shape)}
    text = json.dumps(known, sort_keys=True).encode()
    return Source(name=name, bytes=0, sha256=hashlib.sha256(text).hexdigest())
