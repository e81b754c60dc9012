"""Tables of the study of the rules: how much worse than the best rule of a case each rule is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from statistics import mean, median
from typing import Any

from experiments.rules.grid import COMPARED, ROUNDS
from wpsgd.errors import DataError

Record = dict[str, Any]
SCORES = ("objective", "searched", "test_objective")
WORST = 9.99  # as which a larger loss counts, and a model that is not finite: means stay means
CASE = ("data", "speeds", "dealt", "rounds", "schedule", "x", "seed")


def losses(records: Iterable[Record], score: str) -> list[Record]:
    """Each record with `loss`: its score over the best rule's in its case, less 1; WORST without a score."""
    cases = defaultdict(list)
    for record in records:
        cases[tuple(record[name] for name in CASE)].append(record)
    return [
        {**record, "loss": WORST if record[score] is None else min(WORST, record[score] / best - 1.0)}
        for case in cases.values()
        if (best := min((one[score] for one in case if one[score] is not None), default=None)) is not None
        for record in case
    ]


def tables(records: list[Record]) -> str:
    """Rules against eta lambda T, speeds and shards, and accuracy. Raises DataError without records."""
    if not records:
        raise DataError("no records of cases to make tables of: train some first, without --tables")
    seeds, data = (sorted({record[name] for record in records}) for name in ("seed", "data"))
    parts = [
        f"Data: {', '.join(data)}; seeds: {seeds}. Losses are per cent above the best rule of a case,\n"
        "+- half the spread of `all` between seeds.\n"
    ]
    for rounds in ROUNDS:
        for score, called in zip(SCORES, ("F", "F after a line search", "held-out F"), strict=True):
            chosen = [record for record in losses(records, score) if record["rounds"] == rounds]
            parts.append(
                table(
                    f"{rounds}, {called}: mean loss at eta lambda T, or T where steps decay", chosen, _length
                )
            )
        places = [record for record in losses(records, SCORES[2]) if record["rounds"] == rounds]
        parts.append(table(f"{rounds}, held-out F: mean loss by speeds and shards", places, _place))
        parts.append(table(f"{rounds}, held-out F: worst loss by speeds and shards", places, _place, max))
        parts.append(
            table(
                f"{rounds}, held-out F: median loss by data",
                places,
                lambda record: str(record["data"]),
                median,
            )
        )
        parts.append(accuracies([record for record in records if record["rounds"] == rounds], rounds))
    return "\n".join(parts)


def table(
    title: str, records: list[Record], column: Callable[[Record], str], summary: Callable[[Any], float] = mean
) -> str:
    """A line a rule, the best first, with a summary of the losses in each column and over all.

    Of several seeds half the spread between theirs, the largest less the smallest, is behind that over all.
    """
    cells = defaultdict(list)
    for record in records:
        for place in (column(record), "all", record["seed"]):
            cells[record["rule"], place].append(100.0 * record["loss"])
    columns, seeds = [*dict.fromkeys(map(column, records)), "all"], {record["seed"] for record in records}
    lines = {rule: [summary(cells[rule, place]) for place in columns] for rule in COMPARED}
    ranked = sorted(lines.items(), key=lambda line: line[1][-1])
    if len(seeds) > 1:
        columns.append("+-")
        for rule, line in ranked:
            by_seed = [summary(cells[rule, seed]) for seed in seeds]
            line.append((max(by_seed) - min(by_seed)) / 2.0)
    return _formatted(title, columns, ranked, ".1f")


def accuracies(records: list[Record], rounds: str) -> str:
    """Held-out accuracy, the mean over all cases of a length."""
    cells = defaultdict(list)
    for record in records:
        cells[record["rule"], _length(record)].append(record["accuracy"] or 0.0)
    columns = [*dict.fromkeys(map(_length, records))]
    lines = {rule: [100.0 * mean(cells[rule, place]) for place in columns] for rule in COMPARED}
    ranked = sorted(lines.items(), key=lambda line: -mean(line[1]))
    return _formatted(f"{rounds}, held-out accuracy, per cent", columns, ranked, ".2f")


def _length(record: Record) -> str:
    return f"{record['x']:g}" if record["schedule"] == "constant" else f"T={record['x']:.0e}"


def _place(record: Record) -> str:
    return f"{record['speeds']}/{record['dealt']}"


def _formatted(title: str, columns: list[str], lines: Iterable[tuple[str, list[float]]], form: str) -> str:
    widths = [max(7, len(column)) for column in columns]
    head = f"{'':18}" + " ".join(f"{column:>{width}}" for column, width in zip(columns, widths, strict=True))
    body = [
        f"{rule:18}"
        + " ".join(f"{value:>{width}{form}}" for value, width in zip(values, widths, strict=True))
        for rule, values in lines
    ]
    return "\n".join([title, head, *body]) + "\n"
