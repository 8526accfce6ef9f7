"""The clock helper on a faked /sys, and its client: bounded values, and always restored."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.device.clock_cap import ClockHelper
from tests.fakes import FakeClock

PROGRAM = Path(__file__).parents[2] / "systemd/libexec/clock-cap"
BIG, LITTLE = 2_400_000, 1_800_000


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for number, khz in ((0, LITTLE), (4, BIG)):
        folder = tmp_path / f"sys/devices/system/cpu/cpufreq/policy{number}"
        folder.mkdir(parents=True)
        (folder / "scaling_max_freq").write_text(f"{khz}\n")
        (folder / "cpuinfo_min_freq").write_text("1000000\n")
    for name, hz in (("17000000.gpu", 1_020_000_000), ("31b0000.emc", 3_199_000_000)):
        folder = tmp_path / f"sys/class/devfreq/{name}"
        folder.mkdir(parents=True)
        (folder / "max_freq").write_text(f"{hz}\n")
        (folder / "min_freq").write_text("306000000\n")
    (tmp_path / "run").mkdir()
    return tmp_path


def clocks(tree: Path) -> list[int]:
    cpufreq, devfreq = tree / "sys/devices/system/cpu/cpufreq", tree / "sys/class/devfreq"
    files = (
        cpufreq / "policy0/scaling_max_freq", cpufreq / "policy4/scaling_max_freq",
        devfreq / "17000000.gpu/max_freq", devfreq / "31b0000.emc/max_freq",
    )  # fmt: skip
    return [int(file.read_text()) for file in files]


FULL = [LITTLE, BIG, 1_020_000_000, 3_199_000_000]


class Helper:
    def __init__(self, tree: Path, *, connection: socket.socket | None = None) -> None:
        ends = connection.fileno() if connection is not None else subprocess.PIPE
        self.environment = {**os.environ, "RUNTIME_DIRECTORY": str(tree / "run")}
        self.tree = tree
        self.process: subprocess.Popen[str] = subprocess.Popen(
            [PROGRAM, "serve", str(tree)], stdin=ends, stdout=ends, text=True, env=self.environment
        )

    def say(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def restore(self) -> None:
        subprocess.run([PROGRAM, "restore", str(self.tree)], check=True, env=self.environment, timeout=20)

    def end(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.wait(20)


@pytest.fixture
def helper(tree: Path) -> Iterator[Helper]:
    helper = Helper(tree)
    yield helper
    helper.process.kill()
    helper.end()


def test_a_cap_applies_to_processor_and_gpu_and_ends_with_the_caller(helper: Helper, tree: Path) -> None:
    assert helper.say("cap 60") == "ok 60"
    assert clocks(tree) == [1_080_000, 1_440_000, 612_000_000, 3_199_000_000]
    assert helper.say("cap 80") == "ok 80"
    assert clocks(tree)[1] == 1_920_000, "of the clocks before the first cap"
    helper.end()
    assert clocks(tree) == FULL
    assert not list((tree / "run").iterdir())


def test_no_cap_is_below_the_lowest_clock(helper: Helper, tree: Path) -> None:
    assert helper.say("cap 30") == "ok 30"
    assert clocks(tree) == [1_000_000, 1_000_000, 306_000_000, 3_199_000_000]


@pytest.mark.parametrize(
    "line", ["cap 29", "cap 101", "cap 0", "cap -5", "cap 050", "cap", "cap 60 70", "uncap 60", "", "cap 6$(id)",
             "cap /etc/passwd", "cap 1e2", "cap 999999999999999999999"],
)  # fmt: skip
def test_anything_else_is_refused_and_changes_nothing(helper: Helper, tree: Path, line: str) -> None:
    assert helper.say(line) == "error expected: cap PERCENT, 30 to 100"
    assert clocks(tree) == FULL
    assert helper.say("cap 70") == "ok 70"


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_stopping_the_helper_restores_the_clocks(helper: Helper, tree: Path, ending: signal.Signals) -> None:
    assert helper.say("cap 50") == "ok 50"
    helper.process.send_signal(ending)
    helper.process.wait(20)
    assert clocks(tree) == FULL


def test_what_a_killed_helper_left_is_restored_and_kept_by_its_successor(helper: Helper, tree: Path) -> None:
    assert helper.say("cap 50") == "ok 50"
    helper.process.kill()
    helper.end()
    assert clocks(tree)[1] == 1_200_000
    successor = Helper(tree)
    assert successor.say("cap 90") == "ok 90"
    assert clocks(tree)[1] == 2_160_000
    successor.process.kill()
    successor.end()
    successor.restore()
    assert clocks(tree) == FULL
    successor.restore()
    assert clocks(tree) == FULL


def test_a_machine_without_clocks_says_so(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    helper = Helper(tmp_path)
    assert helper.say("cap 60") == "error this machine has no clock that can be capped"
    helper.end()


def wait_for(client: ClockHelper, percent: int) -> None:
    deadline_s = time.monotonic() + 20
    while client.percent != percent:
        assert time.monotonic() < deadline_s
        client.ask(percent)
        time.sleep(0.01)


def test_the_client_counts_a_cap_once_it_is_confirmed(tree: Path, tmp_path: Path) -> None:
    path = tmp_path / "cap.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(path))
        door.listen(1)
        client = ClockHelper(path, FakeClock())
        client.ask(100)
        client.ask(60)
        assert client.percent == 100
        connection, _ = door.accept()
        helper = Helper(tree, connection=connection)
        connection.close()
        wait_for(client, 60)
        assert clocks(tree)[1] == 1_440_000
        client.ask(100)
        helper.process.wait(20)
        assert client.percent == 100
        assert clocks(tree) == FULL


def test_a_helper_that_is_missing_or_ends_means_no_cap(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, clock = tmp_path / "cap.sock", FakeClock()
    client = ClockHelper(path, clock)
    for _ in range(3):
        client.ask(60)
    assert client.percent == 100
    (record,) = caplog.records
    assert "systemctl enable --now appliance-clock.socket" in record.getMessage()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(path))
        door.listen(1)
        client.ask(60)
        clock.pass_(31)
        client.ask(60)
        connection, _ = door.accept()
        connection.sendall(b"ok 60\n")
        wait_for(client, 60)
        connection.close()
        client.ask(60)
        assert client.percent == 100


@pytest.mark.parametrize("answer", [b"error no clock\n", b"\xff\xfe\n", b"ok\n", b"ok 1000\n", b"\n"])
def test_a_strange_answer_means_no_cap(tmp_path: Path, answer: bytes) -> None:
    path = tmp_path / "cap.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.bind(str(path))
        door.listen(1)
        client = ClockHelper(path, FakeClock())
        client.ask(60)
        connection, _ = door.accept()
        with connection:
            connection.sendall(answer)
            client.ask(60)
            assert client.percent == 100
