"""Tests of the parser: against scikit-learn's reader on valid text and on mutated text."""

from __future__ import annotations

import gzip
import io
import os
import random
import re
import threading
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import soak
from hypothesis import given, settings
from hypothesis import strategies as some
from sklearn.datasets import load_svmlight_file

from wpsgd.data import svmlight_blocks
from wpsgd.data.svmlight import read_svmlight
from wpsgd.data.svmlight_blocks import Block, Terms, parse_block, read_blocks
from wpsgd.data.svmlight_fault import Fault, parse_line
from wpsgd.errors import DataError

MUTATIONS, MUTATION_SEED = soak.repetitions(200, 1_000_000), 5
SEED_TEXT = (
    b"1 qid:4 1:0.5 3:1e-3 # hi\n-1 2:12345678901234567890.5 7:-.5\n"
    b"+1\n\n# c\n2.5 1:1 9:3\r\n0 0:0.1\t5:1E5\n"
)
ALPHABET = b"0123456789.:+-eE #\n\t\r_qidnaf\x00\x0b\xff,"


def parsed(text: bytes, terms: Terms | None = None) -> Block:
    ended = text if text.endswith(b"\n") else text + b"\n"
    return parse_block(np.frombuffer(ended, np.uint8), terms or Terms())


def arrays(block: Block) -> list[bytes]:
    parts = (block.indptr, block.indices.astype(np.int64), block.values, block.labels)
    return [part.tobytes() for part in parts]


def without_blanks_behind_colons(text: bytes) -> bytes:
    """`63: .50` as `63:.50`: scikit-learn refuses the first, which LIBSVM writes and reads."""
    lines = [line.partition(b"#")[0] for line in text.split(b"\n")]
    return b"\n".join(re.sub(rb"(?<=[0-9]):[ \t\r\v\f]+(?=[^\s:]+(\s|$))", b":", line) for line in lines)


def by_scikit_learn(text: bytes) -> list[bytes] | None:
    """The same arrays, or None where it refuses the text."""
    try:
        matrix, labels = load_svmlight_file(io.BytesIO(without_blanks_behind_colons(text)), zero_based=True)
    except (ValueError, IndexError, OverflowError):
        return None
    whole = np.asarray(matrix.indptr, np.int64), np.asarray(matrix.indices, np.int64), matrix.data, labels
    finite = np.isfinite(matrix.data).all() and np.isfinite(labels).all()
    return [part.tobytes() for part in whole] if finite else None


def mutated(text: bytes, chance: random.Random) -> bytes:
    changed = bytearray(text)
    for _ in range(chance.randint(1, 4)):
        place, kind = chance.randrange(len(changed)), chance.randrange(4)
        if kind == 0:
            changed[place] = chance.choice(ALPHABET)
        elif kind == 1:
            changed.insert(place, chance.choice(ALPHABET))
        elif kind == 2:
            del changed[place]
        else:
            start = chance.randrange(len(changed))
            changed[place:place] = changed[start : start + chance.randint(1, 9)]
    return bytes(changed)


def outcome(text: bytes) -> list[bytes] | Fault:
    try:
        return arrays(parsed(text))
    except Fault as fault:
        return fault


def verdict(text: bytes) -> str:
    """What came of a text. Fails where arrays differ, or a text passes that scikit-learn refuses."""
    expected = by_scikit_learn(text)
    found = outcome(text)
    if isinstance(found, Fault):
        line = text.split(b"\n")[found.line - 1]
        assert 1 <= found.column <= len(line) + 1, text
        return "refused by both" if expected is None else "refused by us alone"
    # C strings end at a zero byte: scikit-learn refuses a query id with one, which nobody reads
    if expected is None and b"\x00" in text:
        return "zero byte in a query id"
    assert found == expected, text
    return "same arrays"


def test_mutated_text_gives_the_same_arrays_or_the_place_of_a_fault() -> None:
    chance = random.Random(MUTATION_SEED)
    counts = Counter(verdict(mutated(SEED_TEXT, chance)) for _ in range(MUTATIONS))
    assert sum(counts.values()) == MUTATIONS
    assert counts["same arrays"] > MUTATIONS // 10
    assert counts["refused by both"] > MUTATIONS // 10
    soak.keep("mutated svmlight texts", MUTATION_SEED, counts)


NUMBER = some.one_of(
    some.floats(allow_nan=False, allow_infinity=False).map(repr),
    some.integers(-(10**25), 10**25).map(str),
    some.from_regex(r"[+-]?0{0,3}[0-9]{1,22}(\.[0-9]{0,22})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    some.from_regex(r"[+-]?\.[0-9]{1,22}", fullmatch=True),
)
GAP = some.sampled_from([" ", "  ", "\t", " \t ", "\x0b", "\x0c"])
INDEX = some.sampled_from(["{}", "0{}", "+{}"])


@some.composite
def lines(draw: some.DrawFn) -> str:
    columns = sorted(draw(some.sets(some.integers(0, 70), max_size=60)))
    tokens = [draw(NUMBER), *(["qid:7"] if draw(some.booleans()) else [])]
    tokens += [draw(INDEX).format(column) + ":" + draw(NUMBER) for column in columns]
    ends = some.sampled_from(["", " ", "\r", " # a comment: 3:4", "#"])
    return draw(some.sampled_from(["", " "])) + draw(GAP).join(tokens) + draw(ends)


@settings(max_examples=200, deadline=None)
@given(text=some.lists(some.one_of(lines(), some.sampled_from(["", "# 1 1:1", " \t"])), max_size=6))
def test_valid_text_in_any_spelling_gives_scikit_learns_arrays(text: list[str]) -> None:
    content = "\n".join(text).encode() + b"\n"
    assert arrays(parsed(content)) == by_scikit_learn(content)


@settings(max_examples=200, deadline=None)
@given(line=lines())
def test_the_kernel_and_the_grammar_agree(line: str) -> None:
    told, block = parse_line(line.encode(), 0, np.finfo(np.float64).max), parsed(line.encode())
    assert told is not None
    assert (block.labels.tolist(), block.indices.tolist()) == ([told.label], told.indices)
    assert block.values.tobytes() == np.array(told.values, np.float64).tobytes()


def long_text(rows: int, bad: int | None = None) -> bytes:
    chance = np.random.default_rng(0)
    text = [b"# head"]
    for row in range(rows):
        columns = np.flatnonzero(chance.random(30) < 0.3)
        pairs = " ".join(f"{column}:{chance.standard_normal()!r}" for column in columns)
        text.append(b"1 3:x" if row == bad else f"{row % 2} {pairs}".encode())
    return b"\n".join(text)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svmlight_blocks, "BLOCK", 500)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("jobs", [1, 3])
def test_blocks_put_together_are_the_whole(tmp_path: Path, jobs: int) -> None:
    path = tmp_path / "a.svm"
    path.write_bytes(long_text(400))
    blocks = list(read_blocks(path, Terms(), jobs))
    whole = parsed(long_text(400))
    assert len(blocks) > 50
    for name in ("indices", "values", "labels"):
        joined = np.concatenate([getattr(block, name) for block in blocks])
        assert joined.tobytes() == getattr(whole, name).tobytes()
    lengths = np.concatenate([np.diff(block.indptr) for block in blocks])
    assert np.array_equal(lengths, np.diff(whole.indptr))
    assert sum(block.lines for block in blocks) == whole.lines == 401


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_fault_far_into_a_file_is_named_by_its_line(tmp_path: Path, jobs: int) -> None:
    path = tmp_path / "a.svm"
    path.write_bytes(long_text(400, bad=333))
    with pytest.raises(DataError, match=r"a\.svm:335:5: value 'x' is not a number"):
        list(read_blocks(path, Terms(), jobs))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("jobs", [1, 3])
def test_compressed_text_gives_the_same_blocks_and_faults(tmp_path: Path, jobs: int) -> None:
    for bad in (None, 333):
        plain, packed = tmp_path / "a.svm", tmp_path / "a.svm.gz"
        plain.write_bytes(long_text(400, bad=bad or -1))
        packed.write_bytes(gzip.compress(plain.read_bytes()))
        found = []
        for path in (plain, packed):
            try:
                found.append([arrays(block) for block in read_blocks(path, Terms(), jobs)])
            except DataError as error:
                found.append(str(error).replace(".gz", ""))
        assert found[0] == found[1]


def test_text_is_decompressed_while_what_came_before_is_parsed() -> None:
    made = threading.Semaphore(0)

    def texts() -> Generator[np.ndarray, None, None]:
        for number in range(4):
            made.release()
            yield np.full(1, number, np.uint8)

    seen = []
    for text in svmlight_blocks.ahead(texts()):
        # whoever parses this text waits for the next one, which nobody has asked for yet
        assert made.acquire(timeout=60.0)
        if len(seen) < 3:
            assert made.acquire(timeout=60.0)
            made.release()
        seen.append(int(text[0]))
    assert seen == [0, 1, 2, 3]


def test_what_is_read_ahead_is_let_go_where_nobody_goes_on() -> None:
    closed = threading.Event()

    def texts() -> Generator[np.ndarray, None, None]:
        try:
            while True:
                yield np.zeros(1, np.uint8)
        finally:
            closed.set()

    reading = svmlight_blocks.ahead(texts())
    next(reading)
    reading.close()
    assert closed.is_set()


@pytest.mark.usefixtures("small_blocks")
def test_a_line_longer_than_a_block_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.svm"
    path.write_text("1 " + " ".join(f"{column}:1" for column in range(1, 900)) + "\n-1 3:1")
    rows = read_svmlight(path)
    assert np.diff(rows.indptr).tolist() == [899, 1]


def test_bad_lines_are_skipped_and_counted_where_asked() -> None:
    text = b"1 1:1\n1 2:x\n-1 3:1 3:1\nspam\n# fine\n-1 4:2\n1 9"
    block = parsed(text, Terms(skip_bad_lines=True))
    assert (block.bad_lines, block.lines) == (4, 7)
    assert block.labels.tolist() == [1, -1]
    assert (block.indices.tolist(), block.values.tolist()) == ([1, 4], [1, 2])


def test_text_is_not_read_beyond_its_end() -> None:
    content = np.frombuffer(b"1 1:1\n-1 2:1\n1 7:7\n", np.uint8)
    assert parse_block(content[:13], Terms()).indices.tolist() == [1, 2]


def test_a_file_that_shrinks_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.svm"
    path.write_bytes(long_text(400))
    monkeypatch.setattr(svmlight_blocks, "BLOCK", 500)
    blocks = read_blocks(path, Terms())
    next(blocks)
    os.truncate(path, 6_000)
    with pytest.raises(DataError, match=r"a\.svm: changed while it was read"):
        list(blocks)
