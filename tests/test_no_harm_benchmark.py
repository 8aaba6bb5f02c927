"""What the benchmark of the choice among candidates tells srpipe, and how it counts what was chosen."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks import no_harm
from benchmarks.quality import Case
from sr_ops.camera.kernels import unlike_gaussian

PATH = Path("x.png")


def test_cameras_that_are_told_are_of_both_kinds(tmp_path: Path) -> None:
    """Gaussians, of which nothing is fitted, and kernels that fits pay for, by their distance to a Gaussian."""
    distances = {camera.name: unlike_gaussian(camera.kernel) for camera in no_harm.told_cameras(tmp_path)}
    unlike = {name for name, distance in distances.items() if distance > 0.3}
    assert unlike == {"told disc", "told motion 5", "told motion 9", "told motion 15"}
    assert len(distances) == len(unlike) + len(no_harm.GAUSSIANS)


def test_a_moved_point_is_the_kernel_of_the_motion() -> None:
    """What is told of a motion is what blurs."""
    point = torch.zeros(1, 31, 31)
    point[0, 15, 15] = 1
    kernel = no_harm.motion_kernel(9, 1.2)
    blurred = no_harm.motion_blur(point, 9, 1.2)[0, 11:20, 11:20]
    torch.testing.assert_close(blurred, kernel.flip(0, 1))
    assert float(kernel.sum()) == pytest.approx(1)
    assert float(kernel[4, 4]) == pytest.approx(float(kernel.max()))


def test_a_look_takes_the_first_of_each_kind() -> None:
    """Of those kinds that are asked for, in their order."""
    nothing: Tensor = torch.zeros(0)
    every = [(kind, name, nothing, nothing) for kind, name in ("aa", "ab", "ba", "ac", "bb", "ca")]

    def taken(*wanted: object) -> list[str]:
        return [kind + name for kind, name, *_ in no_harm._some(every, *wanted)]  # type: ignore[arg-type]

    assert taken(None, None) == ["aa", "ab", "ba", "ac", "bb", "ca"]
    assert taken(1, None) == ["aa", "ba", "ca"]
    assert taken(2, ["a", "c"]) == ["aa", "ab", "ca"]


def test_a_loss_is_to_the_best_candidate() -> None:
    """Fits of fewer steps included; a candidate that is the truth itself leaves no loss to who is it, too."""
    case = Case("no-harm", 2, "a", PATH, PATH)

    def loss(auto: float | None, **others: float | None) -> float:
        scores = {"zssr": 30.0, "prior": 30.2, "bicubic": 28.0, "half": 30.1} | others
        return no_harm._loss(
            {name: {case.id: {"psnr_y": psnr}} for name, psnr in {"auto": auto, **scores}.items()}, case
        )

    assert loss(30.2) == 0
    assert loss(30.0) == pytest.approx(0.2)
    assert loss(30.0, half=30.5) == pytest.approx(0.5)
    assert loss(None, bicubic=None) == 0
