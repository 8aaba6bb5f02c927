"""The model of a scene as bytes: the same pixels again, and what is damaged is refused."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load, save

from pipeline.work.scene_weights import model_from_bytes, model_to_bytes
from sr_ops.enlarging.enlarge import enlarge
from sr_ops.enlarging.model import Model, degradation_of
from sr_ops.learning.learn import fit_stages
from sr_ops.learning.observation import Observation
from sr_ops.registry import NETWORKS
from sr_ops.settings import FitSettings, Method, Settings

SETTINGS = Settings(scale=4, method=Method.ZSSR, width=4, depth=3, fit=FitSettings(steps=2, crop=16, batch=1))
CPU = torch.device("cpu")


def image() -> torch.Tensor:
    return torch.rand((3, 24, 20), generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def fitted() -> Model:
    return fit_stages(Observation(image(), degradation_of(SETTINGS)), SETTINGS, None).model


def test_a_model_comes_back(fitted: Model) -> None:
    """Method, networks and every pixel are those that were stored."""
    again, settings = model_from_bytes(model_to_bytes(fitted, SETTINGS.kernel), SETTINGS, CPU)
    assert settings == SETTINGS
    assert (again.method, len(again.networks)) == (Method.ZSSR, 2)
    assert torch.equal(enlarge(image(), again, SETTINGS), enlarge(image(), fitted, SETTINGS))


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_comes_back(network: str) -> None:
    """Also one that names a layer twice."""
    settings = replace(SETTINGS, scale=2, network=network, depth=5)
    model = fit_stages(Observation(image(), degradation_of(settings)), settings, None).model
    again, _ = model_from_bytes(model_to_bytes(model, settings.kernel), settings, CPU)
    assert torch.equal(enlarge(image(), again, settings), enlarge(image(), model, settings))


def test_bicubic_is_stored_as_a_method() -> None:
    """It is told by its name, not by weights that are not there."""
    data = model_to_bytes(Model(Method.BICUBIC, degradation_of(SETTINGS)), SETTINGS.kernel)
    again, _ = model_from_bytes(data, SETTINGS, CPU)
    assert (again.method, again.networks) == (Method.BICUBIC, ())


def test_the_kernel_that_was_found_comes_back() -> None:
    """It is the model's, whatever the settings say of how to find it."""
    found = replace(SETTINGS, kernel="gaussian:2.5,1.5,30")
    data = model_to_bytes(Model(Method.BICUBIC, degradation_of(found)), found.kernel)
    again, settings = model_from_bytes(data, replace(SETTINGS, kernel="estimate"), CPU)
    assert settings == found
    assert torch.equal(again.degradation.kernels[0].taps, degradation_of(found).kernels[0].taps)


@pytest.mark.parametrize(
    "damage", ["cut short", "no method", "another method", "a network less", "no kernel", "others' settings"]
)
def test_what_is_damaged_is_refused(damage: str, fitted: Model) -> None:
    """Weights that are not whole are never taken for bicubic, or for fewer stages."""
    data, settings = model_to_bytes(fitted, SETTINGS.kernel), SETTINGS
    if damage == "cut short":
        data = data[:-1]
    elif damage == "no method":
        data = save(load(data))
    elif damage == "another method":
        data = save(load(data), {"method": "magic"})
    elif damage == "a network less":
        data = model_to_bytes(Model(Method.ZSSR, fitted.degradation, fitted.networks[:1]), SETTINGS.kernel)
    elif damage == "no kernel":
        data = model_to_bytes(fitted, "gausian:1")
    else:
        settings = replace(SETTINGS, width=5)
    with pytest.raises(ValueError, match=r"."):
        model_from_bytes(data, settings, CPU)
