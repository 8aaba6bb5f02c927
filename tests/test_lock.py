"""One run at a time: who gets the lease, who is refused, and who notices that it is gone."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline import storage
from pipeline.driver.observer import Observer
from pipeline.driver.run import run
from pipeline.errors import LostLockError, UsageError
from pipeline.output import layout
from pipeline.output.clock import now
from pipeline.output.lock import Lease, Lock
from pipeline.output.record import Record
from pipeline.storage import processes
from pipeline.work.worker import Worker

from .fixture_types import MakeConfig, Srpipe


@pytest.fixture(params=["local", "s3"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "local":
        yield str(tmp_path / "out")
    else:
        yield f"{request.getfixturevalue('s3_bucket')}/out"


def put(out: str, number: int, **changes: object) -> Lease:
    """A lease of a run on another machine, good for half a minute."""
    expires_at = (now() + timedelta(seconds=30)).isoformat()
    lease = replace(Lease("r1", "elsewhere", 7, "another machine", "1", expires_at), **changes)  # type: ignore[arg-type]
    storage.write(layout.lock(out, number), json.dumps(asdict(lease)).encode())
    return lease


def numbers(out: str) -> list[int]:
    return [layout.lock_number(uri) for uri in storage.find(layout.locks_folder(out))]


def held(out: str, number: int) -> Lease:
    return Lease(**json.loads(storage.read(layout.lock(out, number))))


EXPIRED = (now() - timedelta(seconds=1)).isoformat()


def test_a_lease_is_good_for_a_minute(out: str) -> None:
    """So long another machine waits for a run that fell silent."""
    with Lock(out, "x"):
        left = datetime.fromisoformat(held(out, 1).expires_at) - now()
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)


def test_a_second_run_is_refused_until_the_first_has_ended(out: str) -> None:
    """The refusal names run, machine and process; after the end nothing is left of the lock."""
    with Lock(out, "first"):
        assert numbers(out) == [1]
        with pytest.raises(
            UsageError, match=f"the run first .{socket.gethostname()}, process {os.getpid()}. is at work"
        ):
            Lock(out, "second")
        assert numbers(out) == [1]
    assert numbers(out) == []
    with Lock(out, "second"):
        pass


def test_a_lease_elsewhere_is_believed_until_it_expires(out: str) -> None:
    """Of another machine's process nothing is known but the time; an expired lease is followed by the next number."""
    put(out, 4)
    with pytest.raises(UsageError, match=r"r1 \(elsewhere, process 7\)"):
        Lock(out, "mine")
    put(out, 4, expires_at=EXPIRED)
    with Lock(out, "mine"):
        assert numbers(out) == [4, 5]
    assert numbers(out) == []


def test_a_process_of_this_machine_that_is_gone_holds_nothing(out: str) -> None:
    """A run that was killed can go on at once; a living process holds, but not for an earlier one of its number."""
    here, machine = socket.gethostname(), processes.machine()
    assert machine
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = processes.started(child.pid)
    put(out, 1, host=here, machine=machine, pid=child.pid, process_started=started)
    with pytest.raises(UsageError, match="is at work"):
        Lock(out, "mine")
    put(out, 1, host=here, machine=machine, pid=child.pid, process_started=str(int(started) - 1))
    with Lock(out, "mine"):
        pass
    put(out, 1, host=here, machine=machine, pid=child.pid, process_started=started)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet buried
    with Lock(out, "mine"):
        pass
    put(out, 1, host=here, machine="another container", pid=child.pid, process_started=started)
    with pytest.raises(UsageError, match="is at work"):
        Lock(out, "mine")
    put(out, 1, host=here, machine=machine, pid=child.pid, process_started=started)
    child.wait()  # buried
    with Lock(out, "mine"):
        pass
    assert child.stdin is not None
    child.stdin.close()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff", b'{"run_id": 1}'])
def test_a_lease_that_is_none_holds_nothing(out: str, data: bytes) -> None:
    """What a person may have put there is stepped over, and not taken for a failure."""
    storage.write(layout.lock(out, 3), data)
    with Lock(out, "mine"):
        assert numbers(out) == [3, 4]


def test_of_two_that_begin_at_once_not_both_get_it(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that finds the place taken, or another number made meanwhile, is refused and leaves nothing."""
    create = storage.create

    def taken(uri: str, data: bytes) -> bool:
        put(out, layout.lock_number(uri))
        return create(uri, data)

    monkeypatch.setattr(storage, "create", taken)
    with pytest.raises(UsageError, match="just begun"):
        Lock(out, "mine")
    storage.remove(layout.lock(out, 1))

    def beside(uri: str, data: bytes) -> bool:
        put(out, layout.lock_number(uri) + 1)
        return create(uri, data)

    monkeypatch.setattr(storage, "create", beside)
    with pytest.raises(UsageError, match=r"r1 \(elsewhere"):
        Lock(out, "mine")
    assert numbers(out) == [2]


def test_an_answer_that_was_lost_is_found_out(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A put that was done and is told as refused, as a retried request is, still gives the lease."""
    create = storage.create

    def unheard(uri: str, data: bytes) -> bool:
        create(uri, data)
        return False

    monkeypatch.setattr(storage, "create", unheard)
    with Lock(out, "mine"):
        assert numbers(out) == [1]


def test_the_lease_is_renewed_while_the_run_goes_on(out: str) -> None:
    """Well before the lease has run out there is a longer one."""
    with Lock(out, "mine", timedelta(seconds=4)) as mine:
        first = renewed = held(out, 1)
        while renewed == first and first.holds:
            time.sleep(0.05)
            renewed = held(out, 1)
        assert renewed.expires_at > first.expires_at
        mine.check()


def test_who_was_silent_too_long_notices(out: str) -> None:
    """A run whose place was taken stops, and leaves the other's lock alone."""
    with Lock(out, "slow") as slow:
        slow.check()
        put(out, 2)
        slow.renew()
        with pytest.raises(LostLockError, match="another run has taken"):
            slow.check()
    assert numbers(out) == [2]


def test_who_slept_through_another_run_notices(out: str) -> None:
    """A lock that was taken away meanwhile, and whose taker has ended, is not taken up again."""
    with Lock(out, "asleep") as asleep:
        storage.remove(layout.lock(out, 1))
        asleep.renew()
        with pytest.raises(LostLockError, match="another run has taken"):
            asleep.check()
    with Lock(out, "asleep") as asleep:
        put(out, 1)
        asleep.renew()
        with pytest.raises(LostLockError, match="another run has taken"):
            asleep.check()


def test_who_wakes_leaves_a_later_run_its_lease(out: str) -> None:
    """A sleeps with lease 1, B takes 2 and ends, C begins at 1 again: A goes, and C's lease stays, as do all below it.

    So does a lease that holds beside our own; what holds nothing goes with ours.
    """
    with Lock(out, "A"):
        storage.remove(layout.lock(out, 1))
        put(out, 1, run_id="C")
    assert held(out, 1).run_id == "C"
    put(out, 1, run_id="B", expires_at=EXPIRED)
    with Lock(out, "A"):
        storage.remove(layout.lock(out, 2))
        put(out, 2, run_id="C")
    assert numbers(out) == [1, 2]
    for number in (1, 2):
        put(out, number, run_id="B", expires_at=EXPIRED)
    with Lock(out, "A"):
        put(out, 2, run_id="B")
    assert numbers(out) == [2]


def test_a_lease_that_is_over_is_lost_whatever_the_renewal_does(out: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A put that hangs for minutes does not make its driver the holder meanwhile."""
    answered = threading.Event()
    monkeypatch.setattr(storage, "write", lambda _uri, _data: answered.wait(10))
    with Lock(out, "mine", timedelta(seconds=2)) as mine:
        mine.check()
        time.sleep(2.1)
        with pytest.raises(LostLockError, match="could not be renewed in time"):
            mine.check()
        answered.set()


def test_who_cannot_renew_gives_up_when_the_lease_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failing store is forgiven within the lease, and ends the run after it."""

    def broken(_uri: str, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with Lock(str(tmp_path / "out"), "mine", timedelta(seconds=2)) as mine:
        monkeypatch.setattr(storage, "write", broken)
        mine.check()
        time.sleep(2.1)
        with pytest.raises(LostLockError, match="could not be renewed"):
            mine.check()


def test_a_refused_run_leaves_no_folder(tmp_path: Path) -> None:
    """What was made for the lock alone is taken away again; what was there stays."""
    (tmp_path / "there").mkdir()
    with Lock(str(tmp_path / "there/deep/out"), "mine"):
        assert (tmp_path / "there/deep/out/_lock").is_dir()
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.usefixtures("images")
def test_two_runs_on_one_output(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """The second is refused while the first is at work, and changes nothing; after it, it finds all done."""

    class Second(Observer):
        def __init__(self) -> None:
            self.refused = ""

        def planned(self, *_: object) -> None: ...

        def finished(self, _record: Record) -> None:
            files = sorted(path for path in (tmp_path / "out").rglob("*") if "_lock" not in str(path))
            with pytest.raises(UsageError, match="is at work on") as refused:
                run(tiny_config(), observer)
            self.refused = str(refused.value)
            assert files == sorted(path for path in (tmp_path / "out").rglob("*") if "_lock" not in str(path))

    second = Second()
    summary = run(tiny_config(), second)
    assert summary.run_id in second.refused
    assert run(tiny_config(), observer).already_done == 3


@pytest.mark.usefixtures("images")
def test_a_run_whose_output_was_taken_over_stops(
    tmp_path: Path, srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With exit code 1 and one sentence, before it touches the table of the other."""
    original = Worker.__call__

    def taken_over(self: Worker, unit: Any) -> Iterator[Record]:
        for done in original(self, unit):
            Path(layout.lock(str(tmp_path / "out"), 2)).write_text("{}")
            time.sleep(0.6)  # until the lease is renewed
            yield done

    monkeypatch.setattr(Worker, "__call__", taken_over)
    monkeypatch.setattr("pipeline.output.lock._RENEWALS", 600)
    code, _, err = srpipe(
        "run", "m.csv", "-o", "out", "-s", "2", "--executor", "inline", "--prior", "none", "--steps", "1"
    )
    assert code == 1
    assert "another run has taken" in err
    assert not (tmp_path / "out/manifest.parquet").exists()
