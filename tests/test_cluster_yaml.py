"""cluster.yaml is what Ray's own validation accepts."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import pipeline.dataflow  # noqa: F401 - before Ray: it reads its environment once, when it is first imported

# isort: split
from ray.autoscaler._private.util import prepare_config, validate_config

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
    assert types["gpu_spot"]["min_workers"] == 0
    assert types["gpu_spot"]["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
