"""How many workers: by processors, quotas and memory, of control groups as containers have them."""

from pathlib import Path

import pytest

from pipeline.driver.capacity import Room, Workers, room_here, worker_bytes, workers_for
from sr_ops.settings import Settings

GB = 10**9
NO_LIMIT = "9223372036854771712"


def system(root: Path, files: dict[str, str]) -> Path:
    """A system of these files, with 64 GB of memory that are free."""
    for name, text in {"proc/meminfo": "MemTotal: 99 kB\nMemAvailable:   62500000 kB\n", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def version_2(path: str, mounted: str = "/") -> dict[str, str]:
    mount = f"30 23 0:26 {mounted} /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
    return {"proc/self/cgroup": f"0::{path}\n", "proc/self/mountinfo": f"22 1 8:1 / / rw - ext4 /dev/a rw\n{mount}"}


def version_1(path: str, mounted: str = "/") -> dict[str, str]:
    groups = f"12:memory:{path}\n4:cpu,cpuacct:{path}\n1:name=systemd:{path}\n0::{path}\n"
    mounts = "".join(
        f"{number} 23 0:{number} {mounted} /sys/fs/cgroup/{name} rw,nosuid master:9 - cgroup cgroup rw,{name}\n"
        for number, name in enumerate(["memory", "cpu,cpuacct", "name=systemd"], 30)
    )
    return {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts}


@pytest.fixture(autouse=True)
def _processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process may run on 64 of them."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(64)), raising=False)


def test_a_machine_without_groups_gives_what_is_free(tmp_path: Path) -> None:
    """All processors, and the memory that is free or could be; where the system does not say, none is known."""
    assert room_here(system(tmp_path / "linux", {})) == Room(64, 64 * GB)
    assert room_here(tmp_path / "macos") == Room(64, None)


@pytest.mark.parametrize(("path", "mounted"), [("/", "/"), ("/docker/abc", "/docker/abc"), ("/../..", "/")])
def test_a_container_of_version_2(tmp_path: Path, path: str, mounted: str) -> None:
    """Its quota and its limit, less what it holds; the files that the system keeps for it make room."""
    group = "sys/fs/cgroup"
    limits = {
        f"{group}/cpu.max": "250000 100000\n",
        f"{group}/memory.max": "8000000000\n",
        f"{group}/memory.high": "max\n",
        f"{group}/memory.current": "3000000000\n",
        f"{group}/memory.stat": "anon 1\ninactive_file 1000000000\nactive_file 5\n",
    }
    assert room_here(system(tmp_path, version_2(path, mounted) | limits)) == Room(2.5, 6 * GB)


@pytest.mark.parametrize(("path", "mounted"), [("/", "/"), ("/docker/abc", "/docker/abc"), ("/gone", "/docker/abc")])
def test_a_container_of_version_1(tmp_path: Path, path: str, mounted: str) -> None:
    """The same in two trees; other controllers are not asked."""
    limits = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "150000\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "8000000000\n",
        "sys/fs/cgroup/memory/memory.usage_in_bytes": "3000000000\n",
        "sys/fs/cgroup/memory/memory.stat": "cache 9\ninactive_file 7\ntotal_inactive_file 1000000000\n",
    }
    assert room_here(system(tmp_path, version_1(path, mounted) | limits)) == Room(1.5, 6 * GB)


def test_groups_without_limits_limit_nothing(tmp_path: Path) -> None:
    """Each version has its own word for none."""
    two = {"sys/fs/cgroup/a/cpu.max": "max 100000\n", "sys/fs/cgroup/a/memory.max": "max\n"}
    assert room_here(system(tmp_path / "2", version_2("/a") | two)) == Room(64, 64 * GB)
    one = {
        "sys/fs/cgroup/memory/a/memory.limit_in_bytes": f"{NO_LIMIT}\n",
        "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000\n",
    }
    assert room_here(system(tmp_path / "1", version_1("/a") | one)) == Room(64, 64 * GB)


def test_the_tightest_group_counts(tmp_path: Path) -> None:
    """A limit of a group around ours holds for us too; one of a group beside it, or within it, does not."""
    limits = {
        "sys/fs/cgroup/pods/memory.max": "5000000000",
        "sys/fs/cgroup/pods/us/memory.max": "9000000000",
        "sys/fs/cgroup/pods/us/memory.high": "7000000000",
        "sys/fs/cgroup/pods/us/within/memory.max": "1000000000",
        "sys/fs/cgroup/pods/others/memory.max": "1000000000",
        "sys/fs/cgroup/pods/cpu.max": "max 100000",
        "sys/fs/cgroup/pods/us/cpu.max": "300000 100000",
    }
    assert room_here(system(tmp_path, version_2("/pods/us") | limits)) == Room(3, 5 * GB)
    (tmp_path / "sys/fs/cgroup/pods/memory.max").write_text("max")
    assert room_here(tmp_path) == Room(3, 7 * GB)


NONSENSE = ["", "nonsense", "0::", ":::\n::\n", "12:memory:/x\n", " - cgroup2 x y\n", "1 2 3 4 5 - cgroup"]


@pytest.mark.parametrize("text", NONSENSE)
def test_files_that_say_nothing_are_no_error(tmp_path: Path, text: str) -> None:
    """Sandboxes show what they like of these."""
    files = dict.fromkeys(("proc/self/cgroup", "proc/self/mountinfo", "sys/fs/cgroup/memory.max"), text)
    assert room_here(system(tmp_path, files)) == Room(64, 64 * GB)
    files |= version_2("/")
    files["sys/fs/cgroup/cpu.max"] = files["sys/fs/cgroup/memory.stat"] = f"x {text}"
    files["sys/fs/cgroup/memory.max"] = "70000000000"
    assert room_here(system(tmp_path, files)) == Room(64, 64 * GB)


def test_this_system_says_something() -> None:
    """The real files are read: some processor, and on Linux some memory."""
    room = room_here()
    assert room.processors > 0
    assert (room.memory is not None) == Path("/proc/meminfo").exists()


def test_what_a_worker_was_measured_to_hold() -> None:
    """docs/fidelity.md: 1.00 GB at x2 and 1.49 GB at x4, with the halo of then; no less, and a tenth more at most."""
    assert 1.001 * GB <= worker_bytes(Settings(), 2) <= 1.1 * 1.001 * GB
    assert 1.494 * GB <= worker_bytes(Settings(), 4) <= 1.1 * 1.494 * GB
    assert worker_bytes(Settings(tile_size=1024), 2) > 1.3 * GB


@pytest.mark.parametrize(
    ("nodes", "count", "why"),
    [
        ([(4, 9 * GB)], 4, "processors for 4, memory for 6 of 1.5 GB each"),
        ([(8, 5 * GB)], 3, "processors for 8, memory for 3 of 1.5 GB each"),
        ([(8, None)], 8, "processors for 8"),
        ([(1, 0.2 * GB)], 1, "processors for 1, memory for 0 of 1.5 GB each"),
        ([(0, 9 * GB)], 1, "processors for 0"),
        ([(2, -GB)], 1, "processors for 2, memory for 0 of 1.5 GB each"),
        ([(8, 3 * GB), (1, 30 * GB), (0, 9 * GB)], 3, "processors for 9, memory for 22 of 1.5 GB each, on 2 nodes"),
    ],
)
def test_processors_and_memory_together(nodes: list[tuple[int, float | None]], count: int, why: str) -> None:
    """What there is less of decides, node by node; without any room it is one."""
    assert workers_for(nodes, "processors", 1.5 * GB) == Workers(count, why)
