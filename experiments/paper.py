"""The claims of the WP-SGD paper in numbers: what the traces of the studies' runs tell, over seeds.

wpsgd simulate STUDY --cluster cluster-CLUSTER --set model.seed=SEED --out runs/paper/STUDY/CLUSTER/SEED
wpsgd simulate ...                     more strategies of the same: --out runs/paper/STUDY/CLUSTER/SEED-PART
python -m experiments.paper            reads them all, writes experiments/results/paper.txt and paper.json
python -m experiments.paper --add      the same, and keeps, marked, what paper.json has of other runs
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf, log
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from wpsgd.trace import read

YARDSTICK = "sequential"
FAR = 10.0  # the target is so many times where the yardstick ends: it is met while the start's bias fades
SHARES = (0.6, 0.8, 1.0)  # of the run
OLDER = " (not run again since an earlier commit)"
# of figure 10: clusters of unequal nodes, and of as many equal ones; SimuParallel's F is the same on both
BALANCED = {
    "table-1-of-10": "balanced-10",
    "table-1-2017-10g": "balanced-20",
    "table-1-of-40": "balanced-40",
    "table-1-of-100": "table-1-of-100",
    "table-1-of-400": "table-1-of-400",
}


@dataclass(frozen=True, slots=True)
class Curve:
    """The looks at one strategy of one run, held-out objectives."""

    rows: tuple[float, ...]
    seconds: tuple[float, ...]
    objective: tuple[float, ...]

    @property
    def end(self) -> float:
        return self.objective[-1]

    def at(self, share: float) -> float:
        """The objective after that share of the rows, that of the next look."""
        return self.objective[
            next(i for i, rows in enumerate(self.rows) if rows >= share * self.rows[-1] * (1 - 1e-9))
        ]

    def reaching(self, target: float, axis: tuple[float, ...]) -> float:
        """Where on the axis the target is met, log-linear between looks; inf where it never is."""
        met = next((i for i, value in enumerate(self.objective) if value <= target), None)
        if met is None or met == 0:
            return inf if met is None else axis[0]
        above, below = log(self.objective[met - 1]), log(self.objective[met])
        share = (above - log(target)) / (above - below)
        return axis[met - 1] + share * (axis[met] - axis[met - 1])

    def overtakes(self, other: Curve) -> float:
        """The share of the rows from which on it is below the other; inf where it ends above."""
        mine, theirs = np.array(self.objective), np.array(other.objective)
        if len(mine) != len(theirs) or mine[-1] >= theirs[-1]:
            return inf
        above = np.flatnonzero(mine >= theirs)
        return self.rows[int(above[-1]) + 1 if len(above) else 0] / self.rows[-1]


def curves(folder: Path) -> dict[str, Curve]:
    """The curves of a run by label."""
    looks = defaultdict(list)
    for event in read(folder / "trace.jsonl")[1]:
        if event["kind"] == "look":
            looks[event["strategy"]].append((event["rows"], event["seconds"], event["test_objective"]))
    return {label: Curve(*zip(*sorted(set(points)), strict=True)) for label, points in looks.items()}


def by_seed(cluster: Path) -> dict[str, dict[str, Curve]]:
    """The curves of a cluster's runs by label, by seed: those of the folders SEED and SEED-PART together."""
    answer: dict[str, dict[str, Curve]] = {}
    for run in sorted(path for path in cluster.iterdir() if (path / "results.json").exists()):
        answer.setdefault(run.name.partition("-")[0], {}).update(curves(run))
    return answer


def facts(found: Mapping[str, Curve]) -> dict[str, dict[str, float]]:
    """What is told of each strategy of a run, against the yardstick where the run has it."""
    yardstick = found.get(YARDSTICK)
    answer: dict[str, dict[str, float]] = {}
    for label, curve in found.items():
        told = {"seconds": curve.seconds[-1]} | {f"F at {share:.0%}": curve.at(share) for share in SHARES}
        if yardstick is not None:
            target = FAR * yardstick.end
            rows, seconds = (curve.reaching(target, axis) for axis in (curve.rows, curve.seconds))
            told |= {"rows to target": rows, "seconds to target": seconds}
            told["rows / yardstick"] = rows / yardstick.reaching(target, yardstick.rows)
            told["seconds / yardstick"] = seconds / yardstick.reaching(target, yardstick.seconds)
            told["below yardstick from"] = curve.overtakes(yardstick)
        answer[label] = told
    return answer


def over_seeds(runs: Iterable[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, list[float]]]:
    """Lists of the numbers of all seeds, by label and what they tell."""
    answer: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        for label, told in run.items():
            for what, value in told.items():
                answer.setdefault(label, {}).setdefault(what, []).append(value)
    return answer


def against_balanced(content: Mapping[str, Any], study: str = "figure-10-zoom") -> str:
    """Figure 10: F of wp on unequal nodes over F of simuparallel on as many equal ones, seed by seed."""
    told = {
        unequal: {
            what: [ours / theirs for ours, theirs in zip(mine[what], other[what], strict=True)]
            for what in mine
        }
        for unequal, balanced in BALANCED.items()
        if {f"{study} {unequal}", f"{study} {balanced}"} <= content.keys()
        and (mine := _objectives(content[f"{study} {unequal}"]["wp"]))
        and (other := _objectives(content[f"{study} {balanced}"]["simuparallel"]))
    }
    return table("figure 10: wp on unequal nodes / simuparallel on equal ones", told) if told else ""


def _objectives(told: Mapping[str, list[float]]) -> dict[str, list[float]]:
    return {what: values for what, values in told.items() if what.startswith("F at")}


def kept(file: Path, found: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the file has of studies on clusters, by label, that is not in `found`."""
    before = json.loads(file.read_text()) if file.exists() else {}
    missing = {
        name: {label: numbers for label, numbers in told.items() if label not in found.get(name, {})}
        for name, told in before.items()
    }
    return {name: told for name, told in missing.items() if told}


def _marked(older: Mapping[str, Any] | None) -> str:
    return OLDER.replace("(", f"({', '.join(older)}: ") if older else ""


def table(title: str, told: Mapping[str, Mapping[str, list[float]]]) -> str:
    """A line a strategy: of how many seeds, means over them, with half the spread behind them."""
    columns = list(dict.fromkeys(what for values in told.values() for what in values))
    lines = [title, f"{'seeds':>22} " + " ".join(f"{column:>20}" for column in columns)]
    for label, line in told.items():
        seeds = max(map(len, line.values()))
        cells = " ".join(f"{_spread(line.get(column, [])):>20}" for column in columns)
        lines.append(f"{label:17}{seeds:>5} {cells}")
    return "\n".join(lines) + "\n"


def _spread(values: list[float]) -> str:
    if not values or inf in values:
        return "never" if values else "-"
    return f"{mean(values):.4g} +-{(max(values) - min(values)) / 2:.2g}"


def main() -> None:
    parser = ArgumentParser(prog="python -m experiments.paper", description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/paper"))
    parser.add_argument("--out", type=Path, default=Path("experiments/results/paper"))
    parser.add_argument(
        "--add", action="store_true", help="keep, marked, the numbers of runs that are not there"
    )
    options = parser.parse_args()
    content = dict[str, Any]()
    for study in sorted(path for path in options.runs.iterdir() if path.is_dir()):
        for cluster in sorted(path for path in study.iterdir() if path.is_dir()):
            told = over_seeds(facts(found) for found in by_seed(cluster).values())
            if told:
                content[f"{study.name} {cluster.name}"] = told
    older = kept(options.out.with_suffix(".json"), content) if options.add else {}
    titles = {name: f"{' on '.join(name.split())}{_marked(older.get(name))}" for name in content}
    titles = {name: f"{' on '.join(name.split())}{OLDER}" for name in older} | titles
    content = {name: {**older.get(name, {}), **content.get(name, {})} for name in sorted(titles)}
    texts = [table(titles[name], told) for name, told in content.items()]
    texts.append(against_balanced(content))
    options.out.with_suffix(".txt").write_text("\n".join(texts))
    rounded = json.loads(json.dumps(content), parse_float=lambda text: float(f"{float(text):.5g}"))
    options.out.with_suffix(".json").write_text(json.dumps(rounded, indent=1) + "\n")
    print("\n".join(texts), end="")


if __name__ == "__main__":
    main()
