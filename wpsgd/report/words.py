"""How numbers and ranks are written in tables and figures."""

from __future__ import annotations

from collections.abc import Iterable

from wpsgd.report.summaries import RankSummary

NOTHING = "-"
LISTED = 8  # ranks that are named one by one


def decimal(value: float | None, digits: int = 3) -> str:
    """A number with so many significant digits, large ones in full: `0.0712`, `4.00`, `1,234`."""
    if value is None or value == 0:
        return NOTHING if value is None else "0"
    return f"{value:,.0f}" if 10 ** (digits - 1) <= abs(value) < 1e15 else f"{value:#.{digits}g}".rstrip(".")


def short(value: float | None) -> str:
    """A count with a unit prefix: `950`, `12.5k`, `1.20M`."""
    if value is None:
        return NOTHING
    for unit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * unit:
            return f"{decimal(value / unit)}{prefix}"
    return f"{value:.3g}"


def percent(share: float | None) -> str:
    """A share in per cent: `38 %`, `2.4 %`, `<0.1 %`."""
    if share is None:
        return NOTHING
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.0f} %" if share >= 0.0995 or share == 0 else f"{100 * share:.2g} %"


def emulated(rank: RankSummary) -> str:
    """`x0.25 emulated`, or an empty string where the rank ran as fast as it can."""
    return "" if rank.speed in (None, 1) else f"x{rank.speed:g} emulated"


def rank_label(rank: RankSummary) -> str:
    """`rank 3 (x0.25 emulated)`, `rank 0`."""
    note = emulated(rank)
    return f"rank {rank.rank} ({note})" if note else f"rank {rank.rank}"


def emulation_note(ranks: Iterable[RankSummary]) -> str:
    """`Emulated speeds: rank 1 x0.5, ranks 2-3 x0.25`, or an empty string where no speed is emulated."""
    by_speed: dict[float, list[int]] = {}
    for rank in ranks:
        if emulated(rank) and rank.speed is not None:
            by_speed.setdefault(rank.speed, []).append(rank.rank)
    parts = [f"{_ranks(numbers)} x{speed:g}" for speed, numbers in by_speed.items()]
    return f"Emulated speeds: {', '.join(parts)}" if parts else ""


def _ranks(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"rank {numbers[0]}"
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"ranks {numbers[0]}-{numbers[-1]}"
    return f"ranks {'+'.join(map(str, numbers))}" if len(numbers) <= LISTED else f"{len(numbers)} ranks"
