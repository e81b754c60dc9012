"""SGDClassifier's learning_rate="adaptive": a constant step size that falls where a run would stop.

eta = eta0; each time that the stopping rule is met, eta <- eta / FACTOR and the run goes on from where it is,
on all nodes; at SMALLEST it stops.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from wpsgd.config.settings import Settings
from wpsgd.data.rows import FloatArray
from wpsgd.estimator.sgd import Mask, Trainer, Weights
from wpsgd.estimator.solved import Solved
from wpsgd.estimator.stopping import Stage

ADAPTIVE = "adaptive"
FACTOR, SMALLEST = 5.0, 1e-6  # scikit-learn's


def train_adaptively(
    trainer: Trainer,
    positive: Mask,
    weights: Weights,
    judged: tuple[Mask, Weights] | None = None,
    start: FloatArray | None = None,
    tell: Any = None,
) -> Solved:
    """`Trainer.train` in stages, each with a smaller step size than the one before."""
    stopper, eta = trainer.stopper(tell), trainer.settings.model.eta0
    stage = Stage(stopper)
    while True:
        part = copy.copy(trainer)  # which other classes train by at the same time
        part.settings = with_step(trainer.settings, eta)
        solved = part.train(positive, weights, judged, start, tell, stage=stage)
        # only the first rank sees looks, and any may have stopped all because its time was up
        said = trainer.runtime.gathered(lambda: (stopper.settled, stopper.late))
        late = any(one[1] for one in said)
        if late or not said[0][0] or not stage.states or eta <= SMALLEST:
            return solved
        eta /= FACTOR
        stopper.go_on()
        stage = Stage(stopper, begun=stage.states)


def with_step(settings: Settings, eta: float) -> Settings:
    """The same settings with another step size."""
    return replace(settings, model=settings.model.model_copy(update={"eta0": eta}))
