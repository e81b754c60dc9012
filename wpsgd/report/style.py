"""The look that all figures share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib import style as matplotlib_style
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from wpsgd.report.summaries import Summary, ranks_of
from wpsgd.report.words import emulation_note

WIDTH = 8.0  # inches: 800 pixels of a README hold type of 10 points at a readable size
DPI = 150
TITLE_LETTERS = 78  # of 12 points, across the width
GREY = "#666666"

# Okabe and Ito (2008), told apart by colour-blind readers; their yellow is too faint for a line on white.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
PALETTE = (BLACK, BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = "osD^vP*X"

SETTINGS: dict[str, Any] = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": BLACK,
    "ytick.labelcolor": BLACK,
    "figure.constrained_layout.h_pad": 0.06,  # inches
    "svg.hashsalt": "wpsgd",  # element names that do not change from run to run
}


def applied() -> AbstractContextManager[None]:
    """Within it matplotlib's defaults hold with our settings on top, whatever the user's own matplotlibrc."""
    return matplotlib_style.context(["default", SETTINGS])


def new_figure(height: float) -> Figure:
    """An empty figure of README width, free of pyplot's global state."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def frame(figure: Figure, title: str, caption: str) -> None:
    """The title says what is seen; the grey lines at the foot say of what."""
    figure.suptitle(fill(title, TITLE_LETTERS), x=0.01, ha="left", fontsize=12, fontweight="bold")
    _foot(figure, caption)


def frame_with_legend(figure: Figure, title: str, caption: str, handles: Sequence[Artist]) -> None:
    """As `frame`, with one legend for all panels below the title."""
    # The title is the legend's: the layout would put a legend beside the panels on top of a figure's title.
    figure.legend(
        handles=list(handles),
        loc="outside upper left",
        ncols=len(handles),
        title=fill(title, TITLE_LETTERS),
        alignment="left",
        title_fontproperties={"size": 12, "weight": "bold"},
        handlelength=1.5,
        columnspacing=1.5,
        borderpad=0,
    )
    _foot(figure, caption)


def _foot(figure: Figure, caption: str) -> None:
    if caption:
        # of a figure's own texts it is this one that the layout makes room for
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=8.5, color=GREY)


def caption(header: Mapping[str, Any], summaries: Sequence[Summary]) -> str:
    """`real-sim, 4 ranks. Emulated speeds: rank 3 x0.25`, as far as it is known."""
    source = header.get("data")
    ranks = ranks_of(summaries)
    count = f"{len(ranks)} rank{'s' if len(ranks) > 1 else ''}" if ranks else ""
    what = ", ".join(part for part in (Path(str(source)).name if source else "", count) if part)
    return ". ".join(part for part in (what, emulation_note(ranks)) if part)


def save(figure: Figure, stem: Path) -> list[Path]:
    """Writes stem.png, stem.svg; the same figure gives the same bytes."""
    paths = [stem.with_name(stem.name + suffix) for suffix in (".png", ".svg")]
    for path in paths:
        figure.savefig(path, dpi=DPI, metadata={"Date": None} if path.suffix == ".svg" else None)
    return paths
