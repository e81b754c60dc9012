"""Tests of decimal text as float64: every value that is decided is Python's, bit for bit."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from wpsgd.kernels.decimal_text import number_at

DIGITS = some.text("0123456789", max_size=24)


def read(text: str) -> tuple[float, int]:
    value, end = number_at(np.frombuffer(text.encode() + b"\n", np.uint8), 0)
    return float(value), int(end)


def agrees(text: str) -> bool:
    """Whether the kernel took all of a number and found Python's bits, or left it to the caller."""
    value, end = read(text)
    return math.isnan(value) or (
        end == len(text) and struct.pack("d", value) == struct.pack("d", float(text))
    )


@settings(max_examples=2000, deadline=None)
@given(value=some.floats(allow_nan=False, allow_infinity=False))
def test_the_shortest_text_of_a_float_reads_back(value: float) -> None:
    assert agrees(repr(value))
    if value == 0.0 or 2.3e-308 <= abs(value) < 8.9e307:
        assert not math.isnan(read(repr(value))[0])


@settings(max_examples=2000, deadline=None)
@given(
    sign=some.sampled_from(["", "+", "-"]),
    whole=DIGITS,
    part=some.one_of(some.none(), DIGITS),
    power=some.one_of(some.none(), some.integers(-400, 400)),
)
def test_any_spelling_is_read_as_python_reads_it(
    sign: str, whole: str, part: str | None, power: int | None
) -> None:
    text = sign + whole + ("" if part is None else f".{part}") + ("" if power is None else f"e{power}")
    try:
        float(text)
    except ValueError:
        value, end = read(text)
        assert math.isnan(value) or end != len(text)
    else:
        assert agrees(text)


@settings(max_examples=500, deadline=None)
@given(value=some.floats(1e-12, 1e15), above=some.sampled_from([-1, 0, 1]))
def test_texts_half_way_between_two_floats_are_not_read_wrongly(value: float, above: int) -> None:
    middle = (Fraction(value) + Fraction(math.nextafter(value, math.inf))) / 2
    places = middle.denominator.bit_length() - 1
    digits = str(middle.numerator * 5**places + above).rjust(places + 1, "0")
    assert agrees(f"{digits[:-places]}.{digits[-places:]}" if places else digits)


@settings(max_examples=500, deadline=None)
@given(digits=some.integers(2**53, 2**57), power=some.integers(-5, 24))
def test_half_way_cases_that_fit_are_rounded_to_even(digits: int, power: int) -> None:
    assert agrees(f"{digits | 1}e{power}")
    assert not math.isnan(read(f"{digits | 1}e{power}")[0])


@pytest.mark.parametrize("text", ["", "+", ".", "-.", "e5", ".e5", "x", "nan", "inf"])
def test_what_is_no_number_is_undecided(text: str) -> None:
    assert math.isnan(read(text)[0])


@pytest.mark.parametrize(("text", "end"), [("1e", 1), ("1e+", 2), ("1.5.2", 3), ("1_0", 1), ("0x10", 1)])
def test_a_number_ends_where_its_spelling_does(text: str, end: int) -> None:
    assert read(text)[1] == end


@pytest.mark.parametrize("text", ["1e400", "1e-400", "5e-324", "1.7976931348623159e308", "1e99999999999999"])
def test_what_may_be_infinite_or_subnormal_is_left_to_the_caller(text: str) -> None:
    assert math.isnan(read(text)[0])
