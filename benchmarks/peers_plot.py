"""docs/peers.png: dB against seconds, a panel for each set and scale that benchmarks/peers.py has measured.

`make bench-peers` draws it anew after each of its runs.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from sr_ops.settings import FROM_SCRATCH, Preset

from .peers import PARTS, PEERS, Figures, kept
from .quality import PUBLISHED, SCALES
from .results import RESULTS, write_section

PLOT = RESULTS.with_name("peers.png")

OTHERS = dict(zip(PEERS.values(), (("s", "tab:gray"), ("D", "tab:red")), strict=True))
"""Marker and colour of each peer."""

MARKERS = ("o", "^", "v", "P", "X", "h", "*")
"""Of the presets, all of one colour."""


def plot(parts: dict[str, dict[str, Figures]], path: Path) -> None:
    """A row of panels for a set, a column for a scale; of the presets those with the same network are joined."""
    figure = Figure(figsize=(9, 6), dpi=150, layout="constrained")  # no pyplot: there may be no display
    panels = figure.subplots(len(PUBLISHED), len(SCALES), sharex=True, squeeze=False)
    for row, name in zip(panels, PUBLISHED, strict=True):
        for axes, scale in zip(row, SCALES, strict=True):
            axes.set_title(f"{name.title()} x{scale}")
            _panel(axes, parts[f"{name}-x{scale}"])
            axes.set_visible(bool(parts[f"{name}-x{scale}"]))
        row[0].set_ylabel("mean Y-PSNR, dB")
    for axes in panels[-1]:
        axes.set_xlabel("seconds a megapixel")
    named = {text: line for axes in panels.flat for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    columns = -(-len(named) // 2)  # in two lines: in one, names of presets are cut off
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=columns, frameon=False)
    figure.savefig(path)


def _panel(axes: Axes, figures: dict[str, Figures]) -> None:
    fitted = [figures[preset] for preset in Preset if preset in figures and preset not in FROM_SCRATCH]
    axes.plot([of.per_megapixel for of in fitted], [of.psnr for of in fitted], color="tab:blue", linewidth=1)
    looks = {preset.value: (marker, "tab:blue") for preset, marker in zip(Preset, MARKERS, strict=False)} | OTHERS
    for way, of in figures.items():
        marker, colour = looks[way]
        axes.plot(of.per_megapixel, of.psnr, marker, color=colour, label=way, markersize=7)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:g}"))
    axes.grid(alpha=0.3)
    axes.margins(0.12)
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Draw what there is."""
    plot({part: kept(part) for part in PARTS}, PLOT)
    text = f"""## Quality against seconds

`make bench-peers DATA=...`; the figures are those of the sections *Beside others*.

![Y-PSNR against seconds a megapixel]({PLOT.name})

*One thread of a CPU; to the right ten times slower with each line. The presets but `paper` and `classic` are joined.*
"""
    write_section("peers", text)


if __name__ == "__main__":
    main()
