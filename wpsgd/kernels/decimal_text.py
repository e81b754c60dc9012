"""Decimal text to the nearest float64, bit for bit what Python's float() gives.

Up to 2^53 and powers of ten up to 22 one multiplication or division is exact (Clinger, PLDI 1990). Beyond,
the algorithm of Eisel and Lemire (Lemire, Software: Practice and Experience 51, 2021): the leading 128 bits
of a power of five decide nearly always. What they do not decide is left to the caller.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.kernels.compile import kernel

DIGITS = 18  # so many fit an int64 with one more to spare
LOWEST, HIGHEST = -342, 308  # powers of ten between which a float64 can be neither 0 nor infinite
EXACT = 2**53
UNDECIDED = math.nan
LONG = 10_000  # an exponent beyond which more digits change nothing


def _powers_of_five() -> NDArray[np.uint64]:
    """Upper and lower half of the leading 128 bits of 5^q for LOWEST <= q <= HIGHEST: shape (q, 2).

    Rounded as the proof of the algorithm has it: from 5^-27 to 5^-1 up, all others down.
    """
    table = np.empty((HIGHEST - LOWEST + 1, 2), dtype=np.uint64)
    for place, q in enumerate(range(LOWEST, HIGHEST + 1)):
        power = 5 ** abs(q)
        bits = power.bit_length()
        if -27 <= q < 0:
            leading = (1 << (bits + 127)) // power + 1
        elif q < 0:
            leading = (1 << (2 * bits + 128)) // power + 1
            leading >>= leading.bit_length() - 128
        else:
            leading = power << (128 - bits) if bits <= 128 else power >> (bits - 128)
        table[place] = leading >> 64, leading & (2**64 - 1)
    return table


FIVES = _powers_of_five()
TENS = np.array([10.0**power for power in range(23)])

U1, U3, U9, U32 = (np.uint64(number) for number in (1, 3, 9, 32))
LOW_HALF = np.uint64(0xFFFFFFFF)
LOW_NINE = np.uint64(0x1FF)
ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
HIDDEN = np.uint64(1 << 52)


@kernel
def byte_at(text: Any, at: int) -> Any:
    """The byte as an int64; an unsigned index spares the test for negative ones."""
    return np.int64(text[np.uint64(at)])


@kernel
def multiplied(a: Any, b: Any) -> Any:
    """(upper, lower) half of the product of two uint64."""
    a0, a1, b0, b1 = a & LOW_HALF, a >> U32, b & LOW_HALF, b >> U32
    low, middle, other = a0 * b0, a1 * b0, a0 * b1
    carry = ((low >> U32) + (middle & LOW_HALF) + (other & LOW_HALF)) >> U32
    return a1 * b1 + (middle >> U32) + (other >> U32) + carry, a * b


@kernel
def leading_zeros(number: Any) -> int:
    """Zero bits above the highest one of a uint64 that is not 0."""
    zeros = 0
    for width in (32, 16, 8, 4, 2, 1):
        if number >> np.uint64(64 - width) == 0:
            number = number << np.uint64(width)
            zeros += width
    return zeros


@kernel
def scaled(digits: int, exponent: int) -> Any:
    """The float64 nearest to digits x 10^exponent, 0 < digits <= 10^18; UNDECIDED for the caller to find."""
    if digits <= EXACT and -22 <= exponent <= 22:
        return digits / TENS[-exponent] if exponent < 0 else digits * TENS[exponent]
    if exponent < LOWEST or exponent > HIGHEST:
        return UNDECIDED
    zeros = leading_zeros(np.uint64(digits))
    shifted = np.uint64(digits) << np.uint64(zeros)
    place = exponent - LOWEST
    upper, lower = multiplied(shifted, FIVES[place, 0])
    if upper & LOW_NINE == LOW_NINE:  # the lower half of the power may matter
        more, _ = multiplied(shifted, FIVES[place, 1])
        lower += more
        if lower < more:
            upper += U1
        if lower == ALL_ONES and not -27 <= exponent <= 55:
            return UNDECIDED
    top = upper >> np.uint64(63)
    mantissa = upper >> (top + U9)
    binary = ((217706 * exponent) >> 16) + 63 + int(top) - zeros + 1023
    if binary <= 0 or binary >= 2046:
        return UNDECIDED  # subnormal, or so large that rounding may make it infinite
    # half-way cases: only between these powers can the product be exact, and then it is rounded to even
    if lower <= U1 and -4 <= exponent <= 23 and mantissa & U3 == U1 and mantissa << (top + U9) == upper:
        mantissa -= U1
    mantissa = (mantissa + (mantissa & U1)) >> U1
    if mantissa == HIDDEN << U1:
        mantissa = HIDDEN
        binary += 1
    return math.ldexp(float(mantissa), int(binary - 1023 - 52))


@kernel
def number_at(text: Any, at: int) -> Any:
    """(value, end) of the number at `at`: [+-]digits[.digits][e[+-]digits], some of the digits absent.

    text: uint8, with a byte that belongs to no number behind it. The value is UNDECIDED where there is no
    such number, or where finding its float64 takes exact arithmetic.
    """
    negative = byte_at(text, at) == 45
    if negative or byte_at(text, at) == 43:
        at += 1
    first, digits, exponent = at, 0, 0
    digit = byte_at(text, at) - 48
    while 0 <= digit <= 9:
        digits = 10 * digits + digit
        at += 1
        digit = byte_at(text, at) - 48
    seen = at - first
    if digit == -2:
        at += 1
        behind_point = at
        digit = byte_at(text, at) - 48
        while 0 <= digit <= 9:
            digits = 10 * digits + digit
            at += 1
            digit = byte_at(text, at) - 48
        exponent = behind_point - at
        seen -= exponent
    if seen == 0:
        return UNDECIDED, at
    cut = False
    if seen > DIGITS:
        digits, exponent, cut = leading_digits(text, first, at)
    if digit | 32 == 53:  # e or E, less 48
        power, at = exponent_at(text, at + 1)
        exponent += power
    value = 0.0
    if digits > 0:
        value = scaled(digits, exponent)
        if cut and value != scaled(digits + 1, exponent):
            value = UNDECIDED
    return -value if negative else value, at


@kernel
def leading_digits(text: Any, at: int, end: int) -> Any:
    """(digits, power of ten, whether others than zeros were left out) of `digits[.digits]` in [at, end)."""
    digits, exponent, used, cut, whole = 0, 0, 0, False, True
    for place in range(at, end):
        digit = byte_at(text, place) - 48
        if digit < 0:
            whole = False
        elif used < DIGITS:
            digits = 10 * digits + digit
            used += digits > 0
            exponent -= not whole
        else:
            cut |= digit > 0
            exponent += whole
    return digits, exponent, cut


@kernel
def exponent_at(text: Any, at: int) -> Any:
    """(power, end) of `[+-]digits`; without digits the end is that of something else than a number."""
    down = byte_at(text, at) == 45
    if down or byte_at(text, at) == 43:
        at += 1
    power, first = 0, at
    while 48 <= byte_at(text, at) <= 57:
        power = min(10 * power + byte_at(text, at) - 48, LONG)
        at += 1
    return (-power if down else power), at if at > first else first - 1
