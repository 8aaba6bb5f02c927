"""Training a prior's network on draws: L1, Adam, warm-up and cosine, an average of the weights; resumable.

On a GPU one step, draws included, is one CUDA graph: launched one by one, its hundreds of small pieces of work would
take longer than they run.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from .direct import DirectNetwork
from .draws import Batch
from .fit import GRADIENT_NORM

_AVERAGE_SHARE = 1e-3
"""Of a step's weights in their average, in a long training."""

_STEPS_BEFORE_CAPTURE = 11


class Lessons(Protocol):
    """What is learned from, such as `draws.Draws`."""

    generator: Generator
    """What all is drawn from."""

    def batch(self, size: int) -> Batch:
        """One step's, of `size` crops."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast."""

    steps: int
    batch: int
    learning_rate: float = 1e-3
    """At its peak; it rises over the first `warm_up` steps and falls along a cosine to a hundredth."""
    warm_up: int = 300

    def rate(self, step: int) -> float:
        """The learning rate of step 0, 1, ..."""
        rise = min(1.0, (step + 1) / self.warm_up)
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, self.steps))))
        return self.learning_rate * rise * (0.01 + 0.99 * fall)

    @property
    def average_share(self) -> float:
        """Of a step's weights in their average: nothing of the start is left in that of a short training, either."""
        return min(1.0, max(_AVERAGE_SHARE, 10 / self.steps))


class Training:
    """A network on its way; `state` holds all that a later one needs to go on."""

    def __init__(self, network: DirectNetwork, draws: Lessons, schedule: Schedule) -> None:
        self._network, self._draws, self._schedule = network, draws, schedule
        self._parameters = list(network.parameters())
        self._device = self._parameters[0].device
        self._on_gpu = self._device.type == "cuda"
        self._warm_steps = 0
        self._rate = torch.tensor(0.0, device=self._device)
        self._optimiser = torch.optim.Adam(
            self._parameters, lr=self._rate, betas=(0.9, 0.99), fused=True, capturable=self._on_gpu
        )
        self._average = [parameter.detach().clone() for parameter in self._parameters]
        self._loss_sum = torch.zeros((), device=self._device)
        self._replay: Callable[[], None] | None = None
        self.steps = 0

    def run(self, until: int) -> float:
        """Go on to step `until`; returns the mean loss of these steps."""
        self._network.train()
        self._loss_sum.zero_()
        first = self.steps
        while self.steps < until:
            self._rate.fill_(self._schedule.rate(self.steps))
            self._step()
            self.steps += 1
        return float(self._loss_sum) / max(1, self.steps - first)

    def averaged(self) -> dict[str, Tensor]:
        """The average of the weights over the last tenth of the steps, a thousand at most, on the CPU."""
        names = [name for name, _ in self._network.named_parameters()]
        return {name: tensor.detach().cpu().clone() for name, tensor in zip(names, self._average, strict=True)}

    def state(self) -> dict[str, object]:
        """What `load` goes on from."""
        return {
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "average": [tensor.detach() for tensor in self._average],
            "generator": self._draws.generator.get_state(),
            "steps": self.steps,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from where a training of the same network, draws and schedule was: the same steps follow, bit for bit.

        Raises ValueError where the state is another network's.
        """
        held = {name: tuple(tensor.shape) for name, tensor in state["network"].items()}
        wanted = {name: tuple(tensor.shape) for name, tensor in self._network.state_dict().items()}
        if held != wanted:
            raise ValueError("the checkpoint is of another network; begin anew, or give the options it was begun with")
        self._network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._optimiser.param_groups[0]["lr"] = self._rate  # loading puts a copy in its place
        for mine, stored in zip(self._average, state["average"], strict=True):
            mine.copy_(stored)
        self._draws.generator.set_state(state["generator"].cpu())
        self.steps = state["steps"]

    def _step(self) -> None:
        if not self._on_gpu:
            self._eager()
            return
        if self._replay is not None:
            self._replay()
            return
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._eager()
        torch.cuda.current_stream().wait_stream(side)
        self._warm_steps += 1
        if self._warm_steps > _STEPS_BEFORE_CAPTURE:
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            graph.register_generator_state(self._draws.generator)
            with torch.cuda.graph(graph):
                self._eager()
            self._replay = graph.replay

    def _eager(self) -> None:
        drawn = self._draws.batch(self._schedule.batch)
        # Inside a captured graph nothing that autocast cached may be read again.
        with torch.autocast(self._device.type, enabled=False, cache_enabled=False):
            loss = _loss(self._network(drawn.lr, drawn.base, drawn.told) - drawn.hr)
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._parameters, GRADIENT_NORM, foreach=True)
        self._optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(self._average, [p.detach() for p in self._parameters], self._schedule.average_share)
            self._loss_sum += loss.detach()


def _loss(error: Tensor) -> Tensor:
    """L1 of (B, C, H, W); of several bands, also of their mean, since eyes see detail in brightness."""
    loss = error.abs().mean()
    return loss if error.shape[1] == 1 else loss + error.mean(1).abs().mean()
