"""Only what the operator has signed is installed; anything else changes nothing and says why."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner

from appliance.update import last_check, staging, unpack
from appliance.update.offer import Offer, in_wave
from appliance.update.places import FAULTS, UpdateError
from tests.update.device import Device, make
from tests.update.operator import NOW_S, PLATFORM, SIGNED_AT, Operator

_DAY_S = 86_400.0
_IN_1970_S = 60.0
_IN_2040_S = datetime.datetime(2040, 1, 1, tzinfo=datetime.timezone.utc).timestamp()


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path / "operator/repository")


@pytest.fixture
def device(tmp_path: Path, operator: Operator) -> Device:
    return Device(tmp_path / "device", operator)


def _refused(act: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(UpdateError) as caught:
        act()
    return caught.value.code, str(caught.value)


def test_a_good_release_is_installed(operator: Operator, device: Device) -> None:
    offered = operator.release("1.0", 1)
    device.install(device.fetch(operator.url))
    release = device.places.releases / offered.name
    assert (release / "complete").exists()
    assert (release / "systemd/install.sh").stat().st_mode & 0o100
    assert (device.places.base / "models/m/manifest.json").read_text() == "{}"
    assert last_check.read(device.places.last_check).offer == offered


def test_a_release_that_changes_code_fetches_only_that(operator: Operator, device: Device) -> None:
    operator.release("1.0", 1, size=5_000_000)
    device.install(device.fetch(operator.url))
    operator.release("1.1", 2, size=5_000_000)
    device.install(device.fetch(operator.url))
    fetched = sum(path.stat().st_size for path in (device.places.staging / "targets").rglob("*") if path.is_file())
    assert fetched < 100_000
    assert device.said[-1].startswith("fetching 2 of ")


def test_a_damaged_file_of_the_older_release_is_fetched_again(operator: Operator, device: Device) -> None:
    operator.release("1.0", 1)
    device.install(device.fetch(operator.url))
    large = next(device.places.releases.glob("*/wheels/large-*.whl"))
    data = bytearray(large.read_bytes())
    data[100] ^= 1
    large.write_bytes(data)
    operator.release("1.1", 2)
    device.install(device.fetch(operator.url))
    assert device.said[-1].startswith("fetching 3 of ")


def test_a_flipped_byte_is_refused(operator: Operator, device: Device) -> None:
    operator.release("1.0", 1)
    large = next(operator.folder.rglob("*.large-*.whl"))
    data = bytearray(large.read_bytes())
    data[1000] ^= 1
    large.write_bytes(data)
    code, text = _refused(lambda: device.fetch(operator.url))
    assert code == "update_refused"
    assert "not signed with the operator's keys, or is damaged" in text
    assert device.unchanged
    assert last_check.read(device.places.last_check).problem == text  # of the finding


def test_a_file_that_is_cut_in_half_is_refused(operator: Operator, device: Device) -> None:
    operator.release("1.0", 1)
    large = next(operator.folder.rglob("*.large-*.whl"))
    large.write_bytes(large.read_bytes()[: large.stat().st_size // 2])
    assert _refused(lambda: device.fetch(operator.url))[0] == "update_refused"
    assert device.unchanged


def test_a_longer_file_than_signed_is_refused(operator: Operator, device: Device) -> None:
    operator.release("1.0", 1)
    large = next(operator.folder.rglob("*.large-*.whl"))
    large.write_bytes(large.read_bytes() + b"\0" * 1_000_000)
    assert _refused(lambda: device.fetch(operator.url))[0] == "update_refused"
    assert device.unchanged


@pytest.mark.parametrize("role", ["timestamp", "2.snapshot", "2.targets"])
def test_metadata_without_its_signature_is_refused(operator: Operator, device: Device, role: str) -> None:
    operator.release("1.0", 1)
    path = operator.folder / f"metadata/{role}.json"
    metadata = json.loads(path.read_text())
    metadata["signatures"] = []
    path.write_text(json.dumps(metadata))
    assert _refused(lambda: device.fetch(operator.url))[0] == "update_refused"
    assert device.unchanged


def test_a_foreign_repository_is_refused(device: Device, tmp_path: Path) -> None:
    foreign = Operator(tmp_path / "foreign/repository")
    foreign.release("9.0", 9)
    assert _refused(lambda: device.fetch(foreign.url))[0] == "update_refused"
    assert device.unchanged


def test_a_repository_of_yesterday_is_refused(operator: Operator, device: Device, tmp_path: Path) -> None:
    operator.release("1.0", 1)
    shutil.copytree(operator.folder, tmp_path / "yesterday")
    operator.release("1.1", 2)
    device.fetch(operator.url)
    code, text = _refused(lambda: device.fetch(f"file://{tmp_path}/yesterday"))
    assert (code, text) == ("update_old", "this repository is older than one that was seen before")


def test_expired_signatures_are_refused_and_the_clock_is_named(operator: Operator, device: Device) -> None:
    operator.release("1.0", 1)
    code, text = _refused(lambda: device.fetch(operator.url, now_s=_IN_2040_S))
    assert code == "update_expired"
    assert "today is 2040-01-01: check the clock" in text
    assert device.unchanged


def test_a_clock_in_1970_installs_what_is_valid(operator: Operator, device: Device) -> None:
    operator.release("1.0", 1)
    device.install(device.fetch(operator.url, now_s=_IN_1970_S), now_s=_IN_1970_S)
    assert any(device.places.releases.iterdir())


def test_a_clock_in_1970_does_not_make_old_signatures_valid(operator: Operator, device: Device, tmp_path: Path) -> None:
    operator.release("1.0", 1)
    shutil.copytree(operator.folder, tmp_path / "frozen")
    operator.signed_at = SIGNED_AT + datetime.timedelta(days=800)
    operator.rotate()  # the root is valid for longer; all others are signed again
    operator.release("1.1", 2)
    later_s = operator.signed_at.timestamp()
    device.install(device.fetch(operator.url, now_s=later_s), now_s=later_s)
    shutil.rmtree(device.places.work / "trusted")  # what was seen is lost, but not the release in use
    assert _refused(lambda: device.fetch(f"file://{tmp_path}/frozen", now_s=_IN_1970_S))[0] == "update_expired"


def test_a_rotated_key_is_followed_and_the_old_one_refused(operator: Operator, device: Device) -> None:
    operator.release("1.0", 1)
    device.install(device.fetch(operator.url))
    stolen = operator.signers["targets"]
    operator.rotate(targets=CryptoSigner.generate_ed25519())
    operator.release("1.1", 2)
    device.install(device.fetch(operator.url))
    operator.signers["targets"] = stolen
    operator.release("6.6", 3)
    assert _refused(lambda: device.fetch(operator.url))[0] == "update_refused"


def test_an_older_release_is_refused_unless_a_person_insists(
    operator: Operator, device: Device, tmp_path: Path
) -> None:
    operator.release("1.0", 1)
    shutil.copytree(operator.folder, tmp_path / "stick")
    device.install(device.fetch(operator.url))
    operator.release("2.0", 2)
    device.install(device.fetch(operator.url))
    shutil.rmtree(device.places.work / "trusted")
    stick = f"file://{tmp_path}/stick"
    code, text = _refused(lambda: device.fetch(stick))
    assert code == "update_old"
    assert "--allow-downgrade" in text
    device.install(device.fetch(stick, downgrade=True))
    assert "releases/1.0-" in str((device.places.base / "current").readlink())


def test_root_alone_decides_that_an_older_release_is_allowed(
    operator: Operator, device: Device, tmp_path: Path
) -> None:
    operator.release("1.0", 1)
    shutil.copytree(operator.folder, tmp_path / "stick")
    device.install(device.fetch(operator.url))
    operator.release("2.0", 2)
    device.install(device.fetch(operator.url))
    older = device.fetch(f"file://{tmp_path}/stick", downgrade=True)
    (device.places.base / "update/allow-downgrade").unlink()
    assert _refused(lambda: device.install(older))[0] == "update_old"


def test_root_verifies_what_is_staged_again(operator: Operator, device: Device) -> None:
    offer = operator.release("1.0", 1)
    device.fetch(operator.url)
    staged = next(device.places.staging.rglob("*.large-*.whl"))
    staged.write_bytes(b"x" * staged.stat().st_size)
    assert _refused(lambda: device.install(offer))[0] == "update_refused"
    assert not any(device.places.releases.iterdir())
    assert not (device.places.base / "update/scratch").exists()


@pytest.mark.parametrize("name", ["2.0-00000000", "../../etc", ""])
def test_root_installs_no_other_name_than_what_is_signed(operator: Operator, device: Device, name: str) -> None:
    operator.release("1.0", 1)
    device.fetch(operator.url)
    assert _refused(lambda: unpack.unpack(device.places, name, PLATFORM, NOW_S, make))[0] == "update_refused"


def test_without_the_operators_root_everything_is_refused(operator: Operator, tmp_path: Path) -> None:
    operator.release("1.0", 1)
    device = Device(tmp_path / "without", None)
    code, text = _refused(lambda: device.fetch(operator.url))
    assert code == "update_no_root"
    assert "Copy the operator's root.json there" in text


def test_a_root_of_trust_that_cannot_be_read_is_a_fault_with_what_to_do(operator: Operator, device: Device) -> None:
    """As root has copied it, with a umask of its own."""
    operator.release("1.0", 1)
    device.places.root_key.unlink()
    device.places.root_key.mkdir()  # what keeps root from reading it, too
    code, text = _refused(lambda: device.fetch(operator.url))
    assert code in FAULTS
    assert "cannot be read (Is a directory)" in text
    assert "sudo chmod 644" in text


def test_too_little_space_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UpdateError, match="MB are free") as caught:
        staging.require_space(tmp_path / "not/yet/there", 1 << 60)
    assert caught.value.code == "update_space"


@pytest.mark.parametrize(
    "fault",
    [
        OSError(28, "No space left on device", "/opt/appliance/releases/1.0/venv"),
        subprocess.CalledProcessError(
            1, "pip", stderr="ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n"
        ),
    ],
)
def test_a_disk_that_fills_during_the_installation_is_refused_with_what_to_do(
    operator: Operator, device: Device, fault: Exception
) -> None:
    def full(bundle: Path, release: Path) -> None:
        raise fault

    offer = operator.release("1.0", 1)
    device.fetch(operator.url)
    code, text = _refused(lambda: unpack.unpack(device.places, offer.name, PLATFORM, NOW_S, full))
    assert code == "update_space"
    advice = "Free some space, for example: sudo journalctl --vacuum-size=50M"
    assert text == f"{offer.name} cannot be installed: No space left on device. {advice}"


@pytest.mark.parametrize("part", ["timestamp.json", "snapshot.json", "targets.json", "root_history/1.root.json"])
def test_metadata_that_a_power_cut_has_emptied_heals(operator: Operator, device: Device, part: str) -> None:
    operator.release("1.0", 1)
    device.install(device.fetch(operator.url))
    for trusted in (device.places.work / "trusted", device.places.trusted):
        (trusted / part).write_bytes(b"")
    operator.release("1.1", 2)
    device.install(device.fetch(operator.url))


def test_an_undone_release_is_not_fetched_again_by_itself(operator: Operator, device: Device) -> None:
    operator.release("1.0", 1)
    device.install(device.fetch(operator.url))
    bad = operator.release("1.1", 2)
    unpack.unpack(device.places, device.fetch(operator.url).name, PLATFORM, NOW_S, make)
    device.guard("try", bad.name, "2")
    device.guard("undo", "it sees nothing")
    code, text = _refused(lambda: device.fetch(operator.url, by_person=False))
    assert code == "update_undone_before"
    assert "it sees nothing" in text
    device.fetch(operator.url)
    good = operator.release("1.2", 3)
    assert device.fetch(operator.url, by_person=False) == good


def test_three_releases_in_a_row(operator: Operator, device: Device) -> None:
    for number in (1, 2, 3):
        offer = operator.release(f"1.{number}", number)
        device.install(device.fetch(operator.url))
        assert (device.places.base / "current").readlink() == Path("releases") / offer.name


def test_a_wave_grows_and_keeps_those_who_were_in_it() -> None:
    def wave(share: int) -> set[int]:
        offer = Offer(name="1.0-abc", version="1.0", number=7, signed_s=0, share=share)
        return {box for box in range(2000) if in_wave(f"appliance-{box}", offer)}

    assert wave(0) == set()
    assert 120 < len(wave(10)) < 280
    assert wave(10) < wave(50) < wave(100)
    assert len(wave(100)) == 2000


def test_a_device_outside_the_wave_waits(operator: Operator, device: Device) -> None:
    operator.release("1.0", 1, share=0)
    code, text = _refused(lambda: device.fetch(operator.url, by_person=False))
    assert (code, text) == ("update_absent", "1.0 is for 0 % of the devices so far")
    assert not last_check.read(device.places.last_check).for_this_device
