"""What the pixels of an image tell about its origin; each property is computed once, when it is first used."""

from functools import cached_property

from torch import Tensor

from .blur_search import with_shape
from .estimate import Estimate, estimate, noise_of_bands
from .jpeg import find_steps
from .noise_line import NoiseLine, noise_line
from .spectrum import Spectrum, spectrum_of


class Signs:
    """The signs of one image. Its kernel and its damage are found from the same ones."""

    def __init__(self, image: Tensor, known: Tensor | None = None, rounding: float = 0.0) -> None:
        """Compute nothing yet.

        Args:
            image: (C, H, W) float32 in [0, 1].
            known: (H, W) bool; None if all pixels are known.
            rounding: step between two samples in the file, in units of the full range; 0 for floating point.
        """
        self.image, self.known, self._rounding = image, known, rounding

    @cached_property
    def jpeg_steps(self) -> Tensor | None:
        """`jpeg.find_steps`."""
        return find_steps(self.image)

    @cached_property
    def estimate(self) -> Estimate | None:
        """The estimated camera, without what JPEG changed of the spectrum; None if the image is too small or flat."""
        return None if self._spectrum is None else with_shape(self._spectrum, estimate(self._spectrum))

    @cached_property
    def noise(self) -> Tensor | None:
        """`noise_of_bands`, for an image that is no JPEG."""
        shape = None if self.estimate is None else self.estimate.shape
        return noise_of_bands(self.image, self.known, self._spectrum, shape)

    @cached_property
    def noise_lines(self) -> tuple[NoiseLine | None, ...]:
        """`noise_line` of each band, for an image that is no JPEG; None for each band without an estimate."""
        found = self.estimate
        if found is None:
            return (None,) * len(self.image)
        return tuple(noise_line(band, self.known, found) for band in self.image)

    @cached_property
    def _spectrum(self) -> Spectrum | None:
        return spectrum_of(self.image, self.known, self.jpeg_steps, self._rounding)
