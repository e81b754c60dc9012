"""The grammar of a line of svmlight text, which names the place of whatever is wrong.

Slow, and used only for the few lines that the kernel leaves: its word is what counts.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np

from wpsgd.data.foreign import hint

LARGEST_INDEX = int(np.iinfo(np.int32).max)
SHOWN = 40  # characters of a token
INTEGER = re.compile(rb"[+-]?[0-9]+")  # int() also reads 1_000
SORTING = "sort_indices sorts them ([data] sort_indices = true, wpsgd data convert --sort-indices)"


class Line(NamedTuple):
    """What a line holds; indices as they are written."""

    label: float
    indices: list[int]
    values: list[float]


class Fault(Exception):
    """What is wrong, and where: a line and a column, both counted from 1, the column in bytes."""

    def __init__(self, what: str, column: int = 0, line: int = 1) -> None:
        super().__init__(what)
        self.what, self.column, self.line = what, column, line

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.what}"


def parse_line(text: bytes, lowest: int, largest: float, any_order: bool = False) -> Line | None:
    """The label and the entries of a line, or None where it is blank or a comment.

    lowest: the smallest index there may be; largest: the largest magnitude of a value
    any_order: whether indices may stand in any order, to be sorted here; none may occur twice
    Raises Fault, of line 1, for the first thing that is wrong, which names another tool's format.
    """
    label: float | None = None
    entries: dict[int, float] = {}
    content = text.partition(b"#")[0]
    tokens = list(re.finditer(rb"\S+", content))
    place = 0
    while place < len(tokens):
        token, start = tokens[place].group(), tokens[place].start()
        try:
            if label is None:
                label = _checked_label(token)
            elif not (place == 1 and token.startswith(b"qid:")):
                place += _add_entry(entries, tokens[place : place + 2], lowest, largest, any_order)
        except Fault as fault:
            raise Fault(fault.what + hint(content), start + 1 + fault.column) from None
        place += 1
    if label is None:
        return None
    indices = sorted(entries) if any_order else list(entries)
    return Line(label, indices, [entries[index] for index in indices])


def _checked_label(token: bytes) -> float:
    if b":" in token:
        raise Fault(f"{_shown(token)} stands where the label should be")
    label = _number(token)
    if label is None:
        raise Fault(f"label {_shown(token)} is not a number")
    if not math.isfinite(label):
        raise Fault(f"label {_shown(token)} is not finite")
    return label


def _add_entry(
    entries: dict[int, float], tokens: list[re.Match[bytes]], lowest: int, largest: float, any_order: bool
) -> int:
    """Adds the entry of the first token; how many more it took: 1 where a blank stands behind the colon."""
    token = tokens[0].group()
    index_text, colon, value_text = token.partition(b":")
    if not colon:
        raise Fault(f"{_shown(token)} is not index:value")
    index = _checked_index(token, index_text, entries, lowest, any_order)
    offset, more = len(index_text) + 1, 0
    if not value_text and len(tokens) > 1 and b":" not in tokens[1].group():
        value_text, offset, more = tokens[1].group(), tokens[1].start() - tokens[0].start(), 1
    value = _number(value_text)
    if not value_text:
        raise Fault(f"{_shown(token)} has no value", offset)
    if value is None:
        raise Fault(f"value {_shown(value_text)} is not a number", offset)
    if not abs(value) <= largest:
        raise Fault(f"value {_shown(value_text)} is not finite", offset)
    entries[index] = value
    return more


def _checked_index(token: bytes, text: bytes, entries: dict[int, float], lowest: int, any_order: bool) -> int:
    if not text:
        raise Fault(f"{_shown(token)} has no index")
    try:
        index = int(text) if INTEGER.fullmatch(text) else None
    except ValueError:  # thousands of digits
        index = None
    if index is None:
        raise Fault(f"index {_shown(text)} is not an integer")
    previous = next(reversed(entries), -1)
    for broken, what in (
        (index < 0, f"index {_brief(index)} is negative"),
        (index < lowest, "index 0 in a file that is said to count from 1 (zero_based = false)"),
        (index > LARGEST_INDEX, f"index {_brief(index)} is beyond int32 ({LARGEST_INDEX})"),
        (index in entries, f"index {_brief(index)} occurs twice in the row"),
        (
            index < previous and not any_order,
            f"index {_brief(index)} follows {previous}: indices must ascend within a row: {SORTING}",
        ),
    ):
        if broken:
            raise Fault(what)
    return index


def _number(text: bytes) -> float | None:
    if b"_" in text:  # which float() reads between digits
        return None
    try:
        return float(text)
    except ValueError:
        return None


def _shown(token: bytes) -> str:
    text = token[:SHOWN].decode("utf-8", "replace")
    return repr(text if len(token) <= SHOWN else f"{text}...")


def _brief(index: int) -> str:
    text = str(index)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
