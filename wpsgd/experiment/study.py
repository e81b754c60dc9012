"""Runs the strategies of a config one after another on the same data, start and seeds."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from wpsgd import checkpoint
from wpsgd.config import Settings, StrategySettings
from wpsgd.config.entry import sharded
from wpsgd.data import catalog
from wpsgd.data.cache import stored
from wpsgd.data.convert import Wishes
from wpsgd.data.load import Dataset, load
from wpsgd.data.rows import Rows, follow_one_another
from wpsgd.data.shards import RowNumbers, in_stored_order
from wpsgd.data.source import expanded, reads_once, refuse_pipe
from wpsgd.errors import CheckpointError, ConfigError, DataError
from wpsgd.evaluate import Scorer
from wpsgd.experiment.extent import Extent, extent_of, foreseen
from wpsgd.experiment.folder import RunFolder
from wpsgd.experiment.memory import Prediction, check_fits, predicted
from wpsgd.experiment.progress import Progress
from wpsgd.experiment.remarks import remark
from wpsgd.experiment.results import certificate, final_scores, header, trained_model
from wpsgd.experiment.signals import Stop
from wpsgd.learners.dual import DualLearner
from wpsgd.learners.node import InNode, make_learner
from wpsgd.learners.sgd import Learner
from wpsgd.learners.shard_dual import ShardDual
from wpsgd.learners.steepness import Norms
from wpsgd.requests import State
from wpsgd.runtimes.job import Job, OneProcess, Outcome, Runtime
from wpsgd.sample import Sample, draw
from wpsgd.trace import Event

log = logging.getLogger("wpsgd")


@dataclass(eq=False)
class Study:
    """A config on a runtime. After `run`, on the first rank, `events` and `scores` hold what came of it.

    dataset: what `load` read; prediction: of the memory that the study takes
    scores: of each strategy what its trace does not tell, by label
    complete: whether all came to their ends
    """

    settings: Settings
    runtime: Runtime
    folder: RunFolder
    progress: Progress
    stop: Stop
    resume: bool = False
    events: list[Event] = field(default_factory=list)
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    complete: bool = True
    _permuted: dict[tuple[int, int], Rows] = field(default_factory=dict)
    dataset: Dataset = field(init=False)
    prediction: Prediction = field(init=False)

    def load(self) -> Dataset:
        """The data, on every rank. Raises DataError on all ranks if it does on one."""
        data, model = self.settings.data, self.settings.model
        self.runtime.agreed(self._refuse_pipes)
        # one rank tries for all, and all agree on what came of it
        unreachable = self.runtime.first(lambda: catalog.fetch_all(data.source))
        store = None if unreachable else self.runtime.first(self._stored)
        self.runtime.agreed(lambda: self._check_memory(foreseen(data, model, store)))
        dataset = self.runtime.agreed(
            lambda: load(
                data.source,
                test=data.test,
                positive=data.positive or None,
                unit_norm=data.unit_norm,
                zero_based=data.zero_based,
                scale=data.scale,
                seed=model.seed,
                dtype=model.dtype,
                constant_column=model.intercept == "column",
                store=store,
                weights=data.weights,
                class_weight=model.class_factors,
                unreachable=unreachable,
                sort_indices=data.sort_indices,
            )
        )
        self.runtime.agreed(partial(check_alike, dataset, self.runtime.first(lambda: facts(dataset))))
        for note in dataset.notes:
            self.say(f"note: {note}")
        self.dataset = dataset
        self.runtime.agreed(lambda: self._check_memory(extent_of(dataset), say=True))
        return dataset

    def _refuse_pipes(self) -> None:
        """Raises DataError for data that one process alone can read, where there are several."""
        if isinstance(self.runtime, OneProcess) or self.runtime.ranks == 1:
            return
        data = self.settings.data
        for source in (data.source, data.test, data.weights):
            if isinstance(source, str) and reads_once(expanded(source)):
                refuse_pipe(expanded(source), f"{self.runtime.ranks} ranks are to read it")

    def _check_memory(self, extent: Extent | None, *, say: bool = False) -> None:
        if extent is None:
            return
        self.prediction = predicted(self.settings, extent, self.runtime)
        counts: dict[str, Any] = {"mapped": extent.mapped > 0, "features": extent.features}
        note = check_fits(self.settings.data.source, self.prediction, **counts)
        if say and note:
            self.say(f"note: {note}")

    def _stored(self) -> Path | None:
        data, model = self.settings.data, self.settings.model
        if not data.cache:
            return None
        wishes = Wishes(model.dtype, data.zero_based, data.unit_norm, sort_indices=data.sort_indices)
        return stored(data.source, wishes, self.say)

    def say(self, line: str) -> None:
        """Tells the reader now, and the log for later."""
        self.progress.say(line)
        log.info("%s", line)

    def run(self, dataset: Dataset) -> None:
        """Runs what an earlier run did not complete."""
        scores, events = self.runtime.first(self.folder.earlier) if self.resume else ({}, [])
        for label in scores.keys() - {strategy.label for strategy in self.settings.strategies}:
            self._take_over(label, scores[label], events)  # what --strategies leaves out is not lost
        for strategy in self.settings.strategies:
            label, digest = strategy.label, self.digest(strategy)
            earlier = scores.get(label, {})
            if earlier.get("complete") and earlier.get("fingerprint") == digest:
                self.say(f"{label}: complete since an earlier run")
                self._take_over(label, earlier, events)
            elif not self.complete or self.runtime.first(self.stop):
                self.complete = False
            else:
                self._run_one(strategy, dataset, digest)

    def _take_over(self, label: str, scores: dict[str, Any], events: list[Event]) -> None:
        self.scores[label] = scores
        self.events += [event for event in events if event["strategy"] == label]

    def digest(self, strategy: StrategySettings) -> str:
        """Of all settings that decide what this strategy's run gives."""
        deciding = self.settings.digest(strategy.label, self.runtime.ranks)
        if self.dataset.stored is not None:
            deciding["store"] = self.dataset.stored.identity
        return checkpoint.fingerprint(deciding)

    def _run_one(self, strategy: StrategySettings, dataset: Dataset, digest: str) -> None:
        if said := remark(strategy, self._settled(dataset), dataset.train):
            self.say(f"note: {said}")
        self.progress.start(strategy.label, strategy.rounds)
        log.info("%s: begins", strategy.label)
        outcome = self.runtime.run(self.job(strategy, dataset, digest))
        rounds = next(iter(outcome.states.values())).round
        tol = strategy.tolerance(self.settings.model)
        found = self.runtime.first(lambda: certificate(outcome.states[0], tol))
        complete = rounds >= strategy.rounds or bool(found and found["converged"])
        self.complete &= complete
        log.info("%s: %d of %d rounds complete", strategy.label, rounds, strategy.rounds)
        told = {"rounds": rounds, "complete": complete, "fingerprint": digest, "certificate": found}
        self.runtime.first(lambda: self._keep(strategy, dataset, outcome, told))

    def _keep(
        self, strategy: StrategySettings, dataset: Dataset, outcome: Outcome, told: dict[str, Any]
    ) -> None:
        label = strategy.label
        by_steps = self.settings.model.solver == "sgd" and not strategy.ascends_shards
        age = int(outcome.states[0].own["steps"]) if by_steps else None  # of the fastest node
        facts = {"strategy": label, "rounds": told["rounds"], "age": age, "shard": len(dataset.train)}
        if self.settings.data.own_part is not None:
            (held,) = shards_of(strategy, dataset, 1, self.settings)
            facts |= {"part": list(self.settings.data.own_part), "shard": len(held)}
        model = trained_model(self._settled(dataset), dataset, outcome.model, facts)
        path = self.folder.save_model(label, model)
        self.scores[label] = {
            **final_scores(outcome.model, dataset, self.settings.model),
            **told,
            "settings": checkpoint.fingerprint(self.settings.digest(label, self.runtime.ranks)),
            "model": str(path),
        }
        self.events += [{**event, "strategy": label} for event in outcome.events]
        self.folder.write_trace(self.events, header(self.settings, dataset))
        # last, because it says that a strategy is complete, and with it its trace
        self.folder.write_json("scores.json", self.scores)

    def job(self, strategy: StrategySettings, dataset: Dataset, digest: str) -> Job:
        """A strategy with its learners, scorers and checkpoints."""
        settings, ranks = self._settled(dataset), self.runtime.ranks
        train, test, model = dataset.train, dataset.test, settings.model
        shards = shards_of(strategy, dataset, ranks, settings)
        objective = settings.objective()
        judged = strategy.judges_models or settings.report.counterfactual
        # what learners keep for other rules takes time, which virtual clocks alone do not show
        plain = self.runtime.name == "simulated" and strategy.inside == InNode()
        asked = settings.report.counterfactual and plain
        kind = strategy.asked_learner if asked else strategy.learner
        first = 0 if settings.data.own_part is None else settings.data.own_part[0] - 1

        def learner(rank: int) -> Learner:
            held = self._held(train, shards[rank])
            order: dict[str, Any] = {"seed": model.seed, "rank": first + rank, "shuffle": model.shuffle}
            if strategy.ascends_shards:
                return ShardDual(held, objective, **order, block=model.block, threads=strategy.inside.threads)
            if model.solver == "dual":
                return DualLearner(held, objective, **order, tol=model.tol or 0.0)
            order |= {"block": model.block, "kind": kind}
            return make_learner(held, objective, strategy.inside, **order)

        def scorer(rank: int) -> Scorer:
            tested = None if test is None else part(test, rank, ranks)
            return Scorer(part(train, rank, ranks), tested, model.loss, model.alpha)

        return Job(
            strategy.program([len(shard) for shard in shards], settings, ranks, settings.machine.speeds),
            learner,
            scorer,
            self._saved_state(strategy.label, digest),
            self._keeper(strategy.label, digest),
            self.progress.event,
            model.seed,
            Sample(draw(train, model.seed), model.loss, model.alpha) if judged else None,
        )

    def _settled(self, dataset: Dataset) -> Settings:
        """The settings, whose step sizes know the rows: by a sample that is the same on all ranks."""
        if not self.settings.begins_by_rows:
            return self.settings
        sample = draw(dataset.train, self.settings.model.seed)
        return self.settings.with_steepness(Norms.of(sample, np.arange(len(sample))))

    def _held(self, train: Rows, numbers: RowNumbers) -> Rows:
        """A rank's rows, in a random physical order where blocks of them will stay together.

        Shards that were dealt at random are in such an order already, and so are the rows of a store.
        """
        model = self.settings.model
        if self.dataset.stored is not None:
            return train.held(np.sort(numbers) if model.shuffle else numbers)
        if not follow_one_another(numbers) or not model.shuffle or model.block == 1 or len(numbers) == 0:
            return train.held(numbers)
        stretch = (int(numbers[0]), len(numbers))
        if stretch not in self._permuted:  # ranks that hold the same rows share one copy
            rng = np.random.default_rng((model.seed, *stretch))
            self._permuted[stretch] = train.take(rng.permutation(numbers))
        return self._permuted[stretch]

    def _keeper(self, label: str, digest: str) -> checkpoint.Keeper:
        every = self.settings.report.checkpoint_seconds
        return checkpoint.CheckpointKeeper(self.folder.checkpoints(label), digest, self.stop, every)

    def _saved_state(self, label: str, digest: str) -> Callable[[int], State]:
        """Where a rank goes on from: its checkpoint, else the start."""
        folder = self.folder.checkpoints(label)
        found = self.runtime.first(lambda: checkpoint.latest(folder, digest)) if self.resume else None
        if found is None:
            return lambda rank: State()
        if found.ranks != self.runtime.ranks:
            raise CheckpointError(f"{found.path}: saved by {found.ranks} ranks; resume with as many")
        for note in found.notes:
            self.say(f"note: {note}")
        self.say(f"{label}: resumed after round {found.round}")
        return found.state


def shards_of(
    strategy: StrategySettings, dataset: Dataset, ranks: int, settings: Settings
) -> list[RowNumbers]:
    """The numbers of the training rows that each rank holds."""
    part, labels = settings.data.own_part, dataset.train.labels
    if part is None:
        shards = strategy.shards(len(dataset.train), ranks, settings, labels=labels)
    elif ranks == 1:  # what node i of n would hold, so that the models of all are those of one run
        shards = sharded(len(dataset.train), part[1], settings, labels=labels)
    else:
        raise ConfigError(
            f'[data] part = "{settings.data.part}": is trained by one rank, {ranks} were started: threads = N'
            " of a [[strategy]] uses more processors"
        )
    if dataset.stored is not None:
        shards = in_stored_order(settings.data.sharding, shards, dataset.stored.order)
    return shards if part is None else [shards[part[0] - 1]]


def facts(dataset: Dataset) -> tuple[str, int, int, int, int]:
    """What tells data sets apart: name, rows, features, non-zeros, rows of the class +1."""
    train = dataset.train
    positive = int(np.count_nonzero(train.labels > 0))
    return dataset.name, len(train), train.features, train.nonzeros, positive


def check_alike(dataset: Dataset, first: tuple[str, int, int, int, int]) -> None:
    """Raises DataError where this rank loaded other data than the first."""
    if facts(dataset) != first:
        raise DataError(
            f"a rank loaded {facts(dataset)}, the first rank {first}: is the file the same on all hosts?"
        )


def part(rows: Rows, rank: int, ranks: int) -> Rows:
    """The rows that a rank scores."""
    return rows[rank * len(rows) // ranks : (rank + 1) * len(rows) // ranks]
