"""How long work really takes, learned from the parts that are done: what estimates are scaled by.

A part is an image, the fit of a scene, or a group of its tiles. Of each there is a guess in seconds (work/estimates.py)
and, once it is done, what a worker took. Seconds are fitted by `each` for an image, whatever its size, and `factor`
times the guess: thumbnails are all `each`, scenes all `factor`.
"""

from dataclasses import dataclass

_EACH = 0.1
"""Seconds of an image before any is done: reading, its record, its commit."""

_PRIOR_WEIGHT = 0.3
"""Of the ratio of what was taken to what was guessed, in parts: two unknowns are not told from one part."""


@dataclass
class Pace:
    """Least squares over the parts so far, a part weighing the less the longer it is."""

    parts: int = 0
    _taken: float = 0.0
    _guessed: float = 0.0
    _whole: float = 0.0
    """Sum of w, of images; then of w * guess; of w * guess^2; of w * taken, of images; of w * guess * taken."""
    _mixed: float = 0.0
    _square: float = 0.0
    _taken_whole: float = 0.0
    _taken_mixed: float = 0.0

    def learn(self, guess: float, taken: float, images: int = 1) -> None:
        """A part is done.

        Args:
            guess: seconds, by work/estimates.py.
            taken: seconds of a worker.
            images: 1 where the part begins an image; 0 for a group of tiles.
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
        """Of a worker, for so many images that together are guessed to take `guess`."""
        each, factor = self._fitted()
        return images * each + guess * factor

    def _fitted(self) -> tuple[float, float]:
        """Both at the ratio of sums, and from there as far as the parts pull."""
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
