"""The grammar of a line of svmlight text, which names the place of whatever is wrong.

Slow, and used only for the few lines that the kernel leaves: its word is what counts.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np

LARGEST_INDEX = int(np.iinfo(np.int32).max)


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


def parse_line(text: bytes, lowest: int, largest: float) -> Line | None:
    """The label and the entries of a line, or None where it is blank or a comment.

    lowest: the smallest index there may be; largest: the largest magnitude of a value
    Raises Fault, of line 1, for the first thing that is wrong.
    """
    line: Line | None = None
    for place, match in enumerate(re.finditer(rb"\S+", text.partition(b"#")[0])):
        token = match.group()
        try:
            if line is None:
                line = Line(_checked_label(token), [], [])
            elif not (place == 1 and token.startswith(b"qid:")):
                _add_entry(line, token, lowest, largest)
        except Fault as fault:
            raise Fault(fault.what, match.start() + 1 + fault.column) from None
    return line


def _checked_label(token: bytes) -> float:
    if b":" in token:
        raise Fault(f"{_shown(token)} stands where the label should be")
    label = _number(token)
    if label is None:
        raise Fault(f"label {_shown(token)} is not a number")
    if not math.isfinite(label):
        raise Fault(f"label {_shown(token)} is not finite")
    return label


def _add_entry(line: Line, token: bytes, lowest: int, largest: float) -> None:
    index_text, colon, value_text = token.partition(b":")
    if not colon:
        raise Fault(f"{_shown(token)} is not index:value")
    index = _checked_index(token, index_text, line.indices[-1] if line.indices else -1, lowest)
    value = _number(value_text)
    offset = len(index_text) + 1
    if not value_text:
        raise Fault(f"{_shown(token)} has no value", offset)
    if value is None:
        raise Fault(f"value {_shown(value_text)} is not a number", offset)
    if not abs(value) <= largest:
        raise Fault(f"value {_shown(value_text)} is not finite", offset)
    line.indices.append(index)
    line.values.append(value)


def _checked_index(token: bytes, text: bytes, previous: int, lowest: int) -> int:
    if not text:
        raise Fault(f"{_shown(token)} has no index")
    try:
        index = int(text)
    except ValueError:
        raise Fault(f"index {_shown(text)} is not an integer") from None
    for broken, what in (
        (index < 0, f"index {_brief(index)} is negative"),
        (index < lowest, "index 0 in a file that is said to count from 1 (zero_based = false)"),
        (index > LARGEST_INDEX, f"index {_brief(index)} is beyond int32 ({LARGEST_INDEX})"),
        (index == previous, f"index {_brief(index)} occurs twice in the row"),
        (
            index < previous,
            f"index {_brief(index)} follows {previous}: indices must ascend within a row",
        ),
    ):
        if broken:
            raise Fault(what)
    return index


def _number(text: bytes) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _shown(token: bytes) -> str:
    return repr(token.decode("utf-8", "replace"))


def _brief(index: int) -> str:
    text = str(index)
    return text if len(text) <= 40 else f"{text[:40]}..."
