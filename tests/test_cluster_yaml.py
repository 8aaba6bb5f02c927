"""cluster.yaml is what Ray's own validation accepts, and says what it must."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import pipeline.driver.dataflow  # noqa: F401 - before Ray: it reads its environment once, when it is first imported

# isort: split
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start

CLUSTER = Path(__file__).parent.parent / "cluster.yaml"


def load() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(CLUSTER.read_text())
    return config


def test_cluster_yaml_passes_rays_schema() -> None:
    """Ray fills in its defaults and finds nothing to object to."""
    validate_config(prepare_config(load()))


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        ({"max_wokers": 3}, "max_wokers"),
        ({"max_workers": "many"}, "many"),
        ({"head_node_type": "nobody"}, "head_node_type"),
    ],
)
def test_rays_validation_catches_mistakes(mistake: dict[str, Any], complaint: str) -> None:
    """The check above can fail."""
    with pytest.raises(Exception, match=complaint):
        validate_config(prepare_config(load() | mistake))


def test_workers_scale_from_none_and_are_spot() -> None:
    """The head is on demand and works on no image; workers are spot instances, from none upwards."""
    types = load()["available_node_types"]
    assert types["head"]["resources"]["CPU"] == 0
    assert "InstanceMarketOptions" not in types["head"]["node_config"]
    assert types["gpu_spot"]["min_workers"] == 0 < types["gpu_spot"]["max_workers"] == load()["max_workers"]
    assert types["gpu_spot"]["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"


def test_every_node_is_pinned_and_has_a_role() -> None:
    """Machine and container image are named with their version, and credentials come from instance profiles."""
    config = load()
    assert re.fullmatch(r"\S+:\d\S+", config["docker"]["image"])
    for node_type in config["available_node_types"].values():
        assert node_type["node_config"]["ImageId"].startswith("ami-")
        assert node_type["node_config"]["IamInstanceProfile"]["Name"].startswith("srpipe-")


def test_every_node_has_srpipe_and_the_token() -> None:
    """srpipe is installed with the pins from the copied checkout; both sides of every connection want the token."""
    config = load()
    (setup,) = config["setup_commands"]
    assert setup == "pip install --constraint /home/ray/srpipe/constraints.txt '/home/ray/srpipe[cluster]'"
    assert config["file_mounts"] == {
        "/home/ray/srpipe": ".",
        "/home/ray/.ray/auth_token": "~/.ray/auth_token",
    }
    assert "--env RAY_AUTH_MODE=token" in config["docker"]["run_options"]


@pytest.mark.parametrize("part", ["head_start_ray_commands", "worker_start_ray_commands"])
def test_ray_start_has_these_options(part: str) -> None:
    """Ray is started with options that it has; the job server stays on the head's loopback."""
    command = load()[part][-1]
    assert command.startswith("ray start ")
    known = {option for parameter in start.params for option in parameter.opts}
    assert set(re.findall(r"--[a-z-]+", command)) <= known
    assert ("--dashboard-host=127.0.0.1" in command) == (part == "head_start_ray_commands")
