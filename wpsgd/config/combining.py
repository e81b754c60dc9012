"""The keys of a [[strategy]] entry that say how the models of a round become one."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, model_validator

from wpsgd.config.tables import Table, choice
from wpsgd.errors import ConfigError
from wpsgd.learners.keeping import learner_for
from wpsgd.learners.sgd import SGDLearner
from wpsgd.reducers import RULES, TAU_EFFS, THEORY, Rule, rule_named
from wpsgd.reducers.contraction import ALLOWED
from wpsgd.strategies.outer import Outer
from wpsgd.strategies.wire import INDEX, WIRES, Wire, asks, pays

# keys that belong to one rule
RULE_OF = MappingProxyType({"contraction": "wp", "tau_eff": "fednova"})
LARGEST_RATE = 100.0
NOT_ALIKE = "which needs coordinates that all decay alike where no row went"


class CombiningSettings(Table):
    """rule, with the keys of some rules, and what is done to a combination before all go on from it.

    wire: whether the models are summed dense or as pairs
    """

    rule: str = choice(tuple(RULES), "uniform")
    contraction: str | float = Field(default=THEORY, description=ALLOWED)
    tau_eff: Literal["mean", "max"] = choice(TAU_EFFS, TAU_EFFS[0])
    line_search: bool = Field(default=False, description="true or false")
    outer_momentum: float = Field(default=0.0, ge=0.0, lt=1.0, description="a number >= 0 and below 1")
    outer_rate: float = Field(
        default=1.0, gt=0.0, le=LARGEST_RATE, description=f"a number above 0 and at most {LARGEST_RATE:g}"
    )
    wire: Wire = choice(WIRES, WIRES[0])

    @model_validator(mode="after")
    def _sums_that_can_be_sparse(self) -> CombiningSettings:
        if self.wire == "sparse" and {"average", "squares"} & self.combination_rule.needs:
            raise ConfigError(f'rule = "{self.rule}": must be another with wire = "sparse", {NOT_ALIKE}')
        return self

    @model_validator(mode="after")
    def _keys_of_the_rule(self) -> CombiningSettings:
        for key, rule in RULE_OF.items():
            if key in self.model_fields_set and self.rule != rule:
                raise ConfigError(f'{key}: only with rule = "{rule}", not with "{self.rule}"')
        _ = self.combination_rule
        return self

    @property
    def combination_rule(self) -> Rule:
        """The rule with its keys."""
        return rule_named(self.rule, contraction=self.contraction, tau_eff=self.tau_eff)

    @property
    def outer(self) -> Outer:
        """The outer step."""
        return Outer(self.outer_momentum, self.outer_rate)

    @property
    def learner(self) -> type[SGDLearner]:
        """The kind of learner that the rule needs."""
        return learner_for(self.combination_rule)

    @property
    def asked_learner(self) -> type[SGDLearner]:
        """The kind of learner that all rules need, of which one is the run's."""
        return learner_for(self.combination_rule, asked=True)

    @property
    def judges_models(self) -> bool:
        """Whether models are judged on a sample of rows between rounds."""
        return self.line_search or "sample" in self.combination_rule.needs

    def combining_bytes(self, features: int) -> int:
        """Memory that it takes on each rank: what a rule keeps and sums, the start model, the velocity."""
        needs, vector = self.combination_rule.needs, 8 * (features + 1)
        # to compare models: segments of all, as they are sent, as they come in, and widened
        vectors = 2 * ("average" in needs) + 4 * ("squares" in needs) + 3 * ("sample" in needs)
        vectors += "start" in needs or self.outer.moves
        vectors += 4 * self.outer.moves  # the velocities before and after, x0 - v, and the step
        return vector * vectors

    def wire_bytes(self, vector: int, features: int, entries: int, ranks: int) -> int:
        """Memory that sums as pairs take on each rank beside.

        vector: bytes of a model; entries: of the rows that a node goes through between two sums
        """
        if not self._may_send_pairs(vector, ranks):
            return 0
        start = 0 if "start" in self.combination_rule.needs or self.outer.moves else vector
        if self.wire == "auto" and entries > features:
            return start
        columns = min(entries, features)
        # of all ranks as they come and one behind another; "auto" takes no more than two models of them
        gathered = 2 * ranks * columns * (4 + vector // max(1, features))
        most = gathered if self.wire == "sparse" else min(gathered, 4 * vector)
        return start + features + 8 * columns + most

    def _may_send_pairs(self, vector: int, ranks: int) -> bool:
        unfit = {"average", "squares"} & self.combination_rule.needs
        if self.wire == "dense" or unfit or ranks == 1:
            return False
        return self.wire == "sparse" or asks(vector, ranks)

    def reduction(self, vector: int, features: int, entries: int, ranks: int) -> tuple[int, bool]:
        """Bytes that a node gives to a sum of models, and whether they are pairs, at most as many.

        vector: bytes of a model; entries: of the rows that a node goes through between two sums
        """
        if "squares" in self.combination_rule.needs:
            return 2 * 8 * features, False  # weighed models and weights of all coordinates, always float64
        columns, itemsize = min(entries, features), vector // max(1, features)
        pairs = self._may_send_pairs(vector, ranks) and (
            self.wire == "sparse" or pays(ranks * columns, vector, itemsize, ranks)
        )
        return (columns * (INDEX + itemsize), True) if pairs else (vector, False)

    def unfit_for_dual(self) -> str:
        """Why no dual variables belong to what becomes even of one node's model, else an empty string."""
        changes = {
            f'rule = "{self.rule}"': bool({"average", "squares"} & self.combination_rule.needs),
            "line_search = true": self.line_search,
            f"outer_momentum = {self.outer_momentum:g}": self.outer_momentum != 0.0,
            f"outer_rate = {self.outer_rate:g}": self.outer_rate != 1.0,
        }
        found = next((key for key, change in changes.items() if change), None)
        return f'{found}: no dual variables belong to the result: not with solver = "dual"' if found else ""

    def values(self) -> dict[str, Any]:
        unused = {key for key, rule in RULE_OF.items() if rule != self.rule}
        return {key: value for key, value in super().values().items() if key not in unused}
