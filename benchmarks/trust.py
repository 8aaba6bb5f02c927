"""`make bench-trust DATA=FOLDER`: do the numbers by which a result is to be trusted agree with its true error?

200 crops of known pictures are made small by MATLAB's bicubic and enlarged by `srpipe run` as it is. DATA holds set14/
and satellite/; none of their images taught the shipped prior. Draws docs/trust.png.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d

from pipeline.imagery.scored import read_levels
from pipeline.output.results import stitch
from sr_ops.image.resample import downscale, upscale
from sr_ops.measures.octaves import OctavePowers

from .parts import Part, exit_code, measure
from .pictures import encode_png
from .quality import OUT, Case, run_cases
from .results import RESULTS, table

PLOT = RESULTS.with_name("trust.png")

SATELLITE = (
    *("OSBS_029.tif", "RGB.byte.tif", "test_tiled.tif", "pix4d_alpha_nodata.tif", "cogeo.tif", "image_rgb_mask.tif"),
    "201404_13SED190110_201404_0x1500m_CL_1_nodata.tif",
)
SCALES = (2, 4)
CROPS = 200
SIDE = 128
TRIES = 20
FILL = 0.01
"""Share of pixels without any light that a crop may have."""
BLOCK = 8
"""Side in pixels of what is compared within a picture."""
ASKED = 0.6
MEASURES = {
    "disagreement_p50": "disagreement_p50",
    "disagreement_p95": "disagreement_p95",
    "consistency_rmse": "consistency_rmse",
    "spectrum_excess": "spectrum_excess",
    "gradient": "mean gradient of bicubic",
    "detail": "median of what was added to bicubic",
}
"""Of a picture: columns of its record, and for comparison two that need no members."""


@dataclass(frozen=True)
class Scored:
    """One crop, enlarged."""

    kind: str
    error: float
    """RMSE to the truth in grey levels, all bands, without a border of the scale."""
    measures: dict[str, float]
    within: float
    """Rank correlation of the map of the disagreement with the error, over blocks."""
    spectra: dict[str, float]
    """Excess of the truth, of the result, and of images that hold what no data support."""


def crops(data: Path) -> Iterator[tuple[str, Tensor]]:
    """CROPS times a kind and (C, SIDE, SIDE) uint8, drawn from all pictures in turn."""
    files = [*sorted((data / "set14").glob("*.png")), *(data / "satellite" / name for name in SATELLITE)]
    pictures = [(file.parent.name, read_levels(str(file))[:3]) for file in files]
    generator = Generator().manual_seed(0)
    made = 0
    while made < CROPS:
        for kind, picture in pictures:
            crop = _draw(picture, generator)
            if crop is not None and made < CROPS:
                yield kind, crop
                made += 1


def _draw(picture: Tensor, generator: Generator) -> Tensor | None:
    """A crop without a fill; None where none was found."""
    for _ in range(TRIES):
        top, left = (int(torch.randint(side - SIDE + 1, (1,), generator=generator)) for side in picture.shape[-2:])
        crop = picture[:, top : top + SIDE, left : left + SIDE]
        if float((crop == 0).all(0).float().mean()) <= FILL:
            return crop
    return None


def score(folder: Path, drawn: list[tuple[str, Tensor]], scale: int) -> list[Scored]:
    """Make the images small, enlarge them, and compare."""
    cases = []
    for number, (kind, hr) in enumerate(drawn):
        lr_file, hr_file = folder / f"{number}-x{scale}.png", folder / f"{number}.png"
        lr_file.write_bytes(encode_png(downscale(hr, scale)))
        hr_file.write_bytes(encode_png(hr))
        cases.append(Case(kind, scale, str(number), lr_file, hr_file))
    output = run_cases(f"trust-x{scale}", cases, "--executor", "inline", "--disagreement")
    records = {record["key"]: record for record in pq.read_table(output / "manifest.parquet").to_pylist()}
    return [_score(kind, hr, scale, records[case.id]) for case, (kind, hr) in zip(cases, drawn, strict=True)]


def _score(kind: str, hr: Tensor, scale: int, record: dict[str, Any]) -> Scored:
    sr, drawn = (stitch(record[name]).float() for name in ("output_uri", "disagreement_uri"))
    truth = hr.float()
    inner = slice(scale, SIDE - scale)
    squares = (sr - truth).square().mean(0)[inner, inner]
    bicubic = upscale(downscale(hr, scale).float(), scale)
    gradient = (bicubic.diff(dim=-1).abs().mean() + bicubic.diff(dim=-2).abs().mean()) / 2
    measures = {name: record[name] for name in MEASURES if name in record}
    measures |= {"gradient": float(gradient), "detail": float((sr - bicubic).abs().median())}
    in_blocks = (avg_pool2d(each[None], BLOCK).flatten().numpy() for each in (drawn[0][inner, inner], squares))
    spectra = {name: _excess(change(truth, sr), scale) for name, change in SPECTRA.items()}
    return Scored(kind, float(squares.mean().sqrt()), measures, rank_correlation(*in_blocks), spectra)


def _noisy(image: Tensor, sigma: float) -> Tensor:
    return image + sigma * torch.randn(image.shape, generator=Generator().manual_seed(0))


def _checked(image: Tensor, levels: float) -> Tensor:
    """With a checkerboard, as transposed convolutions leave it."""
    rows, columns = (torch.arange(side) for side in image.shape[-2:])
    return image + levels * (1 - 2 * ((rows[:, None] + columns) % 2))


def _sharpened(image: Tensor) -> Tensor:
    """By an unsharp mask of 3 x 3 pixels, twice as strong as what it takes away."""
    return image + 2 * (image - avg_pool2d(image[None], 3, 1, 1, count_include_pad=False)[0])


SPECTRA: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "the truth": lambda truth, _: truth,
    "the result": lambda _, sr: sr,
    "the result and noise of 5 levels": lambda _, sr: _noisy(sr, 5),
    "the result and noise of 15 levels": lambda _, sr: _noisy(sr, 15),
    "the result and a checkerboard of 3 levels": lambda _, sr: _checked(sr, 3),
    "the result, sharpened": lambda _, sr: _sharpened(sr),
    "the truth, sharpened": lambda truth, _: _sharpened(truth),
}


def _excess(image: Tensor, scale: int) -> float:
    levels = image.round().clamp(0, 255).mean(0)
    powers = OctavePowers.of(levels, torch.ones_like(levels, dtype=torch.bool), (scale, scale))
    excess = None if powers is None else powers.excess()
    return float("nan") if excess is None else excess


def rank_correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Spearman's, of pairs that have both values; ranks of equal values are their mean."""
    both = np.isfinite(one) & np.isfinite(other)
    return float(np.corrcoef(_ranks(one[both]), _ranks(other[both]))[0, 1])


def _ranks(values: NDArray[Any]) -> NDArray[np.float64]:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: NDArray[np.float64] = (ends - (counts - 1) / 2)[place.ravel()]
    return means


def _column(scored: list[Scored], name: str) -> NDArray[np.float64]:
    values = [one.measures[name] for one in scored]
    return np.array([float("nan") if value is None else value for value in values], np.float64)


def _errors(scored: list[Scored]) -> NDArray[np.float64]:
    return np.array([one.error for one in scored])


def correlations(results: dict[int, list[Scored]]) -> str:
    rows = []
    for name, title in MEASURES.items():
        row = [f"`{title}`" if name == title else title]
        for scored in results.values():
            for kinds in (("set14", "satellite"), ("set14",), ("satellite",)):
                some = [one for one in scored if one.kind in kinds]
                row.append(f"{rank_correlation(_column(some, name), _errors(some)):.2f}")
        rows.append(row)
    heads = [f"x{scale}, {kind}" for scale in results for kind in ("all", "Set14", "satellite")]
    return table(["of a crop", *heads], rows)


def fifths(scored: list[Scored]) -> list[list[str]]:
    """For each fifth of the crops by disagreement: its range, and the quantiles of the true error."""
    order = np.argsort(_column(scored, "disagreement_p50"))
    rows = []
    for part in np.array_split(order, 5):
        disagreement, errors = _column(scored, "disagreement_p50")[part], _errors(scored)[part]
        low, middle, high = np.quantile(errors, (0.1, 0.5, 0.9))
        rows.append(
            [f"{disagreement.min():.2f} to {disagreement.max():.2f}", f"{middle:.1f}", f"{low:.1f} to {high:.1f}"]
        )
    return rows


def spectra(results: dict[int, list[Scored]]) -> str:
    rows = []
    for name in SPECTRA:
        row = [name]
        for scored in results.values():
            values = np.array([one.spectra[name] for one in scored])
            plain = np.array([one.spectra["the result"] for one in scored])
            low, middle, high = np.nanquantile(values, (0.05, 0.5, 0.95))
            over = np.mean(values > np.nanquantile(plain, 0.95))
            row += [f"{middle:+.1f} ({low:+.1f} to {high:+.1f})", f"{over:.0%}"]
        rows.append(row)
    heads = [head for scale in results for head in (f"x{scale}, dB: median (5 % to 95 %)", "above 95 % of results")]
    return table(["spectrum_excess of", *heads], rows)


def plot(results: dict[int, list[Scored]], path: Path) -> None:
    """The true error over the disagreement, a panel for each scale."""
    figure = Figure(figsize=(9, 4.2), dpi=150, layout="constrained")  # no pyplot: there may be no display
    panels = figure.subplots(1, len(results), sharey=True)
    for axes, (scale, scored) in zip(panels, results.items(), strict=True):
        for kind, title, mark in (("set14", "Set14", "o"), ("satellite", "satellite and aerial", "^")):
            some = [one for one in scored if one.kind == kind]
            axes.loglog(_column(some, "disagreement_p50"), _errors(some), mark, label=title, markersize=4, alpha=0.7)
        found = rank_correlation(_column(scored, "disagreement_p50"), _errors(scored))
        axes.set_title(f"x{scale}: rank correlation {found:.2f}")
        axes.set_xlabel("disagreement_p50, grey levels")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("RMSE to the truth, grey levels")
    panels[0].legend(frameon=False)
    figure.savefig(path)


def compare(data: Path) -> Part:
    """Enlarge all crops, draw the plot, and tell what came of it."""
    folder = OUT / "trust"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = list(crops(data))
    results = {scale: score(folder, drawn, scale) for scale in SCALES}
    plot(results, PLOT)
    found = {
        scale: rank_correlation(_column(scored, "disagreement_p50"), _errors(scored))
        for scale, scored in results.items()
    }
    told = " and ".join(f"{value:.2f} at x{scale}" for scale, value in found.items())
    within = " and ".join(f"{np.nanmedian([one.within for one in each]):.2f}" for each in results.values())
    of_fifths = [[f"x{scale}", *row] for scale, scored in results.items() for row in fifths(scored)]
    missed = [f"rank correlation: {told}, at least {ASKED} asked"] if min(found.values()) < ASKED else []
    text = f"""## Trust

{CROPS} crops of {SIDE} x {SIDE} pixels of Set14 and of {len(SATELLITE)} satellite and aerial pictures, made small by
MATLAB's bicubic in 8 bits, and enlarged by `srpipe run --disagreement`, all else default. The true error of a crop is
its RMSE to the truth in grey levels, over all bands. **Rank correlation (Spearman) of `disagreement_p50` with it:
{told}.** docs/trust.md says what this means.

{correlations(results)}

Within a crop the map has a rank correlation of {within} (median over the crops, blocks of {BLOCK} x {BLOCK} pixels)
with the error.

What a `disagreement_p50` meant for the true error, a fifth of the crops each:

{table(["", "disagreement_p50", "median RMSE", "10 % to 90 % of the crops"], of_fifths)}

Octaves that the data do not tell of, against the line through those that they do (`spectrum_excess`):

{spectra(results)}

![True error over disagreement]({PLOT.name})
"""
    return Part(text, missed)


if __name__ == "__main__":
    sys.exit(exit_code(measure("make bench-trust DATA=...", "trust", {"": lambda: compare(Path(sys.argv[1]))})))
