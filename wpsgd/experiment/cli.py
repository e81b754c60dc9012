"""The commands and their options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wpsgd import __version__
from wpsgd.errors import ConfigError, nearest
from wpsgd.experiment.data_commands import data_app
from wpsgd.experiment.progress import STYLES

if TYPE_CHECKING:
    from wpsgd.config import Settings
    from wpsgd.experiment.running import Options

app = typer.Typer(
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Linear SVMs on unequal machines: WP-SGD and its relatives, with honest wall clocks.",
    epilog=(
        "Examples:\n\nwpsgd run small\n\nmpiexec -n 4 wpsgd run quickstart"
        "\n\nwpsgd simulate quickstart --cluster cluster-four-unequal\n\nwpsgd data list"
        "\n\nExit codes: 0 done, 1 failed or interrupted, 2 used wrongly."
        " Results go to stdout, progress and errors to stderr."
    ),
)
app.add_typer(data_app, name="data")

# whichever click typer brings along
USAGE_ERRORS: tuple[type[Exception], ...] = typer.BadParameter.__mro__[1:3]
PROGRAM = "wpsgd"  # also where it is started as a module
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")

Config = Annotated[
    str, typer.Argument(help="A TOML file, or the name of a shipped study such as quickstart.")
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="A setting, such as strategy.wp.period=1000; repeatable."
    ),
]
Strategies = Annotated[
    str | None, typer.Option(metavar="A,B", help="Runs these strategies of the config only.")
]
Small = Annotated[bool, typer.Option("--small", help="The study's small form, over in seconds.")]
Source = Annotated[
    str | None, typer.Option("--data", metavar="F", help="Trains on this file or data set instead.")
]
Part = Annotated[
    str | None,
    typer.Option(
        metavar="I/N",
        help="Trains on part I of N alone, from 1 on: what node I of N would hold, at full speed;"
        " see wpsgd combine.",
    ),
]
Out = Annotated[Path | None, typer.Option(metavar="DIR", help="The run's folder; runs/CONFIG by default.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Goes on with what the folder holds; starts where it holds none.")
]
Force = Annotated[bool, typer.Option("--force", help="Replaces the run that the folder holds.")]
MaxSeconds = Annotated[
    float | None, typer.Option(min=0.0, metavar="S", help="Leaves at the first boundary after S seconds.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Prints rows per rank, memory and bytes, and trains nothing.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Prints one JSON object on stdout.")]
Shown = Annotated[
    str, typer.Option("--progress", metavar="|".join(STYLES), help="What stderr shows meanwhile.")
]
LogLevel = Annotated[
    str, typer.Option(metavar="LEVEL", help="Of the logs, one a rank: DEBUG, INFO, WARNING, ERROR.")
]


@app.callback()
def common(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Prints the version.")] = False,
) -> None:
    """Linear SVMs on unequal machines: WP-SGD and its relatives, with honest wall clocks."""
    if version:
        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def run_command() -> int:
    """Runs the command of this process's arguments; its exit code. Raises ConfigError for unfit arguments."""
    try:
        return app(prog_name=PROGRAM, standalone_mode=False) or 0
    except typer.Abort:
        raise KeyboardInterrupt from None
    except USAGE_ERRORS as error:
        raise _one_line(error) from None


def _one_line(error: Any) -> ConfigError:
    command = error.ctx.command_path if error.ctx else PROGRAM
    problem = ConfigError(f"{error.format_message().rstrip('.')}; see {command} --help")
    problem.agreed = True  # all ranks were given the same arguments
    return problem


@app.command(
    epilog=(
        "Examples:\n\nwpsgd run small --set model.alpha=1e-5 --strategies wp,minibatch"
        "\n\nmpiexec -n 4 wpsgd run quickstart --data train.svm.bz2 --out runs/mine"
        "\n\nmpiexec -n 4 wpsgd run quickstart --resume --max-seconds 3600"
        "\n\nwpsgd run my.toml --part 3/8 --max-seconds 600    (then wpsgd combine)"
    )
)
def run(
    config: Config,
    set_: Set = None,
    strategies: Strategies = None,
    data: Source = None,
    part: Part = None,
    small: Small = False,
    out: Out = None,
    resume: Resume = False,
    force: Force = False,
    max_seconds: MaxSeconds = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    progress: Shown = "auto",
    log_level: LogLevel = "INFO",
) -> None:
    """Trains every strategy of a config: under mpiexec or srun on all ranks, alone on local threads.

    Models are linear, with an L2 penalty; L1 and elastic net are out of scope.
    """
    from wpsgd.experiment.places import choose_runtime, launched_runtime
    from wpsgd.experiment.running import perform

    place = launched_runtime()
    name, flags = _run_name(config, small), (resume, force, dry_run, as_json)
    if part is not None:
        set_, name = [*(set_ or []), f"data.part={part}"], f"{name}-part-{part.replace('/', '-of-')}"
    options = place.agreed(lambda: _options(out, name, flags, max_seconds, progress, log_level))
    settings = place.agreed(lambda: _settings(config, set_, strategies, data, small))
    machine = settings.machine
    if settings.data.part is not None and machine.ranks is None:
        machine = machine.model_copy(update={"ranks": 1})
    perform(settings, place.agreed(lambda: choose_runtime(machine)), options)


@app.command(
    epilog=(
        "Examples:\n\nwpsgd simulate quickstart --cluster cluster-four-unequal"
        "\n\nwpsgd simulate small --cluster my-cluster.toml --set 'strategy.*.rounds=5' --json"
    )
)
def simulate(
    config: Config,
    cluster: Annotated[str, typer.Option(metavar="C", help="A TOML file that describes the cluster.")],
    set_: Set = None,
    strategies: Strategies = None,
    data: Source = None,
    small: Small = False,
    out: Out = None,
    resume: Resume = False,
    force: Force = False,
    max_seconds: MaxSeconds = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    progress: Shown = "auto",
    log_level: LogLevel = "INFO",
) -> None:
    """Runs the same study under virtual clocks: real arithmetic, modelled time."""
    from wpsgd.config import load_cluster
    from wpsgd.experiment.places import on_cluster, refuse_launcher
    from wpsgd.experiment.running import perform
    from wpsgd.runtimes.pacing import CHUNK
    from wpsgd.runtimes.simulated import Simulated

    refuse_launcher("simulate")
    name, flags = f"{_run_name(config, small)}-simulated", (resume, force, dry_run, as_json)
    options = _options(out, name, flags, max_seconds, progress, log_level)
    nodes = load_cluster(cluster)
    settings, notes = on_cluster(_settings(config, set_, strategies, data, small), nodes)
    perform(settings, Simulated(nodes, settings.machine.chunk or CHUNK), replace(options, notes=notes))


Model = Annotated[
    Path, typer.Argument(help="A model: runs/NAME/models/STRATEGY.npz, or of WPSGDClassifier.save.")
]
Rows = Annotated[Path, typer.Argument(help="A svmlight file, plain or compressed.")]


@app.command(
    epilog=(
        "Examples:\n\nwpsgd score runs/quickstart/models/wp.npz test.svm.bz2"
        "\n\nwpsgd score runs/mine/models/wp.npz test.svm --positive 3 --positive 5 --json"
    )
)
def score(
    model: Model,
    data: Rows,
    positive: Annotated[
        list[float] | None, typer.Option(help="Labels that mean +1; those of the training by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy, area under the ROC curve and objective of a model on labelled rows.

    Labels must be among those of the training; not all of them need occur. Of more than two classes, area and
    objective are means over the classes, each against the rest.
    """
    from wpsgd.experiment.places import refuse_launcher
    from wpsgd.experiment.scoring import score_file

    refuse_launcher("score")
    score_file(model, data, positive, as_json=as_json)


@app.command(
    epilog=(
        "Examples:\n\nwpsgd predict runs/quickstart/models/wp.npz new.svm > labels.txt"
        "\n\nwpsgd predict model.npz new.svm --output values"
        "\n\nwpsgd predict model.npz new.svm --output probabilities --json"
    )
)
def predict(
    model: Model,
    data: Rows,
    output: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="labels, as the training data had them; values, which decide by their sign or, of several"
            " classes, by the largest; probabilities of all classes, in ascending order of the classes.",
        ),
    ] = "labels",
    as_json: AsJson = False,
) -> None:
    """The label of each row, a line a row; or decision values, or probabilities. DATA's own do not matter.

    Where several labels of the training were one class ([data] positive), 1 and -1 are printed, and a note
    says what they stand for. --json has labels and values.
    """
    from wpsgd.experiment.places import refuse_launcher
    from wpsgd.experiment.scoring import predict_file

    refuse_launcher("predict")
    predict_file(model, data, output, as_json=as_json)


ForceFile = Annotated[bool, typer.Option("--force", help="Replaces a file that is there.")]


@app.command(
    epilog=(
        "Examples:\n\nwpsgd export runs/quickstart/models/wp.npz --to liblinear"
        "\n\nwpsgd export model.npz --to onnx --out served/model.onnx --force"
        "\n\nwpsgd export model.npz --to sklearn --json"
    )
)
def export(
    model: Model,
    to: Annotated[
        str,
        typer.Option(
            metavar="FORMAT",
            help="liblinear (text), onnx, sklearn (SGDClassifier, by joblib), or npz: the arrays weights,"
            " intercepts and classes, which NumPy reads.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="F", help="The file to write; by default MODEL with another ending."),
    ] = None,
    force: ForceFile = False,
    as_json: AsJson = False,
) -> None:
    """Writes a model for another program, and prints the path.

    Rows of unit length: the ONNX graph and the scikit-learn pipeline scale rows themselves; LIBLINEAR cannot,
    and a note says so. Labels that a format cannot hold are refused.
    """
    from wpsgd.experiment.exporting import export_file
    from wpsgd.experiment.places import refuse_launcher

    refuse_launcher("export")
    export_file(model, to, out, force=force, as_json=as_json)


@app.command(
    epilog=(
        "Examples:\n\nwpsgd run my.toml --part 1/8 --out part-1    (and so on, on any 8 machines)"
        "\n\nwpsgd combine part-*/models/wp.npz --out model.npz"
        "\n\nwpsgd combine part-*/models/wp.npz --out model.npz --rule wp --contraction R^3 --force"
    )
)
def combine(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Models that were trained apart.")],
    out: Annotated[Path, typer.Option(metavar="M", help="The model file to write.")],
    rule: Annotated[
        str, typer.Option(help="What each counts for: wp, uniform, steps, shard, fednova or asum.")
    ] = "wp",
    contraction: Annotated[
        str | None, typer.Option(help="Of --rule wp: theory, R^p or a number, as in a [[strategy]] entry.")
    ] = None,
    tau_eff: Annotated[str | None, typer.Option(help="Of --rule fednova: mean or max.")] = None,
    force: ForceFile = False,
    as_json: AsJson = False,
) -> None:
    """Combines models that were trained apart, each on its part of the rows for as long as it could.

    WP-SGD as a MapReduce: jobs of unequal machines, without MPI. A model file says how many rows were applied
    and which step sizes were taken. Loss, alpha, classes and step sizes must be the same in all.
    """
    from wpsgd.experiment.exporting import combine_files
    from wpsgd.experiment.places import refuse_launcher

    refuse_launcher("combine")
    options: dict[str, Any] = {"contraction": _number_or_text(contraction), "tau_eff": tau_eff}
    given = {key: value for key, value in options.items() if value is not None}
    combine_files(models, out, rule, given, force=force, as_json=as_json)


def _number_or_text(text: str | None) -> float | str | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


@app.command(
    epilog=(
        "Examples:\n\nwpsgd doctor\n\nmpiexec -n 4 wpsgd doctor\n\nsrun --mpi=pmi2 -n 4 wpsgd doctor"
        "\n\nwpsgd doctor study.toml --ranks 8"
    )
)
def doctor(
    config: Annotated[
        str | None, typer.Argument(help="A study, to say what memory it will take here.", show_default=False)
    ] = None,
    ranks: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="MPI ranks of the study on this host.")
    ] = None,
    set_: Set = None,
    data: Source = None,
    as_json: AsJson = False,
) -> None:
    """Says what of this place will work: MPI, ranks, processors, kernel cache, memory."""
    from wpsgd.experiment.doctor import report

    try:
        settings = None if config is None else _settings(config, set_, None, data)
    except ConfigError as error:
        error.agreed = True  # as all ranks read the same; they may not be able to say so to one another
        raise
    report(settings, ranks, as_json=as_json)


def _run_name(config: str, small: bool) -> str:
    """What a run's folder is called: the small form does not take the place of the study."""
    return f"{Path(config).stem}-small" if small else Path(config).stem


def _settings(
    config: str, overrides: list[str] | None, strategies: str | None, data: str | None, small: bool = False
) -> Settings:
    from wpsgd.config import load

    chosen = [name.strip() for name in strategies.split(",")] if strategies else []
    return load(config, overrides=overrides or [], strategies=chosen, source=data, small=small)


def _options(
    out: Path | None,
    name: str,
    flags: tuple[bool, bool, bool, bool],
    max_seconds: float | None,
    progress: str,
    log_level: str,
) -> Options:
    """flags: resume, force, dry_run, as_json."""
    from wpsgd.experiment.running import Options

    style = next((name for name in STYLES if name == progress), None)
    if style is None:
        raise ConfigError(
            f"--progress {progress}: must be one of {', '.join(STYLES)}{nearest(progress, STYLES)}"
        )
    if log_level.upper() not in LEVELS:
        near = nearest(log_level.upper(), LEVELS)
        raise ConfigError(f"--log-level {log_level}: must be one of {', '.join(LEVELS)}{near}")
    resume, force, dry_run, as_json = flags
    if resume and force:
        raise ConfigError("--resume goes on with a run, --force replaces it: give one of them")
    folder = out or Path("runs") / name
    return Options(folder, resume, force, dry_run, as_json, max_seconds, style, log_level.upper())
