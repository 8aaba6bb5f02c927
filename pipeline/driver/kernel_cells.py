"""The kernels that a manifest's rows name. A file is read once, however many rows name it."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from ..config import names_kernel_file, parse_kernel
from ..errors import UsageError
from ..imagery.kernel_files import read_kernel
from ..storage.patience import Patience

_AT_ONCE = 16
"""Files that are read at a time, since S3 takes as long for one."""


class KernelCells:
    """What the cells of the column `kernel` mean."""

    def __init__(self, cells: Iterable[str], folder: str, patiently: Patience) -> None:
        """Reads the files among them.

        Args:
            folder: what relative names are relative to.
        """
        self._folder, self._patiently = folder, patiently
        self._texts: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        files = [cell for cell in dict.fromkeys(cells) if names_kernel_file(cell)]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._read, files))

    def text(self, cell: str) -> str:
        """As `Settings.kernel` has it. Raises ValueError with a sentence for a cell that is no kernel."""
        if not names_kernel_file(cell):
            return parse_kernel(cell)
        if cell in self._refused:
            raise ValueError(self._refused[cell])
        return self._texts[cell]

    def _read(self, cell: str) -> None:
        try:
            self._texts[cell] = read_kernel(cell, "kernel", self._folder, self._patiently)
        except UsageError as error:
            self._refused[cell] = str(error)
