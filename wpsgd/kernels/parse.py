"""Svmlight bytes to arrays: the lines that nearly all files are made of, at some nanoseconds an entry.

A line with anything else in it is left to the caller: wrong ones, and spellings that are as rare as right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wpsgd.kernels.compile import kernel
from wpsgd.kernels.decimal_text import byte_at, number_at

NEWLINE, HASH, COLON, SPACE = 10, 35, 58, 32
LARGEST_INDEX = 2**31 - 1


@kernel
def is_blank(byte: int) -> bool:
    """Whether it parts tokens within a line."""
    return byte == SPACE or byte == 9 or 11 <= byte <= 13


@kernel
def ends_token(byte: int) -> bool:
    """Whether it is no part of a token."""
    return is_blank(byte) or byte in (NEWLINE, HASH)


@kernel
def after_line(text: Any, at: int) -> int:
    """Where the next line begins."""
    while byte_at(text, at) != NEWLINE:
        at += 1
    return at + 1


@kernel
def after_blanks(text: Any, at: int) -> int:
    """Where the next token or the end of the line is."""
    while is_blank(byte_at(text, at)):
        at += 1
    return at


@kernel
def after_query(text: Any, at: int) -> int:
    """Behind a `qid:` token, or `at` where there is none."""
    if (
        byte_at(text, at) != 113
        or byte_at(text, at + 1) != 105
        or byte_at(text, at + 2) != 100
        or byte_at(text, at + 3) != COLON
    ):
        return at
    while not ends_token(byte_at(text, at)):
        at += 1
    return after_blanks(text, at)


@kernel
def sorted_entries(indices: Any, values: Any, first: int, last: int) -> bool:
    """Sorts the entries first to last of a row by index, in place; whether no index occurs twice."""
    order = np.argsort(indices[first:last])
    indices[first:last] = indices[first:last][order]
    values[first:last] = values[first:last][order]
    return not (indices[first + 1 : last] == indices[first : last - 1]).any()


@kernel
def parse_lines(
    text: Any,
    at: int,
    lowest: int,
    largest: float,
    any_order: bool,
    row: int,
    indptr: Any,
    indices: Any,
    values: Any,
    labels: Any,
) -> Any:
    """Parses lines from `at` on, up to the end or to the first line that is not of the plain kind.

    text: uint8, whole lines, the last byte a newline
    lowest: the smallest index there may be; largest: the largest magnitude of a value
    any_order: whether the indices of a row may stand in any order, to be sorted here
    row: the rows there are already; indptr[row] says how many entries
    indptr, indices, values, labels: int64, int32, float, float64, changed in place, with room for all

    Returns (row, at, lines): the rows there are then, the end of the text or where the unparsed line begins,
    and the lines before it.
    """
    lines = 0
    while at < text.size:
        line = at
        at = after_blanks(text, at)
        if byte_at(text, at) == NEWLINE or byte_at(text, at) == HASH:
            at = after_line(text, at)
            lines += 1
            continue
        label, at = number_at(text, at)
        if label != label or not ends_token(byte_at(text, at)):
            return row, line, lines
        at = after_query(text, after_blanks(text, at))
        entry, previous, ascending = indptr[row], lowest - 1, True
        while byte_at(text, at) != NEWLINE and byte_at(text, at) != HASH:
            index, first = 0, at
            while 48 <= byte_at(text, at) <= 57:
                index = min(10 * index + byte_at(text, at) - 48, LARGEST_INDEX + 1)
                at += 1
            if at == first or byte_at(text, at) != COLON or not lowest <= index <= LARGEST_INDEX:
                return row, line, lines
            if index <= previous:
                if not any_order:
                    return row, line, lines
                ascending = False
            at += 1
            if byte_at(text, at) <= SPACE:  # LIBSVM's protein has "63: .50"
                at = after_blanks(text, at)
            value, at = number_at(text, at)
            # the comparison is false for undecided numbers too
            if not abs(value) <= largest or not ends_token(byte_at(text, at)):
                return row, line, lines
            indices[entry] = index
            values[entry] = value
            entry += 1
            previous = index
            at = after_blanks(text, at)
        if not ascending and not sorted_entries(indices, values, indptr[row], entry):
            return row, line, lines
        at = after_line(text, at)
        labels[row] = label
        row += 1
        lines += 1
        indptr[row] = entry
    return row, at, lines
