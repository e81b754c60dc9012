"""The tables of an experiment file, each with its keys, their defaults and what they may be.

Every field's description completes the sentence "must be ...": error messages are made of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from wpsgd.data.sample_weights import ClassWeight
from wpsgd.data.shards import SHARDINGS, SKEW
from wpsgd.dual_solver import DUAL_LOSSES
from wpsgd.errors import ConfigError
from wpsgd.kernels.losses import LOSSES
from wpsgd.kernels.stepsize import SCHEDULES, Schedule, StepSize
from wpsgd.learners.sgd import BLOCK

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Name = Annotated[str, Field(min_length=1)]
Speed = Annotated[float, Field(gt=0.0, le=1.0)]
STEP_KEYS = ("learning_rate", "eta0", "power_t")  # of [model], which the dual solver has no use for
# TOML has arrays, frozen settings have tuples
Listed = Field(strict=False)


def choice(names: Sequence[str], default: str) -> Any:
    """A field that is one of `names`."""
    quoted = ", ".join(f'"{name}"' for name in names)
    return Field(default=default, description=f"one of {quoted}", json_schema_extra={"choices": list(names)})


def absent(word: object) -> BeforeValidator:
    """Reads `word` as None, which TOML cannot say."""
    return BeforeValidator(lambda value: None if type(value) is type(word) and value == word else value)


class Table(BaseModel):
    """What all tables share: frozen, without unknown keys, numbers not made of text, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def values(self) -> dict[str, Any]:
        """The keys that count, as TOML and JSON can hold them."""
        return {key: value for key, value in self.model_dump(mode="json").items() if value is not None}

    @field_validator("*")
    @classmethod
    def _is_a_choice(cls, value: object, info: ValidationInfo) -> object:
        names = choices(cls, str(info.field_name))
        if names and value not in names:
            raise ValueError("not a choice")
        return value


def choices(table: type[BaseModel], key: str) -> Sequence[str]:
    """The names that a key of a table may be, none where it is no choice of names."""
    extra = table.model_fields[key].json_schema_extra
    names = extra.get("choices") if isinstance(extra, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else ()


class ClassWeights(Table):
    """[model] class_weight, where it names factors."""

    negative: float = Field(default=1.0, gt=0.0, le=1e6, description="a number > 0 and at most 1e6")
    positive: float = Field(default=1.0, gt=0.0, le=1e6, description="a number > 0 and at most 1e6")


class DataSettings(Table):
    """[data]: see wpsgd.data.load. test: a fraction of the rows, a file, or None for no test rows.

    weights: a file of sample weights, or None.
    skew: the share of rows that sharding = "label_skew" deals by label, the others at random
    sort_indices: whether indices that do not ascend within a row are sorted rather than refused

    part: "i/n" trains on what node i of n would hold, alone, from 1 on; None for all rows
    cache: whether large texts are converted once and kept, see wpsgd.data.cache
    """

    source: Name = Field(description="a file, or the name of a data set")
    test: Annotated[Fraction | Name | None, absent(False)] = Field(
        default=0.2, description="a fraction between 0 and 1, a file, or false for none"
    )
    positive: Annotated[tuple[float, ...], Listed] = Field(
        default=(), description="a list of labels that count as +1, or [] for the larger of two"
    )
    unit_norm: bool = Field(default=True, description="true or false")
    zero_based: bool | Literal["auto"] = Field(default="auto", description='"auto", true or false')
    scale: float = Field(default=1.0, gt=0.0, description="a number > 0")
    sharding: str = choice(SHARDINGS, "shuffled")
    skew: float = Field(default=SKEW, ge=0.0, le=1.0, description="a number from 0 to 1")
    cache: bool = Field(default=True, description="true or false")
    sort_indices: bool = Field(default=False, description="true or false")
    part: Annotated[str | None, absent("all")] = Field(
        default=None,
        pattern=r"^[1-9]\d*/[1-9]\d*$",
        description='"i/n", part i of n, counted from 1, or "all"',
    )
    weights: Annotated[Name | None, absent(False)] = Field(
        default=None, description="a file of one number a row, or false for none"
    )

    def values(self) -> dict[str, Any]:
        # without the keys that change nothing, a run that began before there were any can be resumed
        wanted = {"skew": self.sharding == "label_skew", "sort_indices": self.sort_indices}
        unused = {key for key, wish in wanted.items() if not wish}
        return {key: value for key, value in super().values().items() if key not in unused}

    @model_validator(mode="after")
    def _skew_has_its_sharding(self) -> DataSettings:
        if "skew" in self.model_fields_set and self.sharding != "label_skew":
            raise ConfigError(f'skew = {self.skew:g}: only with sharding = "label_skew"')
        return self

    @field_validator("part")
    @classmethod
    def _is_one_of_them(cls, part: str | None) -> str | None:
        if part is not None and int(part.partition("/")[0]) > int(part.partition("/")[2]):
            raise ValueError("no such part")
        return part

    @property
    def own_part(self) -> tuple[int, int] | None:
        """(i, n), from 1 on."""
        if self.part is None:
            return None
        number, _, parts = self.part.partition("/")
        return int(number), int(parts)

    @field_serializer("test")
    def _none_is_false(self, test: float | str | None) -> float | str | bool:
        return False if test is None else test


class ModelSettings(Table):
    """[model]: what is minimised, from where and with which step sizes; solver = "dual" has none.

    block: rows that stay together in the random order of an epoch, 1 for none
    class_weight: "balanced", factors of the classes, or None
    tol: the duality gap, as a share of the objective, at which solver = "dual" ends, or None for never.
    """

    loss: str = choice(tuple(LOSSES), "hinge")
    solver: Literal["sgd", "dual"] = choice(("sgd", "dual"), "sgd")
    alpha: float = Field(default=1e-4, gt=0.0, description="a number > 0")
    learning_rate: Schedule = choice(SCHEDULES, "optimal")
    eta0: float = Field(default=1.0, gt=0.0, description="a number > 0")
    power_t: float = Field(default=0.5, ge=0.0, description="a number >= 0")
    w0: float = Field(default=0.0, description="a finite number")
    intercept: Literal["off", "unregularised", "column"] = choice(("off", "unregularised", "column"), "off")
    dtype: Literal["float64", "float32"] = choice(("float64", "float32"), "float64")
    shuffle: bool = Field(default=True, description="true or false")
    block: int = Field(default=BLOCK, ge=1, description="an integer >= 1")
    seed: int = Field(default=0, ge=0, description="an integer >= 0")
    class_weight: Annotated[Literal["balanced"] | ClassWeights | None, absent("none")] = Field(
        default=None,
        description='"balanced", "none" or {negative = ..., positive = ...}, numbers > 0 and at most 1e6',
    )
    tol: Annotated[float | None, absent("none")] = Field(
        default=None, gt=0.0, lt=1.0, description='a number above 0 and below 1, or "none"'
    )

    def values(self) -> dict[str, Any]:
        unused = STEP_KEYS if self.solver == "dual" else ()
        return {key: value for key, value in super().values().items() if key not in unused}

    @property
    def class_factors(self) -> ClassWeight | None:
        """As wpsgd.data.load takes it."""
        wish = self.class_weight
        return (wish.negative, wish.positive) if isinstance(wish, ClassWeights) else wish

    @property
    def step(self) -> StepSize:
        """The step sizes."""
        return StepSize(self.learning_rate, self.alpha, self.eta0, self.power_t)

    @model_validator(mode="after")
    def _steps_contract(self) -> ModelSettings:
        _ = self.step
        return self

    @model_validator(mode="after")
    def _dual_has_what_it_needs(self) -> ModelSettings:
        if self.solver == "dual" and (problem := self.dual_problem('solver = "dual"')):
            raise ConfigError(problem)
        given = [key for key in STEP_KEYS if key in self.model_fields_set]
        if self.solver == "dual" and given:
            raise ConfigError(
                f'{", ".join(given)}: must be left out with solver = "dual", which has no step sizes'
            )
        if self.solver != "dual" and self.tol is not None:
            raise ConfigError(f'tol = {self.tol:g}: only with solver = "dual", whose duality gap it is')
        return self

    def dual_problem(self, asker: str) -> str:
        """What has no dual here, for `asker`, else an empty string."""
        if self.loss not in DUAL_LOSSES:
            allowed = " or ".join(f'"{loss}"' for loss in DUAL_LOSSES)
            return f'loss = "{self.loss}": must be {allowed} with {asker}'
        if self.intercept == "unregularised":
            return f'intercept = "unregularised": must be "off" or "column" with {asker}'
        if self.w0 != 0.0:
            return f"w0 = {self.w0:g}: must be 0 with {asker}, whose dual variables start at 0"
        return ""


class MachineSettings(Table):
    """[machine]: where a run takes place. ranks: as given, or None.

    chunk: rows between two looks at the mail, None for as many as take about a millisecond
    """

    ranks: int | None = Field(default=None, ge=1, description="an integer >= 1")
    runtime: Literal["auto", "local", "mpi", "simulated"] = choice(
        ("auto", "local", "mpi", "simulated"), "auto"
    )
    speeds: Annotated[tuple[Speed, ...], Listed] = Field(
        default=(), description="a list of numbers above 0 and at most 1, one for each rank"
    )
    chunk: Annotated[int | None, absent("auto")] = Field(
        default=None, ge=1, description='an integer >= 1 or "auto"'
    )

    @property
    def known_ranks(self) -> int | None:
        """How many ranks the file asks for, be it by their speeds; None where it does not say."""
        return self.ranks or len(self.speeds) or None

    @model_validator(mode="after")
    def _one_speed_a_rank(self) -> MachineSettings:
        if self.ranks is not None and self.speeds and len(self.speeds) != self.ranks:
            raise ConfigError(
                f"{len(self.speeds)} speeds for ranks = {self.ranks}: must be one for each rank"
            )
        return self


class ReportSettings(Table):
    """[report]: how often models are scored and saved. target: the objective that is to be reached.

    counterfactual: whether looks also score what other rules would have made of the nodes' models
    """

    looks: int = Field(default=20, ge=0, description="an integer >= 0")
    target: Annotated[float | None, absent("none")] = Field(default=None, description='a number or "none"')
    figures: bool = Field(default=True, description="true or false")
    checkpoint_seconds: float = Field(default=60.0, gt=0.0, description="a number > 0")
    counterfactual: bool = Field(default=False, description="true or false")

    @model_validator(mode="after")
    def _counterfactuals_are_looks(self) -> ReportSettings:
        if self.counterfactual and self.looks == 0:
            raise ConfigError("counterfactual = true: happens at looks, looks = 0: must be at least 1")
        return self
