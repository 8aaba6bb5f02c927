"""Columns of a record that say how far to trust its result; docs/trust.md says how to read them."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrustColumns:
    """Columns of a record, the last ones of the table."""

    disagreement_p50: float | None = None
    """Median over all known samples of the standard deviation across the members of the self-ensemble before
    back-projection, in native units, exact to 1/16 of its value. None if there is only one member."""
    disagreement_p95: float | None = None
    """The 95th percentile of the same standard deviation."""
    disagreement_uri: str | None = None
    """Folder of the map of that standard deviation (--disagreement). Its tiles are named like those of the image."""
    spectrum_excess: float | None = None
    """Excess power of the result, in dB, in the worst octave of frequencies beyond half a cycle per LR pixel, which the
    input does not determine. It is measured against a line through the three octaves below
    (`sr_ops.measures.octaves`). None below x2, or if no block of 32 x 32 LR pixels fits."""
    fit_curve: tuple[float, ...] | None = None
    """Loss of the fit, defined like `final_loss`, over at most 32 equal parts of the first stage's steps; None without
    a fit."""
