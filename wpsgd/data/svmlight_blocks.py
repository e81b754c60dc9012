"""Svmlight text in blocks of whole lines, parsed in order by one thread or several.

Memory is bounded by the blocks under way, however large the file. The kernel holds no lock while it parses,
so threads are as parallel as processes, and compressed text, which has no byte ranges, is shared out too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from wpsgd.data.foreign import HEAD, format_of
from wpsgd.data.rows import FloatArray
from wpsgd.data.source import files_of, reads_once, size_of
from wpsgd.data.svmlight_fault import Fault, parse_line
from wpsgd.data.textfile import corrupt, is_compressed, opened
from wpsgd.errors import DataError
from wpsgd.kernels.parse import NEWLINE, after_line, parse_lines

T = TypeVar("T")
R = TypeVar("R")
Text = NDArray[np.uint8]
Span = tuple[int, int]

BLOCK = 4 << 20  # bytes of text; its arrays take up to three times as much
RETURN = 13
BOM = b"\xef\xbb\xbf"
AHEAD = 2  # blocks that are decompressed before they are asked for


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of a text. one_based: whether an index 0 is a fault; dtype: of the values.

    skip_bad_lines: whether lines with a fault are left out, and counted
    any_order: whether the indices of a row may stand in any order, to be sorted; none may occur twice
    """

    one_based: bool = False
    dtype: DTypeLike = np.float64
    skip_bad_lines: bool = False
    any_order: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Rows as they are written: indices from whatever they count from, labels of whatever classes.

    indptr: int64 of shape (n + 1,), from 0; indices: int32; values: float; labels: float64 of shape (n,)
    lines: of text, rows or not; bad_lines: those that were left out
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: FloatArray
    labels: NDArray[np.float64]
    lines: int
    bad_lines: int = 0


def read_blocks(path: Path, terms: Terms, jobs: int = 1, span: Span | None = None) -> Iterator[Block]:
    """The blocks of a file, plain or compressed, of a pipe, or of all files of a folder or a pattern.

    They come in order, the same whatever `jobs` is. Every file is opened once.
    span: which bytes of plain files, put one behind another, whole lines, or None for all
    Raises DataError, with file, line and column where there are any, at the first fault.
    """
    files = files_of(path)
    lines = dict.fromkeys(files, 0)
    pieces = _pieces(files, span)
    # not of a pipe: Ctrl-C would wait for a thread that waits for whoever writes
    if any(map(is_compressed, files)) and not any(map(reads_once, files)):
        pieces = ahead(pieces)

    def work(piece: Piece) -> tuple[Path, Block]:
        try:
            return piece.file, parse_block(piece.text, terms)
        except Fault as fault:
            raise _FaultIn(piece.file, fault) from None

    with closing(pieces), closing(_in_order(work, pieces, jobs)) as parsed:
        try:
            for file, block in parsed:
                yield block
                lines[file] += block.lines
        except _FaultIn as found:
            file, fault = found.file, found.fault
            line = lines[file] + fault.line + (0 if span is None else _lines_before(files, file, span[0]))
            raise DataError(f"{file}:{line}:{fault.column}: {fault.what}") from None


class Piece(NamedTuple):
    """Some lines of a file."""

    file: Path
    text: Text


class _FaultIn(Exception):
    def __init__(self, file: Path, fault: Fault) -> None:
        super().__init__(file, fault)
        self.file, self.fault = file, fault


def _pieces(files: Sequence[Path], span: Span | None) -> Generator[Piece, None, None]:
    for file, own in _spans(files, span):
        with closing(_texts(file, own)) as texts:
            for text in texts:
                yield Piece(file, text)


def _spans(files: Sequence[Path], span: Span | None) -> Iterator[tuple[Path, Span | None]]:
    """The files that a span of all has bytes of, and which of theirs."""
    if span is None:
        yield from ((file, None) for file in files)
        return
    offset = 0
    for file in files:
        size = file.stat().st_size
        start, stop = max(span[0] - offset, 0), min(span[1] - offset, size)
        if start < stop:
            yield file, (start, stop)
        offset += size


def stretch(path: Path, part: int, parts: int) -> Span:
    """One of `parts` stretches of plain files, put one behind another: whole lines, about as many bytes."""
    files, size = files_of(path), size_of(path)
    return _line_start(files, size * part // parts), _line_start(files, size * (part + 1) // parts)


def _line_start(files: Sequence[Path], at: int) -> int:
    """Where the first line begins that does not begin before `at`."""
    offset = 0
    for file in files:
        size = file.stat().st_size
        if offset < at < offset + size:
            with file.open("rb") as stream:
                stream.seek(at - offset - 1)
                stream.readline()
                return offset + stream.tell()
        offset += size
    return at


def _lines_before(files: Sequence[Path], file: Path, start: int) -> int:
    """Of a file, those before the byte `start` of all."""
    end = start - sum(other.stat().st_size for other in files[: files.index(file)])
    with file.open("rb") as stream:
        blocks = (stream.read(min(BLOCK, end - at)) for at in range(0, end, BLOCK))
        return sum(block.count(b"\n") for block in blocks)


def parse_block(text: Text, terms: Terms) -> Block:
    """The rows of some lines, uint8, the last byte a newline.

    Raises Fault, lines counted from the first one here, unless bad lines are skipped.
    """
    # the least that a row and an entry take; most of it is never written to, and it serves the next block
    rows, entries = text.size // 2 + 1, text.size // 4 + 1
    room = Block(
        np.empty(rows + 1, np.int64),
        np.empty(entries, np.int32),
        np.empty(entries, terms.dtype),
        np.empty(rows),
        0,
    )
    count, lines, bad = _fill(room, text, terms)
    last = room.indptr[count]
    return Block(
        room.indptr[: count + 1].copy(),
        room.indices[:last].copy(),
        room.values[:last].copy(),
        room.labels[:count].copy(),
        lines,
        bad,
    )


def _fill(room: Block, text: Text, terms: Terms) -> tuple[int, int, int]:
    """Rows, lines, and bad ones."""
    lowest, largest = int(terms.one_based), float(np.finfo(np.dtype(terms.dtype)).max)
    arrays = room.indptr, room.indices, room.values, room.labels
    row, at, lines, bad = 0, 0, 0, 0
    room.indptr[0] = 0
    while True:
        row, at, passed = parse_lines(text, at, lowest, largest, terms.any_order, row, *arrays)
        lines += passed
        if at == text.size:
            return row, lines, bad
        line, at = at, after_line(text, at)
        try:
            row += _put_line(room, row, text[line:at].tobytes(), lowest, largest, terms.any_order)
        except Fault as fault:
            if not terms.skip_bad_lines:
                raise Fault(fault.what, fault.column, lines + 1) from None
            bad += 1
        lines += 1


def _put_line(room: Block, row: int, text: bytes, lowest: int, largest: float, any_order: bool) -> int:
    """Rows that were added: 1, or 0 for a line without any."""
    line = parse_line(text, lowest, largest, any_order)
    if line is None:
        return 0
    first = room.indptr[row]
    last = first + len(line.indices)
    room.indices[first:last] = line.indices
    room.values[first:last] = line.values
    room.labels[row] = line.label
    room.indptr[row + 1] = last
    return 1


def ahead(pieces: Generator[T, None, None]) -> Generator[T, None, None]:
    """The same, the next ones made by a thread of its own: to decompress takes longer than to parse."""
    with closing(pieces), ThreadPoolExecutor(1) as reader:
        coming = deque(reader.submit(next, pieces, None) for _ in range(AHEAD))
        while (piece := coming.popleft().result()) is not None:
            coming.append(reader.submit(next, pieces, None))
            yield piece


def _texts(path: Path, span: Span | None = None) -> Generator[Text, None, None]:
    """Pieces of about BLOCK bytes that end with a line; those of the first line without a byte order mark.

    Lines that end with carriage returns alone end with newlines here.
    Raises DataError for a file of another format, and for one that is damaged or changes meanwhile.
    """
    plain = not (reads_once(path) or is_compressed(path))
    expected = path.stat().st_size if plain else None
    found, rest, returns, at_start = 0, np.empty(0, np.uint8), False, span is None or span[0] == 0
    with opened(path) as stream:
        if span is not None:
            found, expected = span
            stream.seek(found)
        try:
            while (text := _more(stream, rest, None if span is None else span[1] - found)).size > rest.size:
                found += text.size - rest.size
                if not rest.size and at_start:
                    text, returns, at_start = _begun(path, text), _ends_lines_by_return(text), False
                if returns:
                    text[text == RETURN] = NEWLINE
                cut = _after_last_newline(text)
                rest = text[cut:]
                if cut:
                    yield text[:cut]
        except corrupt() as error:
            raise _corrupt(path, error) from error
    if expected not in (None, found):
        raise DataError(f"{path}: changed while it was read")
    if rest.size:
        yield np.append(rest, np.uint8(NEWLINE))


def _begun(path: Path, text: Text) -> Text:
    """A file's first piece without its byte order mark. Raises DataError where it is no text."""
    head = text[:HEAD].tobytes()
    if other := format_of(head):
        raise DataError(f"{path}: is {other}")
    return text[len(BOM) :] if head.startswith(BOM) else text


def _ends_lines_by_return(text: Text) -> bool:
    """Whether lines end as on a Mac of long ago."""
    return not (text == NEWLINE).any() and bool((text == RETURN).any())


def _more(stream: IO[bytes], rest: Text, left: int | None) -> Text:
    """The rest of the last piece, and what is read after it, no more than what is left."""
    text = np.empty(rest.size + (BLOCK if left is None else min(BLOCK, left)), np.uint8)
    text[: rest.size] = rest
    read = stream.readinto(text[rest.size :].data)  # type: ignore[attr-defined]
    return text[: rest.size + read]


def _after_last_newline(text: Text) -> int:
    start = text.size
    while start:
        stop, start = start, max(0, start - 4096)
        newlines = np.flatnonzero(text[start:stop] == NEWLINE)
        if newlines.size:
            return start + int(newlines[-1]) + 1
    return 0


def _corrupt(path: Path, error: Exception) -> DataError:
    if reads_once(path):
        return DataError(f"{path}: the compressed data of the pipe are corrupt or cut off")
    if not is_compressed(path):
        return DataError(f"{path}: cannot be read: {error}")
    line = 0
    try:
        with opened(path) as stream:
            for line, _ in enumerate(stream, start=1):  # noqa: B007
                pass
    except corrupt():
        pass
    return DataError(f"{path}: the compressed data are corrupt or cut off after line {line}")


def _in_order(work: Callable[[T], R], texts: Iterable[T], jobs: int) -> Generator[R, None, None]:
    """The results in the order of the texts, of which no more than two a thread are under way."""
    if jobs == 1:
        yield from map(work, texts)
        return
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            source = iter(texts)
            waiting.extend(pool.submit(work, text) for text in islice(source, 2 * jobs))
            while waiting:
                done = waiting.popleft().result()
                waiting.extend(pool.submit(work, text) for text in islice(source, 1))
                yield done
        finally:
            for future in waiting:
                future.cancel()
