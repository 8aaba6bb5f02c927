"""What Python users import: the examples of the docs run, and a result is that of `srpipe run`."""

import doctest
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pipeline
import pipeline.enlarge_array
import sr_ops
from pipeline import enlarge

from .pictures import star

DOCS = Path(__file__).parent.parent / "docs"


def test_the_examples_run() -> None:
    """Those of docs/python.md, and of the docstring of `enlarge`."""
    page = doctest.testfile(str(DOCS / "python.md"), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert (page.failed, page.attempted > 15) == (0, True)
    docstring = doctest.testmod(pipeline.enlarge_array)
    assert (docstring.failed, docstring.attempted > 2) == (0, True)


def test_an_array_comes_out_as_a_file_does(tmp_path: Path, srpipe: Callable[..., tuple[int, str, str]]) -> None:
    """Sample by sample, but for a last digit that rounds the other way."""
    levels = (star(40)[0].clamp(0, 1).numpy() * 255).astype(np.uint8)
    Image.fromarray(levels).save(tmp_path / "star.png")
    options = ("--scale", "2", "--preset", "fast", "--kernel", "bicubic", "--noise", "0", "--executor", "inline")
    assert srpipe("run", "star.png", "-o", "out", *options)[0] == 0
    by_run = np.asarray(Image.open(tmp_path / "out/tiles/star.png/r0000_c0000.png")).astype(float)
    by_array = enlarge(levels, scale=2, quality="fast", kernel="bicubic", noise=0).astype(float)
    assert np.abs(by_run - by_array).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_other_types_come_out_alike(dtype: type) -> None:
    """An image of 16 bits, or of floats, is that of 8 bits in finer steps."""
    levels = (star(40)[0].clamp(0, 1).numpy() * 255).round().astype(np.uint8)
    top = 65535 if dtype is np.uint16 else 1.0
    finer = (levels * (top / 255)).astype(dtype)
    options = {"scale": 2, "quality": "fast", "kernel": "bicubic", "noise": 0}
    made, of_levels = enlarge(finer, **options), enlarge(levels, **options)
    assert made.dtype == dtype
    assert np.abs(made * (255 / top) - of_levels).max() <= 1


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        (np.zeros((4, 4), np.int32), "the image is of int32"),
        (np.zeros(4, np.uint8), "give \\(H, W\\) or"),
        (np.zeros((2, 3, 4, 5), np.uint8), "has the shape"),
    ],
)
def test_what_is_refused(image: np.ndarray, sentence: str) -> None:
    """With a sentence that says what to give."""
    with pytest.raises(ValueError, match=sentence):
        enlarge(image)


def test_names_that_there_are_none_of() -> None:
    """An error as Python has it; and those that are listed are there."""
    for package in (pipeline, sr_ops):
        assert all(callable(getattr(package, name)) for name in package.__all__)
        with pytest.raises(AttributeError, match="has no attribute 'gone'"):
            package.gone  # noqa: B018
