"""The front's configuration: what it says, what HAProxy says about it, and errors in the list of devices."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from appliance.settings.schema import Settings
from tests.conftest import ROOT
from tests.program_files import imported

if sys.version_info >= (3, 11):
    import tomllib as tomli
else:
    import tomli

COMMAND = ROOT / "provisioning/site/front.py"
TWO_FRONTS = """
[front]
tls = "none"
bind = "*:80"
virtual_address = "10.0.0.10/24"
fronts = {one = "10.0.0.8", two = "10.0.0.9"}
[[device]]
name = "box1"
address = "10.0.0.1"
tls = false
[[device]]
name = "box2"
address = "fd00::2"
weight = 25
"""


@pytest.fixture(scope="module")
def front() -> ModuleType:
    return imported(COMMAND)


@pytest.mark.parametrize("tls", ["end", "pass", "none"])
def test_haproxy_accepts_the_configuration(front: ModuleType, tmp_path: Path, tls: str) -> None:
    haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/bin")
    if haproxy is None:
        pytest.skip("haproxy is not installed: apt install haproxy")
    pem = tmp_path / "site.pem"
    openssl = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "-",
        "-days",
        "2",
        "-subj",
        "/CN=x",
    ]
    pem.write_bytes(subprocess.run(openssl, capture_output=True, check=True, timeout=60).stdout)
    example = COMMAND.with_name("site.toml").read_text(encoding="utf-8").replace('tls = "end"', f'tls = "{tls}"')
    example = example.replace("/etc/haproxy/site.pem", str(pem)).replace("/etc/haproxy/devices.pem", str(pem))
    for text, name in ((example, ""), (TWO_FRONTS.replace('"none"', f'"{tls}"'), "two")):
        text = text.replace('tls = "end"\nbind', f'tls = "end"\ncertificate = "{pem}"\nbind')
        text = text.replace("[front]\n", f'[front]\ndevices_ca = "{pem}"\n') if "devices_ca" not in text else text
        config = tmp_path / "haproxy.cfg"
        config.write_text(front.haproxy(front.read(text), name), encoding="utf-8")
        done = subprocess.run([haproxy, "-c", "-f", config], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stderr


def test_keepalived_accepts_its_configuration(front: ModuleType, tmp_path: Path) -> None:
    keepalived = shutil.which("keepalived", path="/usr/sbin:/usr/bin")
    if keepalived is None:
        pytest.skip("keepalived is not installed: apt install keepalived")
    config = tmp_path / "keepalived.conf"
    config.write_text(front.keepalived(front.read(TWO_FRONTS), "two"), encoding="utf-8")
    done = subprocess.run([keepalived, "-t", "-f", config], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_each_device_has_its_server_line(front: ModuleType) -> None:
    text = front.haproxy(front.read(TWO_FRONTS), "two")
    assert "    server box1 10.0.0.1:8080 weight 100 agent-port 8081\n" in text
    assert "    server box2 [fd00::2]:8080 weight 25 agent-port 8081 ssl verify required" in text
    assert "localpeer two" in text


def test_prometheus_gets_each_device_with_its_site(front: ModuleType) -> None:
    assert json.loads(front.prometheus(front.read(TWO_FRONTS))) == [
        {"targets": ["10.0.0.1:8080"], "labels": {"site": "site", "device": "box1"}},
        {"targets": ["[fd00::2]:8080"], "labels": {"site": "site", "device": "box2"}},
    ]


def test_the_rules_for_sites_raise_their_alerts() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed: apt install prometheus")
    rules = ROOT / "provisioning/fleet/site.rules.test.yml"
    done = subprocess.run([promtool, "test", "rules", rules], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_settings_of_the_devices_name_the_fronts(front: ModuleType) -> None:
    text = front.settings(front.read(TWO_FRONTS))
    assert 'trusted_proxies = ["10.0.0.8", "10.0.0.9"]' in text
    for part in text.split("\n\n# "):  # each device's is a valid file of settings
        settings = msgspec.convert(tomli.loads(part.removeprefix("box2: /etc/appliance/appliance.toml")), Settings)
        assert settings.site.device in ("box1", "box2")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[[device", "invalid TOML"),
        ("[front]", "no devices"),
        ("[devices]", "unknown section [devices]"),
        ("[[device]]\nname = 'a'", "has no address"),
        ("[[device]]\nname = 'a b'\naddress = 'x'", "a device's name is 'a b'"),
        ("[[device]]\nname = 'a'\naddress = 'x y'", "the address of a is 'x y'"),
        ("[[device]]\nname = 'a'\naddress = 'x'\nport = '80'", "port = '80': must be a whole number"),
        ("[[device]]\nname = 'a'\naddress = 'x'\nport = 70000", "port 70000 is not a port"),
        ("[[device]]\nname = 'a'\naddress = 'x'\nweight = 0", "write 1 to 256"),
        ("[[device]]\nname = 'a'\naddress = 'x'\n[[device]]\nname = 'a'\naddress = 'y'", "the same name"),
        ("[front]\ntls = 'off'\n[[device]]\nname = 'a'\naddress = 'x'", "write one of end, pass, none"),
        ("[front]\nbind = '443'\n[[device]]\nname = 'a'\naddress = 'x'", "front.bind is '443'"),
    ],
)
def test_an_error_names_what_is_wrong(tmp_path: Path, text: str, reason: str) -> None:
    written = tmp_path / "site.toml"
    written.write_text(text, encoding="utf-8")
    done = subprocess.run([sys.executable, COMMAND, written], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert reason in done.stderr
