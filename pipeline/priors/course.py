"""Training of heads: each in its own thread, as many at once as there are cores, interruptible at any step."""

import math
import os
import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from threading import Event

import torch
from torch import Tensor

from sr_ops.camera.kernels import bicubic
from sr_ops.networks.direct import DirectNetwork
from sr_ops.networks.residual_network import fastest_dtype
from sr_ops.priors.album import Album
from sr_ops.priors.drawn_kernels import in_bank, kernel_bank
from sr_ops.priors.draws import MARGIN, Draws, Odds
from sr_ops.priors.heads import deeper, first_weights, origin
from sr_ops.priors.prior import Head, Prior
from sr_ops.priors.training import Schedule, Training
from sr_ops.settings import Body

from .checkpoint import Progress

ODDS = Odds(bicubic=0.5, noise=0.3, jpeg=0.25, processed=0.6, grey=0.1, swapped=0.15, inverted=0.05)
_ODDS_OF_ONE_BAND = replace(ODDS, swapped=0.5)
_ODDS_OF_CLEAN = Odds(bicubic=1, noise=0, jpeg=0, unseen=0.12, grey=0.05, swapped=0.05, inverted=0)

_KERNELS, _LEAST_KERNELS = 20_000, 100
"""Kernels drawn for a head, and the fewest; no more than there are crops."""

_WARM_UP = 300
"""Warm-up steps in a training that is long enough."""

_SAVE_SECONDS = 180.0

_LOSS_SHARE = 0.05
"""Weight of the latest loss in the reported average."""


class DivergedError(Exception):
    """A loss is no longer finite."""


@dataclass(frozen=True)
class Course:
    """What is trained, and how."""

    heads: tuple[Head, ...]
    """In training order."""
    clean: bool
    """Whether these are heads for clean images, rather than for any camera."""
    body: Body
    steps: int
    """Per head."""
    batch: int
    crop: int
    """In LR pixels; a multiple of 16."""
    learning_rate: float
    seed: int

    def side(self, scale: int) -> int:
        """Return the side of a patch in HR pixels."""
        return (self.crop + 2 * MARGIN) * scale


Tell = Callable[[Head, int, float], None]
"""Called with a head, the steps done, and the loss."""


def train(
    course: Course,
    albums: dict[int, Album],
    start: Prior | None,
    progress: Progress,
    device: torch.device,
    save: Callable[[], None],
    tell: Tell,
) -> None:
    """Continue from `progress` until it holds all heads.

    Args:
        albums: by scale.
        save: stores `progress`; called every few minutes, when a head is done, and on interruption.

    Raises:
        DivergedError: the learning rate is too high.
    """
    heads, pause = _Heads(course, albums, start, progress, device), Event()
    begun: dict[Head, _HeadTraining] = {}
    running: dict[Head, Future[None]] = {}

    def note_all() -> None:
        for training in begun.values():
            training.note(progress)
        save()

    with ThreadPoolExecutor(_at_once(device)) as pool:
        try:
            while len(progress.done) < len(course.heads):
                for head in heads.ready()[: _at_once(device)]:
                    if head not in begun:
                        begun[head] = heads.training(head)
                    running[head] = pool.submit(begun[head].run, pause, partial(tell, head))
                _wait_for_any(running.values())
                pause.set()
                wait(running.values())
                for future in running.values():
                    future.result()
                note_all()
                begun = {head: training for head, training in begun.items() if head not in progress.done}
                running.clear()
                pause.clear()
        except Exception:
            pause.set()
            raise
        except BaseException:  # a signal: keep what has been learned
            pause.set()
            pool.shutdown()
            note_all()
            raise


class _HeadTraining:
    """The training of one head."""

    def __init__(self, head: Head, training: Training, steps: int, at_a_time: int) -> None:
        self.head = head
        self._training, self._steps, self._at_a_time = training, steps, at_a_time
        self._loss = math.nan

    def run(self, pause: Event, tell: Callable[[int, float], None]) -> None:
        """Train to the last step, or until `pause` is set."""
        while self._training.steps < self._steps and not pause.is_set():
            loss = self._training.run(min(self._steps, self._training.steps + self._at_a_time))
            if not math.isfinite(loss):
                raise DivergedError(f"the head for x{self.head[0]}, {self.head[1]} bands, step {self._training.steps}")
            self._loss = loss if math.isnan(self._loss) else self._loss + _LOSS_SHARE * (loss - self._loss)
            tell(self._training.steps, self._loss)

    def note(self, progress: Progress) -> None:
        """Put its state into `progress`."""
        if self._training.steps == self._steps:
            progress.done[self.head] = self._training.averaged()
            progress.begun.pop(self.head, None)
        else:
            progress.begun[self.head] = self._training.state()


@dataclass(frozen=True, eq=False)
class _Heads:
    """The heads of a course: which of them can be trained now, and how the training of one begins."""

    course: Course
    albums: dict[int, Album]
    start: Prior | None
    progress: Progress
    device: torch.device

    def ready(self) -> list[Head]:
        """Return heads that are not done and whose initial weights are available."""
        there = {None, *(self.start.heads if self.start else ()), *self.progress.done}
        waiting = [head for head in self.course.heads if head not in self.progress.done]
        return [head for head in waiting if self._origin(head) in there]

    def training(self, head: Head) -> _HeadTraining:
        """Return the training of a head, at its beginning or where it was left."""
        course, (scale, bands) = self.course, head
        seed = Random(f"{course.seed} {scale} {bands}").getrandbits(63)
        network = DirectNetwork(bands, scale, course.body, fastest_dtype(self.device))
        network.load_state_dict(self._first_weights(head, seed))
        network = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        schedule = Schedule(course.steps, course.batch, course.learning_rate, max(1, min(_WARM_UP, course.steps // 4)))
        training = Training(network, self._draws(head, seed), schedule)
        if head in self.progress.begun:
            training.load(self.progress.begun[head])
        return _HeadTraining(head, training, course.steps, 1 if self.device.type == "cpu" else 20)

    def _draws(self, head: Head, seed: int) -> Draws:
        course, (scale, bands) = self.course, head
        if course.clean:
            bank, odds = in_bank(bicubic(scale))[None].float().to(self.device), _ODDS_OF_CLEAN
        else:
            odds = ODDS if bands == 3 else _ODDS_OF_ONE_BAND
            kernels = max(_LEAST_KERNELS, min(_KERNELS, course.steps * course.batch))
            bank = kernel_bank(scale, kernels, odds.bicubic, seed, self.device)
        return Draws(self.albums[scale], bank, scale, bands, course.crop, odds, seed)

    def _first_weights(self, head: Head, seed: int) -> dict[str, Tensor]:
        """Return initial weights; for a clean head those for any camera if the start has no clean one."""
        start, body = self.start, self.course.body
        if self.course.clean:
            assert start is not None
            return deeper(start.clean.get(head[0], start.heads[head]), body.depth)
        other = self._origin(head)
        weights: dict[str, Tensor] = {}
        if other is not None:
            weights = dict(start.heads[other] if start and other in start.heads else self.progress.done[other])
        return first_weights(head, body, other, weights, seed)

    def _origin(self, head: Head) -> Head | None:
        """Return the head whose weights this one starts from; None for a start from scratch."""
        return origin(head, self.start.heads if self.start else (), self.course.heads)


def _at_once(device: torch.device) -> int:
    """Return how many heads to train at once.

    Torch works outside Python's lock, so several keep several cores busy. One keeps a GPU busy.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1 if device.type != "cpu" else max(1, cores // torch.get_num_threads())


def _wait_for_any(running: Collection[Future[None]]) -> None:
    """Wait until one has ended, or it is time to save."""
    until = time.monotonic() + _SAVE_SECONDS
    while not wait(running, min(1.0, _SAVE_SECONDS), FIRST_COMPLETED).done and time.monotonic() < until:
        pass  # signals are handled in between
