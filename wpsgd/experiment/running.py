"""The commands run and simulate: from a config to a folder of results."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import gethostname
from typing import Any

from wpsgd.config import Settings
from wpsgd.errors import WPSGDError
from wpsgd.experiment import plan
from wpsgd.experiment.claim import Claim
from wpsgd.experiment.folder import RunFolder
from wpsgd.experiment.printing import print_line, wide_console
from wpsgd.experiment.progress import Style, make_progress
from wpsgd.experiment.resident import Resident, resident
from wpsgd.experiment.results import ended_worse, environment, header, measured, results
from wpsgd.experiment.resuming import check_resumable
from wpsgd.experiment.signals import Stop
from wpsgd.experiment.study import Study
from wpsgd.report import Summary, counterfactual_table, figures, slow_rank_lines, summarise, table
from wpsgd.runtimes.job import Runtime

log = logging.getLogger("wpsgd")


@dataclass(frozen=True, slots=True)
class Options:
    """How a run is to be done, beside its config."""

    out: Path
    resume: bool = False
    force: bool = False
    dry_run: bool = False
    as_json: bool = False
    max_seconds: float | None = None
    progress: Style = "auto"
    log_level: str = "INFO"
    notes: tuple[str, ...] = ()


class Interrupted(WPSGDError):
    """A signal ended the run at a boundary; it can be resumed."""


class EndedWorse(WPSGDError):
    """A run came to its end above the objective that it began with; its results and models are kept."""


def perform(settings: Settings, runtime: Runtime, options: Options) -> None:
    """Trains, shows and writes what a config asks for.

    Raises Interrupted when a signal ended it early, EndedWorse where a strategy made its model worse.
    """
    stop = Stop(options.max_seconds)
    progress = make_progress(options.progress, first=runtime.rank == 0)
    claim = Claim(options.out, progress.say)
    folder = RunFolder(options.out, claim)
    stop.told = progress.stopping
    study = Study(settings, runtime, folder, progress, stop, options.resume)
    with stop.listening():
        try:
            _perform(study, options)
        finally:
            claim.release()


def _perform(study: Study, options: Options) -> None:
    runtime, progress = study.runtime, study.progress
    try:
        _train(study, options)
    finally:
        progress.close()
    if options.dry_run:
        return
    taken = runtime.gathered(resident)  # before figures are drawn
    runtime.first(lambda: _finish(study, options, taken))
    runtime.agreed(lambda: _tell_signal(study))
    if runtime.rank == 0 and not study.complete:
        seconds, path = study.stop.max_seconds, study.folder.path
        progress.say(f"note: stopped after {seconds:g} s; --resume --out {path} goes on")
    runtime.first(lambda: _tell_worse(study))


def _train(study: Study, options: Options) -> None:
    runtime, folder, settings = study.runtime, study.folder, study.settings
    facts = environment(runtime, settings)
    if not options.dry_run:
        runtime.first(lambda: _check(folder, settings, facts, options))
    for note in options.notes:
        study.progress.say(f"note: {note}")
    dataset = study.load()
    if options.dry_run:
        if runtime.rank == 0:
            plan.show(settings, dataset, runtime, as_json=options.as_json)
        return
    study.progress.say(f"memory: {study.prediction.told()}")
    runtime.first(lambda: _open(folder, settings, facts, options))
    study.stop.training = True  # before the log says that there is a run
    with _logged(folder, runtime, options.log_level):
        study.run(dataset)


def _check(folder: RunFolder, settings: Settings, facts: dict[str, Any], options: Options) -> None:
    folder.check_place()
    folder.take()
    folder.check(force=options.force, resume=options.resume)
    if options.resume:
        check_resumable(folder, settings, facts)


def _open(folder: RunFolder, settings: Settings, facts: dict[str, Any], options: Options) -> None:
    folder.open(force=options.force)
    folder.write("config.toml", settings.dumps())
    folder.write_json("environment.json", facts)


@contextmanager
def _logged(folder: RunFolder, runtime: Runtime, level: str) -> Iterator[None]:
    """Writes the log of this rank meanwhile, with what ended it."""
    handler = logging.FileHandler(folder.path / "logs" / f"rank-{runtime.rank}.log", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(level)
    place = (runtime.rank, runtime.ranks, gethostname(), os.getpid(), runtime.name)
    log.info("rank %d of %d on %s, process %d, runtime %s", *place)
    try:
        yield
    except WPSGDError as error:
        log.error("%s", error)
        raise
    except BaseException:
        log.exception("the run failed")
        raise
    finally:
        log.removeHandler(handler)
        handler.close()


def _tell_signal(study: Study) -> None:
    if study.stop.signalled and not study.complete:
        raise Interrupted(
            f"{study.stop.signalled}: stopped between two rounds; --resume --out {study.folder.path} goes on"
        )


def _tell_worse(study: Study) -> None:
    advice = f"{study.settings.step.advice}, or scale the columns"
    told = [ended_worse(label, scores, advice) for label, scores in study.scores.items()]
    if any(told):
        raise EndedWorse("\n".join(line for line in told if line))


def _finish(study: Study, options: Options, taken: Sequence[Resident]) -> None:
    """Writes and shows what came of a study, on the first rank."""
    if not study.events:
        return
    settings, folder = study.settings, study.folder
    summaries = summarise(study.events, target=settings.report.target)
    answer = results(study.dataset, study.runtime, summaries, study.scores)
    answer["memory"] = {"predicted": study.prediction.as_json(), "measured": measured(taken)}
    folder.write_json("results.json", answer)
    # who sends a signal wants to see the end of it, and figures take seconds
    drawn = _draw(study) if settings.report.figures and not study.stop.signalled else []
    if options.as_json:
        print(json.dumps(answer))
    else:
        _show(summaries, folder, drawn, certificate_lines(study.scores))


def _draw(study: Study) -> list[Path]:
    told, target = header(study.settings, study.dataset), study.settings.report.target
    return figures(study.events, study.folder.path / "figures", header=told, target=target)


def certificate_lines(scores: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """How near to the optimum models are certified to be, a line each."""
    found = {label: score["certificate"] for label, score in scores.items() if score.get("certificate")}
    return [
        f"{label}: at epoch {known['epochs']:.1f} at most {known['gap']:.3g} of its objective above the"
        f" optimum{'' if known['converged'] else ', which is more than tol'}"
        for label, known in found.items()
    ]


def _show(
    summaries: Sequence[Summary], folder: RunFolder, drawn: Sequence[Path], certified: Sequence[str]
) -> None:
    console = wide_console()
    console.print(table(summaries))
    print_line(console, "")
    if asked := counterfactual_table(summaries):
        print_line(console, "What each rule would have made of the same models at the last look:")
        console.print(asked)
        print_line(console, "")
    for line in [*certified, *slow_rank_lines(summaries)]:
        print_line(console, line)
    print_line(console, f"\nrun folder: {folder.path}")
    if drawn:
        pictures = ", ".join(path.name for path in drawn if path.suffix == ".png")
        print_line(console, f"figures:    {folder.path / 'figures'}: {pictures}")
