"""A container that boots real systemd in its own namespaces: it shares no port, file or process with this machine.

Each boot starts from the same root file system. What the container writes stays in memory and is discarded with it.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

_GET = """
import json, sys, urllib.error, urllib.request
try:
    with urllib.request.urlopen("http://127.0.0.1:" + sys.argv[2] + sys.argv[1], timeout=10) as answer:
        status, body = answer.status, answer.read()
except urllib.error.HTTPError as error:
    status, body = error.code, error.read()
except OSError as error:
    status, body = 0, str(error).encode()
try:
    body = json.loads(body)
except ValueError:
    body = body.decode(errors="replace")
print(json.dumps({"status": status, "body": body}))
"""
_CGROUPS = Path("/sys/fs/cgroup")
_PATIENCE_S = 60.0
"""What takes a second on a quiet machine can take a minute on a busy one."""


class Container:
    """A booted container. Commands in it run as root, without our environment variables."""

    def __init__(self, leader: int) -> None:
        self.leader = leader
        """The PID of its process 1 on this machine."""
        self._numbers = itertools.count(1)

    def run(
        self, *command: str, may_fail: bool = False, stdin: str | None = None, patience_s: float = 3 * _PATIENCE_S
    ) -> str:
        """Run a command and return its output, stripped. `may_fail`: accept any exit code."""
        done = subprocess.run(self._enter(*command), input=stdin, capture_output=True, text=True, timeout=patience_s)
        if done.returncode and not may_fail:
            raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def let_limits_work(self) -> None:
        """Enforce MemoryMax and TasksMax for units started from now on.

        With cgroup v1, nspawn mounts the controllers read-only, and systemd silently ignores the limits.
        """
        if not _unified():
            for controller in ("memory", "pids"):
                self.run("mount", "-o", "remount,bind,rw", f"/sys/fs/cgroup/{controller}")
            self.run("systemctl", "daemon-reexec")

    @contextmanager
    def background(self, *command: str) -> Iterator[IO[str]]:
        """Run a command in the background and yield its output; stop it at the end of the block."""
        unit = f"background-{next(self._numbers)}"
        started = ["systemd-run", "--quiet", "--pipe", "--wait", "--collect", f"--unit={unit}", *command]
        process = subprocess.Popen(self._enter(*started), stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        with process.stdout:
            try:
                yield process.stdout
            finally:
                self.run("systemctl", "stop", unit, may_fail=True)
                process.wait(_PATIENCE_S)

    def write(self, path: str, text: str, owner: str = "root:root") -> None:
        """Write a file and create its parent folders."""
        self.run("sh", "-c", f"mkdir -p $(dirname {path}) && cat > {path} && chown {owner} {path}", stdin=text)

    def drop_in(self, unit: str, text: str) -> None:
        """Add settings to a unit."""
        self.write(f"/etc/systemd/system/{unit}.d/90-test.conf", text)
        self.run("systemctl", "daemon-reload")

    def show(self, unit: str, name: str) -> str:
        """A property of a unit, by its name in `systemctl show`."""
        return self.run("systemctl", "show", unit, "--value", "--property", name)

    def get(self, path: str, port: int = 8080) -> tuple[int, Any]:
        """The status and body of the service's response, parsed if it is JSON; status 0: no response."""
        response = json.loads(self.run("/usr/bin/python3", "-c", _GET, path, str(port)))
        return response["status"], response["body"]

    def answered(self, camera: str) -> int:
        """Frames of a camera that were answered since the service started."""
        status, report = self.get("/health")
        return int(report["cameras"].get(camera, {}).get("answered", 0)) if status else 0

    def is_in_state(self, unit: str, state: str) -> bool:
        return self.show(unit, "ActiveState") == state

    def main_pid(self, unit: str = "appliance.service") -> str:
        return self.show(unit, "MainPID")

    def journal(self, unit: str = "appliance.service") -> str:
        return self.run("journalctl", "--unit", unit, "--output", "cat", "--no-pager")

    def wait_until(self, what: str, holds: Callable[[], object], patience_s: float = _PATIENCE_S) -> None:
        """Poll until the condition holds. On timeout, fail with the end of the service's journal."""
        deadline_s = time.monotonic() + patience_s
        while not holds():
            if time.monotonic() > deadline_s:
                raise AssertionError(f"not {what} within {patience_s:.0f} s\n{self.journal()[-3000:]}")
            time.sleep(0.1)

    def wait_until_active(self, unit: str = "appliance.service", patience_s: float = _PATIENCE_S) -> None:
        self.wait_until(f"active: {unit}", lambda: self._state(unit) == "active", patience_s)

    def _state(self, unit: str) -> str:
        state = self.show(unit, "ActiveState")
        if state == "failed":
            raise AssertionError(f"{unit} has failed\n{self.journal(unit)[-3000:]}")
        return state

    def _enter(self, *command: str) -> list[str]:
        clean = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8"]
        return ["nsenter", "--target", str(self.leader), "--all", *clean, *command]


@contextmanager
def boot(root: Path, name: str, options: Sequence[str] = ()) -> Iterator[Container]:
    """Run a container with this root file system until the block ends. `options`: more options for systemd-nspawn."""
    command = [
        "setpriv", "--pdeathsig=TERM", "systemd-nspawn", f"--directory={root}", "--boot", "--volatile=overlay",
        "--private-network", "--register=no", "--keep-unit", f"--machine={name}", "--console=read-only", "--quiet",
        # Newer systemd refuses cgroup v1 without these.
        "--setenv=SYSTEMD_PROC_CMDLINE=systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1",
        *options,
    ]  # fmt: skip
    if _unified():
        command = [part for part in command if not part.startswith("--setenv=SYSTEMD_PROC_CMDLINE")]
    groups = _own_groups(name)
    nspawn = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        preexec_fn=lambda: _enter_groups(groups), start_new_session=True,
    )  # fmt: skip
    leader = None
    try:
        leader = _leader(nspawn)
        yield Container(leader)
    finally:
        # Killing process 1 ends the whole container at once; an orderly shutdown takes seconds.
        os.kill(leader or nspawn.pid, signal.SIGKILL)
        nspawn.wait(_PATIENCE_S)
        assert nspawn.stderr is not None
        nspawn.stderr.close()
        _remove_groups(groups)


def _unified() -> bool:
    return (_CGROUPS / "cgroup.controllers").exists()


def _leader(nspawn: subprocess.Popen[bytes]) -> int:
    """Wait until the container's systemd accepts commands; return the PID of its process 1."""
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    deadline_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline_s:
        if nspawn.poll() is not None:
            assert nspawn.stderr is not None
            raise AssertionError(f"systemd-nspawn ended: {nspawn.stderr.read().decode()}")
        pids = children.read_text(encoding="utf-8").split()
        if pids:
            up = subprocess.run(
                ["nsenter", "--target", pids[0], "--all", "systemctl", "is-system-running"],
                capture_output=True, text=True,
            )  # fmt: skip
            if up.stdout.strip() in ("initializing", "starting", "running", "degraded"):
                return int(pids[0])
        time.sleep(0.05)
    raise AssertionError("the container's systemd did not accept commands")


def _own_groups(name: str) -> list[Path]:
    """Create a cgroup in each hierarchy: nspawn would otherwise take over the one that it is started in."""
    roots = [_CGROUPS] if _unified() else sorted(path for path in _CGROUPS.iterdir() if path.is_dir())
    groups = [root / name for root in roots if (root / "cgroup.procs").exists()]
    for group in groups:
        group.mkdir(exist_ok=True)
        for inherited in ("cpuset.cpus", "cpuset.mems"):
            if (group / inherited).exists() and not _unified():
                (group / inherited).write_text((group.parent / inherited).read_text())
    return groups


def _enter_groups(groups: Sequence[Path]) -> None:
    for group in groups:
        (group / "cgroup.procs").write_text(str(os.getpid()))


def _remove_groups(groups: Sequence[Path]) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    for group in groups:
        for folder in (*sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True), group):
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:  # the last processes have not ended yet
                    if time.monotonic() > deadline_s:
                        raise
                    time.sleep(0.05)
