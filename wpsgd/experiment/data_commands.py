"""The commands data list, info, fetch, generate and convert."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from wpsgd.experiment.places import refuse_launcher
from wpsgd.experiment.printing import print_facts, wide_console

data_app = typer.Typer(
    invoke_without_command=True,
    help="Data sets: the catalogue, files, synthetic twins.",
    epilog="Examples:\n\nwpsgd data list\n\nwpsgd data info train.svm.bz2",
)
SortIndices = Annotated[
    bool, typer.Option("--sort-indices", help="Sorts indices that do not ascend within a row.")
]
TEXT = (
    "svmlight text: a file, plain or compressed, - for what is piped in, a folder or a quoted pattern of"
    " part files"
)
AsJson = Annotated[bool, typer.Option("--json", help="Prints one JSON object on stdout.")]


@data_app.callback()
def data(context: typer.Context) -> None:
    """Data sets: the catalogue, files, synthetic twins."""
    refuse_launcher("data")
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


@data_app.command("list", epilog="Examples:\n\nwpsgd data list\n\nwpsgd data list --json")
def list_(as_json: AsJson = False) -> None:
    """The data sets that are known by name."""
    from wpsgd.data import catalog

    entries = [catalog.entry(name) for name in catalog.names()]
    if as_json:
        print(json.dumps({"data": [entry.model_dump(mode="json", exclude_none=True) for entry in entries]}))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("name", "rows", "features", "non-zeros", "from", "what"):
        number = column in ("rows", "features", "non-zeros")
        table.add_column(column, justify="right" if number else "left", no_wrap=column != "what")
    for entry in entries:
        sizes = (f"{entry.rows:,}", f"{entry.features:,}", f"{entry.nonzeros:,}")
        table.add_row(entry.name, *sizes, entry.origin, entry.title)
    wide_console().print(table)


@data_app.command(
    epilog="Examples:\n\nwpsgd data info train.svm.bz2\n\nwpsgd data info real-sim-twin --scale 0.1 --json"
)
def info(
    source: Annotated[str, typer.Argument(help=f"{TEXT}; a converted folder; or a name.")],
    scale: Annotated[float, typer.Option(help="Of a synthetic data set.")] = 1.0,
    positive: Annotated[list[float] | None, typer.Option(help="Labels that mean +1.")] = None,
    sort_indices: SortIndices = False,
    as_json: AsJson = False,
) -> None:
    """Reads a data set and says what is in it."""
    from wpsgd.data import catalog
    from wpsgd.data.load import load
    from wpsgd.data.source import expanded
    from wpsgd.data.store import is_store, open_store

    path = Path(source) if source in catalog.names() else expanded(source)
    scaled = is_store(path) and open_store(path).meta.unit_norm
    dataset = load(source, scale=scale, positive=positive, unit_norm=scaled, sort_indices=sort_indices)
    rows = dataset.train
    norms = rows.squared_norms() ** 0.5
    facts = {
        "name": dataset.name,
        "rows": len(rows),
        "features": rows.features,
        "nonzeros": rows.nonzeros,
        "nonzeros_per_row": rows.nonzeros / len(rows),
        "positive_share": float((rows.labels > 0).mean()),
        "shortest_row": float(norms.min()),
        "longest_row": float(norms.max()),
        "test_rows": 0 if dataset.test is None else len(dataset.test),
    }
    if as_json:
        print(json.dumps({**facts, "notes": list(dataset.notes)}))
        return
    for note in dataset.notes:
        typer.echo(f"note: {note}", err=True)
    print_facts({name.replace("_", " "): value for name, value in facts.items()})


@data_app.command(epilog="Example:\n\nwpsgd data fetch real-sim")
def fetch(
    name: Annotated[str, typer.Argument(help="A name of the catalogue.")], as_json: AsJson = False
) -> None:
    """Downloads a data set of the catalogue, and says where it is."""
    from wpsgd.data import catalog

    files = {"train": catalog.fetch(name)}
    if catalog.entry(name).test is not None:
        files["test"] = catalog.fetch(name, "test")
    if as_json:
        print(json.dumps({part: str(path) for part, path in files.items()}))
    else:
        for path in files.values():
            print(path)


@data_app.command(
    epilog="Examples:\n\nwpsgd data generate real-sim-twin twin.svm.gz --scale 0.1 --seed 7"
    "\n\nwpsgd data generate kdd2010-twin kdd --store --dtype float32"
)
def generate(
    name: Annotated[str, typer.Argument(help="real-sim-twin or kdd2010-twin.")],
    path: Annotated[
        Path,
        typer.Argument(
            help="The svmlight file to write, compressed as its ending says; or with --store the folder."
        ),
    ],
    scale: Annotated[float, typer.Option(help="Factor on rows and columns.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    store: Annotated[
        bool, typer.Option("--store", help="Makes a folder as data convert does; rows have unit length.")
    ] = False,
    dtype: Annotated[str, typer.Option(help="Of the values of a folder: float64 or float32.")] = "float64",
    force: Annotated[bool, typer.Option("--force", help="Replaces what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Writes a synthetic twin as text or as a folder, its generating weights beside it (PATH.truth.npy)."""
    from wpsgd.experiment.generating import write_twin

    made = write_twin(name, path, scale=scale, seed=seed, force=force, store=store, dtype=dtype)
    if as_json:
        print(json.dumps({"path": str(path), **asdict(made)}))
    else:
        print(f"{path}: {made.rows:,} rows, {made.features:,} features, {made.nonzeros:,} non-zeros")


@data_app.command(
    epilog="Examples:\n\nwpsgd data convert train.svm.bz2 train --unit-norm"
    "\n\nwpsgd run small --data train\n\nwpsgd data convert kdd.svm kdd --dtype float32 --jobs 8"
    "\n\nzcat train.svm.gz | wpsgd data convert - train\n\nwpsgd data convert 'parts/part-*' train"
)
def convert(
    source: Annotated[str, typer.Argument(help=f"{TEXT}; or a name.")],
    folder: Annotated[Path, typer.Argument(help="The folder to make.")],
    jobs: Annotated[int | None, typer.Option(min=1, help="Threads; by default all processors.")] = None,
    dtype: Annotated[str, typer.Option(help="Of the values: float64 or float32.")] = "float64",
    zero_based: Annotated[
        str, typer.Option(help="Whether indices count from 0: auto, true or false.")
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the rows' random order.")] = 0,
    unit_norm: Annotated[bool, typer.Option("--unit-norm", help="Scales rows to unit length.")] = False,
    skip_bad_lines: Annotated[
        bool, typer.Option("--skip-bad-lines", help="Leaves out lines with a fault, and counts them.")
    ] = False,
    sort_indices: SortIndices = False,
    force: Annotated[bool, typer.Option("--force", help="Replaces a folder that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Turns svmlight text into a folder that opens at once and is shared by all ranks of a host."""
    from wpsgd.experiment.converting import convert_source

    wishes = (dtype, zero_based, unit_norm, seed, skip_bad_lines, sort_indices)
    meta = convert_source(source, folder, wishes, jobs=jobs, force=force)
    if as_json:
        print(json.dumps({"path": str(folder), **meta.model_dump(mode="json")}))
        return
    counts = f"{meta.rows:,} rows, {meta.features:,} features, {meta.nonzeros:,} non-zeros"
    left_out = f"; {meta.bad_lines:,} bad lines left out" if meta.bad_lines else ""
    print(f"{folder}: {counts}{left_out}")
