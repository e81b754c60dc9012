"""The command `python -m experiments.rules`: all cases, kept in a file as they come, and tables of them.

python -m experiments.rules --folder ../shared/data --jobs 2      10 minutes of one core a seed
python -m experiments.rules --tables                              of the cases that are there
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from experiments.rules.grid import Case, cases
from experiments.rules.outcome import outcome
from experiments.rules.tables import tables
from wpsgd.errors import WPSGDError

TOGETHER = 12  # cases between two writings
REAL = ("reuters", "news20")


def main() -> None:
    parser = ArgumentParser(prog="python -m experiments.rules", description=__doc__)
    parser.add_argument("--folder", type=Path, help="holds reuters.bz2, reuters.t.bz2 and news20.bz2")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--records", type=Path, default=Path("runs/rules.jsonl"))
    parser.add_argument("--tables", action="store_true", help="trains nothing")
    parser.add_argument("--out", type=Path, default=Path("experiments/results/rules.txt"))
    options = parser.parse_args()
    records = earlier(options.records)
    if not options.tables:
        train(options.records, records, options.folder, options.jobs, options.seeds)
    options.out.write_text(tables(records))
    print(options.out.read_text(), end="")


def train(file: Path, records: list[dict[str, Any]], folder: Path | None, jobs: int, seeds: int) -> None:
    """Runs the cases that no record is of, and appends theirs to the list and to the file."""
    data = ("real-sim-twin", *(REAL if folder else ()))
    known = {tuple(record[name] for name in Case.__slots__) for record in records}
    left = iter([case for case in cases(data, seeds) if tuple(asdict(case).values()) not in known])
    file.parent.mkdir(parents=True, exist_ok=True)
    with Parallel(n_jobs=jobs) as pool:
        while some := list(islice(left, TOGETHER)):
            found = [
                record for part in pool(delayed(outcome)(case, folder) for case in some) for record in part
            ]
            records += found
            with file.open("a") as stream:
                stream.writelines(json.dumps(record) + "\n" for record in found)


def earlier(file: Path) -> list[dict[str, Any]]:
    """The records of a file, none where there is no file."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


if __name__ == "__main__":
    try:
        main()
    except WPSGDError as error:
        raise SystemExit(f"error: {error}") from None
