"""What docs/cluster.md, its manifests and the Dockerfile say is what the command line and the pins say."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_group

from jobs import spec
from jobs.cli import app
from pipeline.config import VERSION

REPOSITORY = Path(__file__).parent.parent

COMMANDS: dict[str, Any] = get_group(app).commands

MANIFESTS = sorted((REPOSITORY / "docs" / "kubernetes").glob("*.yaml"))

TEXTS = [
    *(REPOSITORY / name for name in ("docs/job.toml", "README.md")),
    *(page for page in sorted((REPOSITORY / "docs").glob("*.md")) if "srpipe run" in page.read_text()),
    *MANIFESTS,
]

IMAGE = f"REGISTRY/srpipe:{VERSION}"

RAY = re.search(r"^ray==(.*)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE)


def command_lines(text: str) -> list[tuple[str, str]]:
    """(command, the rest of its line) of every `srpipe command` in a text; YAML lists are command lines too."""
    text = re.sub(r"\[srpipe, (.*)\]\s+args: \[(.*)\]", lambda found: f"srpipe {found[1]} {found[2]}", text)
    text = re.sub(r"\$\([^)]*\)", "VALUE", text)  # another program's options
    return re.findall(rf"\bsrpipe,? ({'|'.join(COMMANDS)})\b([^\n`;|]*)", text)


def unknown_flags(text: str) -> list[str]:
    """Those of its command lines that the command line does not know."""
    unknown = []
    for name, rest in command_lines(text):
        known = {"--help"} | {
            flag for parameter in COMMANDS[name].params for flag in (*parameter.opts, *parameter.secondary_opts)
        }
        unknown += [flag for flag in re.findall(r"(?<!\S)--?[a-z][a-z0-9-]*", rest) if flag not in known]
    return unknown


@pytest.mark.parametrize("file", TEXTS, ids=lambda file: file.name)
def test_every_flag_that_is_shown_exists(file: Path) -> None:
    """Each `srpipe ...` in the documents is a command with options that it has."""
    assert not unknown_flags(file.read_text())


def test_the_check_for_flags_can_fail() -> None:
    """The check above sees a flag that there is not, on a line and in a YAML list."""
    assert unknown_flags("    srpipe submit x.toml --slto 3") == ["--slto"]
    assert unknown_flags("command: [srpipe, submit, x]\n  args: [--address, y, --slto, z]") == ["--slto"]


def documents(file: Path) -> dict[str, Any]:
    """The objects of a manifest by their kind."""
    return {found["kind"]: found for found in yaml.safe_load_all(file.read_text())}


def cluster_specs() -> Iterator[dict[str, Any]]:
    """The Ray cluster of each manifest."""
    for file in MANIFESTS:
        found = documents(file)
        if "RayCluster" in found:
            yield found["RayCluster"]["spec"]
        if "RayJob" in found:
            yield found["RayJob"]["spec"]["rayClusterSpec"]
        if "RayCronJob" in found:
            yield found["RayCronJob"]["spec"]["jobTemplate"]["rayClusterSpec"]


def containers(node: Any) -> Iterator[dict[str, Any]]:
    """All containers anywhere in a manifest."""
    if isinstance(node, dict):
        yield from node.get("containers", [])
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from containers(part)


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name)
def test_job_files_in_manifests_are_fit_for_a_cluster(file: Path, tmp_path: Path) -> None:
    """The job file of each ConfigMap passes what `srpipe submit` checks, and is where the command line looks for it."""
    found = documents(file)
    ((name, text),) = found["ConfigMap"]["data"].items()
    (tmp_path / name).write_text(text)
    spec.check_for_cluster(str(tmp_path / name), COMMANDS["run"])
    assert f"/etc/srpipe/{name}" in file.read_text()
    mounted = [c for c in containers(found) for m in c.get("volumeMounts", []) if m["mountPath"] == "/etc/srpipe"]
    assert len(mounted) == 1


def test_the_example_job_file_is_fit_for_a_cluster() -> None:
    """docs/job.toml passes what `srpipe submit` checks."""
    spec.check_for_cluster(str(REPOSITORY / "docs" / "job.toml"), COMMANDS["run"])


def test_manifests_agree_on_the_cluster() -> None:
    """Ray's version is the pinned one, tokens are asked for, the head works on nothing, GPU workers start from none."""
    specs = list(cluster_specs())
    assert len(specs) == len(MANIFESTS) == 3
    for cluster in specs:
        assert RAY
        assert cluster["rayVersion"] == RAY[1]
        assert cluster["authOptions"]["mode"] == "token"
        assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        (workers,) = cluster["workerGroupSpecs"]
        assert workers["minReplicas"] == workers["replicas"] == 0
        assert workers == specs[0]["workerGroupSpecs"][0]
        for group in (cluster["headGroupSpec"], workers):
            pod = group["template"]["spec"]
            assert (pod["serviceAccountName"], pod["enableServiceLinks"]) == ("srpipe", False)


def test_the_nightly_job_is_the_single_one() -> None:
    """raycronjob.yaml is rayjob.yaml on a schedule."""
    single, nightly = (
        documents(REPOSITORY / "docs" / "kubernetes" / f"{name}.yaml") for name in ("rayjob", "raycronjob")
    )
    assert nightly["RayCronJob"]["spec"]["jobTemplate"] == single["RayJob"]["spec"]
    assert nightly["ConfigMap"] == single["ConfigMap"]


@pytest.mark.parametrize("file", MANIFESTS, ids=lambda file: file.name)
def test_one_image_and_no_secret_in_the_open(file: Path) -> None:
    """Every container is of the one image, of this version; what is secret comes from a Secret."""
    found = list(containers(documents(file)))
    assert {container["image"] for container in found} == {IMAGE}
    for container in found:
        for variable in container.get("env", []):
            assert "value" not in variable, variable


def test_the_dockerfile_is_pinned_and_whole() -> None:
    """The base image is of the pinned Ray, the versions are those of constraints.txt, all three packages go in."""
    text = (REPOSITORY / "Dockerfile").read_text()
    cluster = yaml.safe_load((REPOSITORY / "cluster.yaml").read_text())
    assert RAY
    assert re.search(r"^FROM (\S+)$", text, re.MULTILINE)[1] == f"rayproject/ray:{RAY[1]}-py311"  # type: ignore[index]
    assert cluster["docker"]["image"] == f"rayproject/ray:{RAY[1]}-py311"
    assert "--constraint constraints.txt '.[cluster]'" in text
    copied = re.findall(r"^COPY --chown=\S+ (.*) \S+$", text, re.MULTILINE)
    sources = {name for line in copied for name in line.split()}
    assert sources == {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "sr_ops", "pipeline", "jobs"}
    assert all((REPOSITORY / name).exists() for name in sources)
    assert IMAGE in text
