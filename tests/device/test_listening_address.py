"""Other programs of the device find the service at the port on which it listens, whatever the settings say."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from appliance.commands import addresses
from appliance.device import listening_address
from appliance.device.listening_address import ListeningAddress
from appliance.settings.schema import Settings

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    folder = tmp_path / listening_address.FOLDER
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("address", [ListeningAddress("::", 9000), ListeningAddress("0.0.0.0", 80)])
def test_what_is_written_is_read(address: ListeningAddress, runtime: Path, tmp_path: Path) -> None:
    assert listening_address.read(tmp_path) is None
    assert listening_address.local_url(tmp_path) == "http://127.0.0.1:8080"
    listening_address.write(runtime, address)
    assert listening_address.read(tmp_path) == address
    assert listening_address.local_url(tmp_path) == f"http://127.0.0.1:{address.port}"
    listening_address.remove(runtime)
    listening_address.remove(runtime)
    assert listening_address.read(tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "9000", "[::]:0", "[::]:70000", "example.com:80", "[::]:9000 x", "\xff:80", ":" * 500]
)
def test_what_is_no_address_is_none(text: str, runtime: Path, tmp_path: Path) -> None:
    (runtime / listening_address.NAME).write_text(text, encoding="utf-8")
    assert listening_address.read(tmp_path) is None


def test_no_link_is_followed(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("[::]:9000\n")
    (runtime / listening_address.NAME).symlink_to(tmp_path / "elsewhere")
    assert listening_address.read(tmp_path) is None


def test_of_several_sockets_the_one_on_loopback_counts() -> None:
    with ExitStack() as opened:
        loopback = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        everywhere = opened.enter_context(socket.create_server(("0.0.0.0", 0)))
        path = opened.enter_context(socket.socket(socket.AF_UNIX))
        assert listening_address.of_sockets([path]) is None
        for first, second in ((loopback, everywhere), (everywhere, loopback)):
            found = listening_address.of_sockets([path, first, second])
            assert found == ListeningAddress(*first.getsockname())


def test_the_addresses_of_the_device_have_the_port_of_the_service(runtime: Path, tmp_path: Path) -> None:
    listening_address.write(runtime, ListeningAddress("::", 9000))
    urls = addresses.find(Settings(), tmp_path).urls
    assert all(url.endswith(":9000/") for url in urls)


def test_the_units_and_the_program_agree_on_the_port_of_a_fresh_device() -> None:
    port = Settings().server.port
    assert port == listening_address.PORT
    for name in ("appliance.socket", "appliance-rescue.socket"):
        unit = (REPOSITORY / "systemd/units" / name).read_text(encoding="utf-8").splitlines()
        assert [line for line in unit if line.startswith("ListenStream=")] == [f"ListenStream={port}"]
