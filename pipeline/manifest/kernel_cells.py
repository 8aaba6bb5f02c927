"""The kernels that rows of a manifest name. A file is read once, however many rows name it."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from ..errors import UsageError
from ..imagery.kernel_files import read_kernel
from ..option_values import names_kernel_file, parse_kernel
from ..storage.patience import Patience

_AT_ONCE = 16
"""Files read in parallel, which S3 does in the time of one."""


class KernelCells:
    """The meaning of the cells in the column `kernel`."""

    def __init__(self, cells: Iterable[str], folder: str, patiently: Patience) -> None:
        """Read the files among them.

        Args:
            folder: base of relative names.
        """
        self._folder, self._patiently = folder, patiently
        self._texts: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        files = dict.fromkeys(cell for cell in cells if names_kernel_file(cell))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self._read, files))

    def text(self, cell: str) -> str:
        """Return the text for `Settings.kernel`. Raises ValueError with a sentence if the cell is not a kernel."""
        if not names_kernel_file(cell):
            return parse_kernel(cell)
        if cell not in self._texts and cell not in self._refused:
            self._read(cell)  # the manifest was changed since its cells were gone through
        if cell in self._refused:
            raise ValueError(self._refused[cell])
        return self._texts[cell]

    def _read(self, cell: str) -> None:
        try:
            self._texts[cell] = read_kernel(cell, "kernel", self._folder, self._patiently)
        except UsageError as error:
            self._refused[cell] = str(error)
