"""Tables and figures of a run, made from its trace alone."""

from wpsgd.report.drawing import figures
from wpsgd.report.summaries import RankSummary, Summary, summarise
from wpsgd.report.tables import counterfactual_table, slow_rank_lines, table

__all__ = [
    "RankSummary",
    "Summary",
    "counterfactual_table",
    "figures",
    "slow_rank_lines",
    "summarise",
    "table",
]
