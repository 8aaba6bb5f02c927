"""What the pixels of an image tell of how it came about, each thing looked for once, when it is first asked for."""

from functools import cached_property

from torch import Tensor

from .estimate import Estimate, estimate, noise_of_bands
from .jpeg import find_steps
from .noise_line import NoiseLine, noise_line
from .spectrum import Spectrum, spectrum_of


class Signs:
    """Those of one image: its camera is guessed, and its damage found, by the same ones."""

    def __init__(self, image: Tensor, known: Tensor | None = None, rounding: float = 0.0) -> None:
        """Looks at nothing yet.

        Args:
            image: (C, H, W) float32 in [0, 1].
            known: (H, W) bool; None for everywhere.
            rounding: step between two samples as the file has them, in units of the full range; 0 for floating point.
        """
        self.image, self._known, self._rounding = image, known, rounding

    @cached_property
    def jpeg_steps(self) -> Tensor | None:
        """`jpeg.find_steps`."""
        return find_steps(self.image)

    @cached_property
    def estimate(self) -> Estimate | None:
        """Its camera, JPEG's part of the spectrum left out; None of one that is too small, or flat."""
        return None if self._spectrum is None else estimate(self._spectrum)

    @cached_property
    def noise(self) -> Tensor | None:
        """`noise_of_bands`, of an image that is no JPEG."""
        return noise_of_bands(self.image, self._known, self._spectrum)

    @cached_property
    def noise_lines(self) -> tuple[NoiseLine | None, ...]:
        """`noise_line` of each band, of an image that is no JPEG and has an estimate."""
        found = self.estimate
        if found is None:
            return (None,) * len(self.image)
        return tuple(noise_line(band, self._known, found) for band in self.image)

    @cached_property
    def _spectrum(self) -> Spectrum | None:
        return spectrum_of(self.image, self._known, self.jpeg_steps, self._rounding)
