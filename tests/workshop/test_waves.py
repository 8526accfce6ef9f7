"""A release is offered to more devices only while Prometheus says that those that have it are well."""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.update.offer import Offer
from appliance.workshop import repository
from appliance.workshop.waves import STEPS, Fleet, Prometheus, WavesError, WaveStep, decide
from tests.local_server import QuietHandler, serving
from tests.update.operator import Operator
from tests.workshop.release_program import release

_ALL = frozenset(f"device-{number}" for number in range(40))
_FIRST = frozenset(sorted(_ALL)[:4])
_WELL = Fleet(_ALL, _FIRST, _FIRST, {}, frozenset())
_OFFER = Offer(name="2.0-abc", version="2.0", number=2, signed_s=1000, share=10)


def test_a_wave_that_is_well_is_followed_by_the_next() -> None:
    assert (decide(10, STEPS, _WELL).step, decide(10, STEPS, _WELL).share) == (WaveStep.RAISE, 30)
    assert decide(15, STEPS, _WELL).share == 30  # a person chose 15
    enough = replace(_WELL, running=_ALL, settled=_ALL)
    assert decide(30, STEPS, enough).share == 100
    assert decide(100, STEPS, enough).step is WaveStep.DONE


def test_too_few_or_too_new_devices_are_waited_for() -> None:
    new = replace(_WELL, settled=frozenset(sorted(_FIRST)[:1]))
    assert decide(10, STEPS, new).step is WaveStep.WAIT
    assert "1 device has run it long enough, 2 are wanted; 4 run it" in decide(10, STEPS, new).why
    assert decide(30, STEPS, _WELL).step is WaveStep.WAIT  # 6 of 40


def test_no_data_is_no_good_news() -> None:
    nothing = Fleet(frozenset(), frozenset(), frozenset(), {}, frozenset())
    assert decide(10, STEPS, nothing).step is WaveStep.WAIT


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"unwell": {"device-1": "engine_failing"}}, "1 of 4 is not well: device-1: engine_failing"),
        ({"went_back": frozenset({"device-7"})}, "device-7 went back to the older release"),
    ],
)
def test_one_device_that_is_not_well_stops_the_wave(change: Mapping[str, Any], why: str) -> None:
    decision = decide(10, STEPS, replace(_WELL, **change))
    assert (decision.step, decision.share, decision.why) == (WaveStep.STOP, 10, why)


_SETS = st.frozensets(st.sampled_from(sorted(_ALL)))


@given(
    share=st.integers(0, 100),
    fleet=st.builds(Fleet, _SETS, _SETS, _SETS, st.dictionaries(st.sampled_from(sorted(_ALL)), st.just("ill")), _SETS),
)
def test_a_share_only_grows_and_never_while_a_device_is_not_well(share: int, fleet: Fleet) -> None:
    decision = decide(share, STEPS, fleet)
    assert decision.share >= share
    if fleet.unwell or fleet.went_back or not fleet.settled:
        assert decision.share == share


@contextmanager
def _fake(answers: Mapping[str, Any], status: int = 200) -> Iterator[str]:
    """A server that answers a query with the devices of the first key that is in it."""

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)["query"][0]
            found = next((devices for key, devices in answers.items() if key in query), ())
            result = [{"metric": {"instance": one, "code": "engine_failing"}, "value": [0, "1"]} for one in found]
            body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}).encode()
            if answers.get("raw") is not None:
                body = answers["raw"]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

    with serving(Handler) as server:
        yield server.url


_FIRST_WAVE = {"last_over_time": ["a", "b"], "offset": ["a", "b"], 'version="2.0"}': ["a", "b"]}


def test_critical_findings_of_other_devices_do_not_matter() -> None:
    with _fake({**_FIRST_WAVE, 'severity="critical"': ["a", "other"], "up{": ["a", "b", "other"]}) as url:
        assert Prometheus(url).fleet(_OFFER, 24).unwell["a"] == "engine_failing"
        assert "other" not in Prometheus(url).fleet(_OFFER, 24).unwell


@pytest.mark.parametrize(
    ("answers", "status", "why"),
    [
        ({"raw": b"<html>"}, 200, "cannot be read"),
        ({"raw": b"[" * 100_000}, 200, "cannot be read"),
        ({"raw": b"[]"}, 200, "does not answer like Prometheus"),
        ({"raw": b'{"status":"error","error":"out of memory"}'}, 200, "refuses"),
        ({"raw": b"who are you?"}, 401, "answered 401: who are you?"),
    ],
)
def test_without_an_answer_nothing_is_raised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], answers: Mapping[str, Any], status: int, why: str
) -> None:
    folder, keys = _published(tmp_path)
    with _fake(answers, status) as url:
        assert release("wave", "--repository", folder, "--keys", keys, "--prometheus", url) == 1
        with pytest.raises(WavesError):
            Prometheus(url).fleet(_OFFER, 24)
    assert why in capsys.readouterr().err
    assert _share(folder) == 10


def _published(tmp_path: Path) -> tuple[Path, Path]:
    """A repository that offers version 2.0 to a tenth of the devices, and the keys that sign it."""
    operator = Operator(tmp_path / "repository")
    operator.release("2.0", 2, share=10)
    return operator.folder, operator.write_keys(tmp_path / "keys")


def _share(folder: Path) -> int:
    return repository.offered(folder, "stable")[0].share


def test_the_share_is_raised_and_signed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, keys = _published(tmp_path)
    well = {**_FIRST_WAVE, "== 0": [], "> 3": [], "== 1": [], "up{": sorted(_ALL)[:20]}
    with _fake({key: well[key] for key in ("== 0", "> 3", "== 1", *well)}) as url:
        command = ("wave", "--repository", folder, "--keys", keys, "--prometheus", url)
        assert release(*command, "--dry-run") == 0
        assert _share(folder) == 10
        assert release(*command) == 0
        assert _share(folder) == 30
        assert "2.0 for 10 %: raise: 2 devices" in capsys.readouterr().out
        assert release(*command) == 0  # now 3 are wanted
        assert _share(folder) == 30
    ill = {'severity="critical"': ["a"], **well}
    with _fake(ill) as url:
        assert release("wave", "--repository", folder, "--keys", keys, "--prometheus", url) == 3


@pytest.mark.skipif(not os.environ.get("PROMETHEUS"), reason="needs Prometheus: make monitoring-test")
def test_a_real_prometheus_says_how_the_first_wave_is(tmp_path: Path) -> None:
    folder, keys = _published(tmp_path)
    now_s = int(time.time())
    for ill, share in (("", 30), ("critical", 10), ("down", 10), ("went back", 10)):
        repository_of_case = shutil.copytree(folder, tmp_path / f"repository {ill}")
        with _prometheus(tmp_path / f"data {ill}", _series(now_s, ill)) as url:
            code = release(
                "wave", "--repository", repository_of_case, "--keys", keys, "--prometheus", url, "--hours", "1"
            )
        assert (code, _share(repository_of_case)) == (3 if ill else 0, share), ill


def _series(now_s: int, ill: str) -> str:
    """Twenty devices in the last two hours; two of them run 2.0. In OpenMetrics."""
    lines = []
    for at_s in range(now_s - 7200, now_s + 1, 60):
        late = at_s > now_s - 600
        for number in range(20):
            of = f'job="appliance",instance="device-{number}"'
            is_first = number == 0 and late
            version = "2.0" if number < 2 and not (ill == "went back" and is_first) else "1.0"
            if not (ill == "down" and is_first):
                lines.append(f'appliance_build_info{{{of},version="{version}"}} 1 {at_s}')
                lines.append(f"appliance_ready{{{of}}} 1 {at_s}")
                lines.append(f"process_start_time_seconds{{{of}}} 1000 {at_s}")
            critical = int(ill == "critical" and is_first)
            lines.append(f'appliance_finding{{{of},code="engine_failing",severity="critical"}} {critical} {at_s}')
            undone = int(ill == "went back" and is_first)
            lines.append(f'appliance_finding{{{of},code="update_undone",severity="degraded"}} {undone} {at_s}')
            lines.append(f"up{{{of}}} {int(not (ill == 'down' and is_first))} {at_s}")
    return "\n".join(sorted(lines)) + "\n# EOF\n"


@contextmanager
def _prometheus(data: Path, series: str) -> Iterator[str]:
    """Debian's Prometheus with these series."""
    data.mkdir()
    (data / "series").write_text(series)
    (data / "prometheus.yml").write_text("")
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", data / "series", data / "tsdb"],
        check=True, capture_output=True,
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["prometheus", f"--config.file={data}/prometheus.yml", f"--storage.tsdb.path={data}/tsdb",
         f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=10y"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        url, deadline_s = f"http://127.0.0.1:{port}", time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{url}/-/ready"):
                    break
            except OSError:
                assert time.monotonic() < deadline_s, "Prometheus does not start"
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "cannot be read: SSH"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\nhalf", "cannot be read: .*reset"),
    ],
)
def test_another_program_at_the_address_of_prometheus_is_an_error_of_one_line(answer: bytes, why: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        threading.Thread(target=_answer, args=(there, answer), daemon=True).start()
        with pytest.raises(WavesError, match=why):
            Prometheus(f"http://127.0.0.1:{there.getsockname()[1]}").fleet(_OFFER, 24)


def _answer(there: socket.socket, answer: bytes) -> None:
    """Send this and reset the connection."""
    connection, _ = there.accept()
    with connection:
        connection.recv(10_000)
        connection.sendall(answer)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
