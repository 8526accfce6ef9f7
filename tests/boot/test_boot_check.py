"""The boot check asks the port on which the service listens: `appliance.socket` may have been edited."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from appliance.device import listening_address
from appliance.device.listening_address import ListeningAddress
from tests.boot.ready_service import ready_service

_FILE = Path(__file__).parents[2] / "systemd/libexec/boot-check"
_URL = "http://127.0.0.1:8080/health/ready"


@pytest.fixture
def boot_check() -> ModuleType:
    loader = SourceFileLoader("boot_check", str(_FILE))
    spec = spec_from_loader("boot_check", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_the_port_that_the_service_has_written_replaces_that_of_the_url(boot_check: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / listening_address.NAME
    assert boot_check.with_present_port(_URL, str(file)) == _URL
    listening_address.write(tmp_path, ListeningAddress("::", 9000))
    assert boot_check.with_present_port(_URL, str(file)) == "http://127.0.0.1:9000/health/ready"
    file.write_text("no address\n")
    assert boot_check.with_present_port(_URL, str(file)) == _URL
    assert str(Path("/", listening_address.FOLDER, listening_address.NAME)) == boot_check.ADDRESS


def test_a_boot_with_another_port_is_good(
    boot_check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / listening_address.NAME)
    assert boot_check.main("http://127.0.0.1:9/health/ready", 0.0, file) == 1
    with ready_service() as port:
        listening_address.write(tmp_path, ListeningAddress("0.0.0.0", port))
        assert boot_check.main("http://127.0.0.1:9/health/ready", 0.0, file) == 0
    assert "this boot is good" in capsys.readouterr().out
