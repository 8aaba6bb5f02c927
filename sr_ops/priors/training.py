"""Training of a prior's network on random draws: L1, Adam, warm-up and cosine, averaged weights; resumable.

On a GPU one step, draws included, is one CUDA graph: launched one by one, its hundreds of small kernels would take
longer to launch than to run.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from ..networks.direct import DirectNetwork
from ..networks.layers import GRADIENT_NORM
from .draws import Batch

_AVERAGE_SHARE = 1e-3
"""Share of a step's weights in the running average, in a long training."""

_STEPS_BEFORE_CAPTURE = 11


class Lessons(Protocol):
    """A source of batches, such as `draws.Draws`."""

    generator: Generator
    """The generator of all random numbers."""

    def batch(self, size: int) -> Batch:
        """Draw a batch of `size` crops."""


@dataclass(frozen=True)
class Schedule:
    """Length and learning rate of a training."""

    steps: int
    batch: int
    learning_rate: float = 1e-3
    """Peak value. The rate rises over the first `warm_up` steps, then falls along a cosine to a hundredth."""
    warm_up: int = 300

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, from 0."""
        rise = min(1.0, (step + 1) / self.warm_up)
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, step / max(1, self.steps))))
        return self.learning_rate * rise * (0.01 + 0.99 * fall)

    @property
    def average_share(self) -> float:
        """Share of a step's weights in the running average; large enough that a short training forgets its start."""
        return min(1.0, max(_AVERAGE_SHARE, 10 / self.steps))


class Training:
    """A training in progress; `state` holds all that is needed to resume it."""

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
        """Train until step `until`; return the mean loss of these steps."""
        self._network.train()
        self._loss_sum.zero_()
        first = self.steps
        while self.steps < until:
            self._rate.fill_(self._schedule.rate(self.steps))
            self._step()
            self.steps += 1
        return float(self._loss_sum) / max(1, self.steps - first)

    def averaged(self) -> dict[str, Tensor]:
        """Return the weights averaged over about the last tenth of the steps, at most a thousand, on the CPU."""
        names = [name for name, _ in self._network.named_parameters()]
        return {name: tensor.detach().cpu().clone() for name, tensor in zip(names, self._average, strict=True)}

    def state(self) -> dict[str, object]:
        """Return the state from which `load` resumes."""
        return {
            "network": self._network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "average": [tensor.detach() for tensor in self._average],
            "generator": self._draws.generator.get_state(),
            "steps": self.steps,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Resume from the state of a training with the same network, draws and schedule; the next steps are bit-equal.

        Raises ValueError if the state is of another network.
        """
        held = {name: tuple(tensor.shape) for name, tensor in state["network"].items()}
        wanted = {name: tuple(tensor.shape) for name, tensor in self._network.state_dict().items()}
        if held != wanted:
            raise ValueError("the checkpoint is of another network; start over, or give the options it was begun with")
        self._network.load_state_dict(state["network"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._optimiser.param_groups[0]["lr"] = self._rate  # loading replaced it by a copy
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
        # A captured graph must not read what autocast cached outside it.
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
    """Return the L1 of (B, C, H, W); for several bands plus that of their mean, since eyes see detail in luma."""
    loss = error.abs().mean()
    return loss if error.shape[1] == 1 else loss + error.mean(1).abs().mean()
