"""What a record says of how far its result is to be trusted; docs/trust.md says how to read it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrustColumns:
    """Columns of a record, the last ones of the table."""

    disagreement_p50: float | None = None
    """Median over all known samples of the standard deviation of the members of the self-ensemble, before they are
    back-projected, in native units, to 1/16 of itself; None where there is one member."""
    disagreement_p95: float | None = None
    """The 95th percentile of the same."""
    disagreement_uri: str | None = None
    """Folder of the map of it (--disagreement), in tiles named as those of the image."""
    spectrum_excess: float | None = None
    """dB by which an octave of frequencies beyond half a cycle per LR pixel, of which the input tells nothing, holds
    more power in the result than the line through the three octaves below has there, of the worst one
    (`sr_ops.octaves`). None below x2, and where there is no room for a block of 32 x 32 LR pixels."""
    fit_curve: tuple[float, ...] | None = None
    """Loss of the fit, as `final_loss`, over at most 32 equal parts of the first stage's steps; None without a fit."""
