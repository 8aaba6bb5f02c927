"""The real duration of work, learned from finished parts, by which estimates are scaled.

A part is an image, the fit of a scene, or a group of its tiles. For each there is an estimate in seconds
(work/estimates.py) and, once it is done, a worker's time. The time is modelled as `each` per image, whatever its size,
plus `factor` times the estimate: thumbnails are mostly `each`, scenes mostly `factor`.
"""

from dataclasses import dataclass

_EACH = 0.1
"""Seconds per image before any is done: reading, its record, its commit."""

_PRIOR_WEIGHT = 0.3
"""Weight, in parts, of the overall ratio of time to estimate: one part cannot determine two unknowns."""


@dataclass
class Pace:
    """Least squares over the parts so far; longer parts weigh less."""

    parts: int = 0
    _taken: float = 0.0
    _guessed: float = 0.0
    _whole: float = 0.0
    """Sums of w over images; then of w * guess, of w * guess^2, of w * taken over images, and of w * guess * taken."""
    _mixed: float = 0.0
    _square: float = 0.0
    _taken_whole: float = 0.0
    _taken_mixed: float = 0.0

    def learn(self, guess: float, taken: float, images: int = 1) -> None:
        """Add a finished part.

        Args:
            guess: seconds from work/estimates.py.
            taken: seconds of a worker.
            images: 1 if the part begins an image; 0 for a group of tiles.
        """
        self.parts += 1
        self._taken += taken
        self._guessed += images * _EACH + guess
        weight = 1 / (_EACH + guess)
        self._whole += weight * images
        self._mixed += weight * images * guess
        self._square += weight * guess * guess
        self._taken_whole += weight * images * taken
        self._taken_mixed += weight * guess * taken

    def seconds(self, guess: float, images: float) -> float:
        """Return the worker seconds for `images` images that are together estimated at `guess`."""
        each, factor = self._fitted()
        return images * each + guess * factor

    def _fitted(self) -> tuple[float, float]:
        """Return `each` and `factor`, both starting from the overall ratio and moved as far as the parts require."""
        ratio = self._taken / self._guessed if self._guessed > 0 else 1.0
        each, factor = ratio * _EACH, ratio
        off_whole = self._taken_whole - each * self._whole - factor * self._mixed
        off_mixed = self._taken_mixed - each * self._mixed - factor * self._square
        held_each, held_factor = self._whole + _PRIOR_WEIGHT / _EACH, self._square + _PRIOR_WEIGHT * _EACH
        determinant = held_each * held_factor - self._mixed**2
        each += (off_whole * held_factor - off_mixed * self._mixed) / determinant
        factor += (off_mixed * held_each - off_whole * self._mixed) / determinant
        if each < 0:
            return 0.0, max(0.0, self._taken_mixed / self._square)
        if factor < 0:
            return max(0.0, self._taken_whole / self._whole), 0.0
        return each, factor
