"""What a plan measures: how many images, beside what, and not what a process loads for its first one."""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipeline.forecast import calibration
from pipeline.forecast.forecast import forecast
from pipeline.forecast.measuring_process import Measured
from pipeline.forecast.outlook import Asked
from pipeline.work.units import Row

from .fixture_types import MakeConfig, MakePng

Process = Callable[[Sequence[Row]], list[Measured]]


class Served:
    """Stands for a process; an image of this key ends it."""

    def __init__(self, process: Process, deadly: str) -> None:
        self._process, self._deadly = process, deadly
        self.has_ended = False

    def __call__(self, unit: Sequence[Row]) -> list[Measured]:
        self.has_ended |= unit[0].key == self._deadly
        if self.has_ended:
            return [Measured(unit[0].key, 0.0, 0.0, 0, "the process ended")]
        return self._process(unit)


def served(process: Process, keys: str, processes: int, deadly: str = "") -> list[str]:
    """Have images measured by threads that stand for processes, and return the keys of those that were."""

    def begin() -> Any:
        return Served(process, deadly)

    units = [[Row(place, place + 1, key, f"{key}.png", 2, 0)] for place, key in enumerate(keys)]
    work: Any = calibration._Work(units, len(units), processes, begin)
    with ThreadPoolExecutor(processes) as pool:
        for _ in range(processes):
            pool.submit(work.served_by, begin)
        answers = [work.answers.get(timeout=90) for _ in units]
        work.measured.set()
    assert work.answers.empty()
    return [image.key for answer in answers for image in answer if image.problem is None]


def test_every_process_works_until_the_last_image_is_measured() -> None:
    """A machine is as busy as in a run: a process that has nothing left does its last image again, which counts not."""
    done: Counter[str] = Counter()
    often = threading.Event()

    def process(unit: Sequence[Row]) -> list[Measured]:
        done[unit[0].key] += 1
        if done["f"] > 5:
            often.set()
        if unit[0].key == "s":
            assert often.wait(60)
        return [Measured(unit[0].key, calibration._LOADING, 1.0, 0)]

    assert served(process, "sf", 2) == ["f", "s"]


def test_what_a_process_loads_for_its_first_image_is_not_measured() -> None:
    done: list[str] = []

    def process(unit: Sequence[Row]) -> list[Measured]:
        done.append(unit[0].key)
        return [Measured(unit[0].key, calibration._LOADING / 2, float(len(done)), 0)]

    assert served(process, "ab", 1) == ["a", "b"]
    assert done[:3] == ["a", "a", "b"]


@pytest.mark.parametrize("processes", [1, 2])
def test_an_image_that_kills_a_process_costs_its_own_figures_alone(processes: int) -> None:
    """A new process measures the others; the dead one would answer for all of them, faster than any other."""

    def process(unit: Sequence[Row]) -> list[Measured]:
        return [Measured(unit[0].key, calibration._LOADING, 1.0, 0)]

    assert sorted(served(process, "abcdef", processes, deadly="b")) == ["a", "c", "d", "e", "f"]


def test_a_plan_that_is_stopped_starts_no_process() -> None:
    """Its processes are killed, and each would be taken for one that an image killed."""

    class Killed(Served):
        def __call__(self, unit: Sequence[Row]) -> list[Measured]:
            work.measured.set()
            self.has_ended = unit[0].key == "a"
            return []

    begun: list[Served] = []

    def begin() -> Any:
        begun.append(Killed(lambda _: [], ""))
        return begun[-1]

    units = [[Row(place, place + 1, key, f"{key}.png", 2, 0)] for place, key in enumerate("ab")]
    work: Any = calibration._Work(units, len(units), 1, begin)
    work.served_by(begin)
    assert len(begun) == 1


@pytest.mark.parametrize(("seconds", "measured"), [(20.0, 10), (0.0, 6)])
def test_more_images_are_measured_while_there_is_time(
    tmp_path: Path,
    tiny_config: MakeConfig,
    make_png: MakePng,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    measured: int,
) -> None:
    """Six at least, and more for as long as a plan has time for."""
    monkeypatch.setattr(calibration, "_ENOUGH", seconds)
    for number in range(10):
        make_png(tmp_path / f"in/{number}.png", height=12, width=16 + number)
    config = tiny_config(manifest=str(tmp_path / "in"))
    assert forecast(config, Asked(), lambda _what, _done, _todo: None).cost.measured == measured
