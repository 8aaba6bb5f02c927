"""A worker: units in, answers out, while the next images are fetched. A plain class that knows nothing of Ray.

A scene is fitted as one unit, and its tiles are done in groups, each of which is a unit: see units.py and scene.py.
"""

import os
import socket
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import islice

import torch

from sr_ops.enlarging.restorer import RestorerError
from sr_ops.networks.exact import stay_exact

from .. import storage
from ..errors import ErrorType, ImageError
from ..output import leftovers
from ..output.clock import now
from ..output.record import Record
from ..priors.prior_file import weights
from ..storage.patience import Patience
from .assignment import Assignment
from .fitting import ImageFit
from .image_work import Attempt, ImageWork
from .ledger import Ledger
from .memory import OUT_OF_MEMORY, in_smaller_pieces
from .opening import Opened, Opener, ledger_name
from .recording import Recorder, failed, failed_by_bug, first_line
from .stacked_fits import stacked_fits
from .stopwatch import DeadlineError
from .units import Answer, Group, Row, Unit

_FIT_PHASES = ("fit", "infer", "back_project")
"""Phases that occur in a fit of all stages: later ones learn from the result of earlier ones."""


class Worker:
    """Turns units into answers. The failure of an image becomes its record; only the death of the process escapes."""

    def __init__(
        self,
        assignment: Assignment,
        device: str,
        ledger: Ledger | None = None,
    ) -> None:
        """Set the run's thread count and storage options for the whole process.

        Args:
            device: "cpu" or "cuda".
            ledger: None if nobody restarts this process.
        """
        config, division, model = assignment.config, assignment.division, assignment.model
        torch.set_num_threads(config.threads)
        storage.use(config.storage, config.output)  # credentials are looked up in this process, which uses them
        leftovers.sweep_temporary()
        self._config = config
        self._prior = None if assignment.prior is None else weights(assignment.prior)
        self._device = torch.device(device)
        self._restarted = ledger is not None
        self._ledger = ledger or Ledger()
        self._recorder = Recorder(config, self._device)
        patiently = Patience(config.retries)
        self._opener = Opener(config, self._device, division, self._ledger, patiently)
        restorer = None if model is None else model.ready(config.settings.model_halo, config.threads, device)
        self._work = ImageWork(config, self._prior, self._device, division, self._recorder, patiently, restorer)
        stay_exact()

    def __call__(self, unit: Unit) -> Iterator[Answer]:
        """Yield one answer for a group; else one per row, in order, each as soon as its image is committed.

        For a scene the answer lists its groups, as soon as its networks are stored.
        """
        if isinstance(unit, Group):
            yield self._group(unit)
        else:
            self._opener.release()
            yield from self._rows(unit)

    def _rows(self, unit: Sequence[Row]) -> Iterator[Answer]:
        """Fit as many images at once as a stack holds; the next ones are fetched meanwhile.

        If a process died on this unit, images are done strictly one by one, so that the next death tells which one it
        was.
        """
        alone = self._ledger.suspects(row.key for row in unit)
        stack = 1 if alone else self._config.settings.stack
        rows = iter(unit)
        with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
            ready: list[_Job] = []
            following: list[_Job] = []
            try:
                while True:
                    if alone:
                        yield from self._together(ready)
                        ready = []
                    following = [(row, reader.submit(self._opener.open, row)) for row in islice(rows, stack)]
                    yield from self._together(ready)
                    if not following:
                        return
                    ready = following
            finally:
                for _, opened in (*ready, *following):  # the caller may not have asked for all answers
                    if not opened.cancel() and opened.exception() is None:
                        opened.result().close()

    def close(self) -> None:
        """Release what is kept for a next unit."""
        self._opener.release()

    def _group(self, group: Group) -> Answer:
        begun = self._recorder.begun(group.row, now())
        with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
            opened = reader.submit(self._opener.open_group, group)
            answer = self._answer(group.row, opened, None, begun, ledger_name(group))
        if isinstance(answer, Record):  # it failed, perhaps because its scene's decoder is gone: open that anew
            self._opener.release()
        self._ended(ledger_name(group), answer)
        return answer

    def _together(self, jobs: "list[_Job]") -> Iterator[Answer]:
        started = now()
        fits: dict[str, ImageFit] = {}
        if len(jobs) > 1:
            images = [(row.key, opened.result()) for row, opened in jobs if opened.exception() is None]
            fits = stacked_fits(images, self._prior, self._device, self._config.max_seconds)
        for row, opened in jobs:
            begun = self._recorder.begun(row, started if row.key in fits else now())
            answer = self._answer(row, opened, fits.get(row.key), begun, row.key)
            self._ended(row.key, answer)
            yield answer

    def _answer(self, row: Row, opened: Future[Opened], fit: ImageFit | None, begun: Record, in_ledger: str) -> Answer:
        """Return the answer; anything that goes wrong with an image becomes its record."""
        try:
            found = opened.result()
            with closing(found):
                return self._in_time(row, found, fit, replace(begun, attempt=1 + found.deaths))
        except ImageError as error:
            return failed(begun, error.error_type, str(error))
        except RestorerError as error:
            return failed(begun, ErrorType.UNSUPPORTED, str(error))
        except DeadlineError:
            message = f"not done within {self._config.max_seconds:g} s; raise --max-seconds-per-image or cut the image"
            return failed(begun, ErrorType.DEADLINE, message)
        except (MemoryError, torch.OutOfMemoryError):  # while opening it
            return failed(begun, ErrorType.MEMORY, OUT_OF_MEMORY)
        except Exception as error:  # noqa: BLE001 - a bug in one image must not stop the others; it is reported in full
            if self._restarted and _is_broken_gpu(error):
                self._ledger.dying(in_ledger, f"{first_line(error)} on node {socket.gethostname()}")
                os._exit(1)  # this process could do no later image; a new one is started in its place
            return failed_by_bug(begun, error)

    def _in_time(self, row: Row, opened: Opened, fit: ImageFit | None, begun: Record) -> Answer:
        """Make all attempts within the image's time limit.

        A fit in a stack counts towards it, the wait for other images of the stack does not.
        """
        opened.watch.limit(self._config.max_seconds, spent=0.0 if fit is None else opened.watch.total(*_FIT_PHASES))

        def work(piece: int, failures: int) -> Answer:
            begun_again = replace(begun, attempt=begun.attempt + failures)
            return self._work(Attempt(row, opened, fit, begun_again, piece))

        return in_smaller_pieces(work, opened.settings.tile_size)

    def _ended(self, key: str, answer: Answer) -> None:
        if not (isinstance(answer, Record) and answer.error_type == ErrorType.CRASHED):  # a crash stays in the ledger
            self._ledger.end(key)


_Job = tuple[Row, Future[Opened]]


def _is_broken_gpu(error: Exception) -> bool:
    """Return whether the process can no longer use its GPU: such a CUDA error returns at every later call."""
    return isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError)
