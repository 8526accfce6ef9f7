#!/usr/bin/env python3
"""Make a disk image that boots to a working device, and the bundle that updates it: `make image`.

The disk has four partitions: `esp` (GRUB and the files that a technician puts there), the systems `root-a` and
`root-b`, of which one runs, and `state`. What differs between boards is in boards.py. Needs root, Debian or a system
with its packages, and the tools listed in TOOLS; for another architecture also an emulator that the kernel starts.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from boards import BOARDS, Board

from appliance.workshop.debian_mirror import mirror

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NOT_YET = {
    "jetson": "A Jetson boots NVIDIA's own system. Use provisioning/install.sh on JetPack",
}
TOOLS = {
    "mmdebstrap": "mmdebstrap", "grub-mkstandalone": "grub-common", "mkfs.vfat": "dosfstools",
    "mcopy": "mtools", "sfdisk": "fdisk", "mke2fs": "e2fsprogs", "rauc": "rauc", "mksquashfs": "squashfs-tools",
    "zstd": "zstd",
}  # fmt: skip
SUITE, PYTHON = "bookworm", "3.11"
PACKAGES = (
    "systemd", "systemd-sysv", "systemd-timesyncd", "dbus", "libnss-systemd", "udev", "kmod", "iproute2", "python3",
    "python3-systemd", "libgomp1", "ca-certificates", "initramfs-tools", "zstd", "e2fsprogs",
    "fdisk", "network-manager", "rauc-service", "grub-common", "less", "nano-tiny",
)  # fmt: skip
LEFT_OUT = ("doc", "man", "info", "locale", "lintian")
EMULATORS = Path("/proc/sys/fs/binfmt_misc")
MIB = 2**20
ESP_BYTES, SLOT_BYTES, STATE_BYTES = 128 * MIB, 2048 * MIB, 1024 * MIB
MODULES = "part_gpt fat ext2 search search_fs_file loadenv test regexp normal configfile linux echo serial terminal"


class CannotBuild(Exception):
    """The image cannot be made here; the text says why."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--board", default="generic-amd64", metavar="BOARD", help=", ".join(BOARDS))
    parser.add_argument("--bundle", type=Path, required=True, help="what `make bundle PYTHON_VERSION=3.11` has made")
    parser.add_argument("--keyring", type=Path, help="PEM certificates whose updates the image accepts")
    parser.add_argument("--certificate", type=Path, help="certificate that signs the update bundle")
    parser.add_argument("--key", type=Path, help="its private key")
    parser.add_argument("--ssh-key", type=Path, help="public key of the person who may sign in as root by SSH")
    parser.add_argument(
        "--firmware", nargs="*", metavar="PACKAGE",
        help="Debian packages with firmware, of its section non-free-firmware (default: those of the board)",
    )  # fmt: skip
    parser.add_argument("--version", default="", help="of the update bundle (default: that of the appliance)")
    parser.add_argument("--out", type=Path, default=ROOT / ".cache/image")
    options = parser.parse_args()
    try:
        check(options)
        options.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=options.out, prefix=".work-") as work:
            build(Path(work), options)
    except CannotBuild as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"image: `{Path(error.cmd[0]).name}` failed with exit code {error.returncode}", file=sys.stderr)
        return 1
    return 0


def check(options: argparse.Namespace) -> None:
    """Raise CannotBuild if anything is missing, before minutes are spent."""
    if options.board in NOT_YET:
        raise CannotBuild(f"no image for {options.board} can be made. {NOT_YET[options.board]}")
    if options.board not in BOARDS:
        raise CannotBuild(f"unknown board {options.board}; known: {', '.join(BOARDS)}")
    if os.geteuid() != 0:
        raise CannotBuild("making an image needs root: use sudo")
    machine = BOARDS[options.board].machine
    ready = (EMULATORS / f"qemu-{machine}").exists() and shutil.which("arch-test")
    if platform.machine() != machine and not ready:
        raise CannotBuild(
            f"this machine is {platform.machine()} and the image is for {machine}: "
            "apt-get install qemu-user-static binfmt-support arch-test"
        )
    missing = sorted({package for tool, package in TOOLS.items() if shutil.which(tool) is None})
    if missing:
        raise CannotBuild(f"tools are missing: apt-get install {' '.join(missing)}")
    for path in (options.bundle, options.keyring, options.certificate, options.key, options.ssh_key):
        if path is not None and not path.is_file():
            raise CannotBuild(f"{path} does not exist")
    if (options.certificate is None) != (options.key is None):
        raise CannotBuild("--certificate and --key belong together")


def build(work: Path, options: argparse.Namespace) -> None:
    """Write the image, and with a key also the update bundle."""
    board = BOARDS[options.board]
    say("system: Debian's packages, and the appliance from the bundle (minutes)")
    system = work / "root"
    make_system(work, system, board, options)
    version = options.version or release_version(system)
    slot = work / "root.img"
    make_ext4(slot, SLOT_BYTES, "root", system)
    say("disk")
    disk = options.out / f"appliance-{version}-{options.board}.img"
    make_disk(work, system, slot, disk, board)
    shutil.copy2(slot, work / "update.img")
    run("zstd", "-q", "-f", "-T0", "-10", disk, "-o", f"{disk}.zst")
    say(f"{disk}.zst  {Path(f'{disk}.zst').stat().st_size / 1e6:.0f} MB")
    say(f"write it to a disk:  zstdcat {disk.name}.zst | sudo dd of=/dev/DISK bs=4M oflag=direct status=progress")
    # Read from the image itself. Without its tool it says so, and the image is made nevertheless.
    bill = Path(f"{disk}.cdx.json")
    bill.unlink(missing_ok=True)
    program = ROOT / "provisioning/supply_chain.py"
    subprocess.run([sys.executable, str(program), "sbom", "--image", str(disk), "--out", str(bill)], check=False)
    if options.key is not None:
        bundle = options.out / f"appliance-{version}-{options.board}.raucb"
        make_update(work, bundle, version, options)
        say(f"{bundle}  {bundle.stat().st_size / 1e6:.0f} MB")


def make_system(work: Path, system: Path, board: Board, options: argparse.Namespace) -> None:
    """The root file system of both slots."""
    unpacked = work / "bundle"
    unpacked.mkdir()
    run("tar", "-xf", options.bundle, "-C", unpacked, "provisioning")
    firmware = board.firmware if options.firmware is None else options.firmware
    ssh = ("openssh-server",) if options.ssh_key else ()
    packages = (*PACKAGES, f"linux-image-{board.arch}", *ssh, *firmware)
    components = "main,non-free-firmware" if firmware else "main"
    run(
        "mmdebstrap", "--quiet", f"--architectures={board.arch}", "--variant=minbase", f"--components={components}",
        f"--include={','.join(packages)}",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEFT_OUT),
        "--customize-hook=mkdir -p $1/media $1/state $1/boot/firmware",
        f"--customize-hook=upload {options.bundle} /media/bundle.tar",
        f"--customize-hook=copy-in {unpacked / 'provisioning'} /media",
        "--customize-hook=chroot $1 /media/provisioning/install.sh --bundle /media/bundle.tar --no-start",
        "--customize-hook=rm -rf $1/media/bundle.tar $1/media/provisioning",
        SUITE, system, *mirror(SUITE),
    )  # fmt: skip
    adapt(system, options)


def adapt(system: Path, options: argparse.Namespace) -> None:
    """What makes an installed system an image: nothing of this machine in it, and the parts for A and B."""
    for path in (system / "usr/lib/systemd/system/appliance.service.d").glob("*.conf"):
        path.unlink()  # limits for the memory of the machine that builds
    (system / "etc/appliance/appliance.toml").unlink(missing_ok=True)
    for name in ("etc/hostname", "etc/resolv.conf", "var/lib/dbus/machine-id"):
        (system / name).unlink(missing_ok=True)
    (system / "etc/hostname").write_text("debian\n")  # named after the machine at its first boot
    (system / "etc/machine-id").write_text("")  # systemd makes one; "uninitialized" would also enable its presets
    # For /etc/network/interfaces, which there is not; it fails at each connection.
    (system / "etc/NetworkManager/dispatcher.d/01-ifupdown").unlink(missing_ok=True)
    for key in (system / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    shutil.rmtree(system / "var/cache/apt", ignore_errors=True)
    shutil.rmtree(system / "var/lib/apt/lists", ignore_errors=True)
    install(HERE / "fstab", system / "etc/fstab", 0o644)
    programs = system / "usr/libexec/appliance-image"
    programs.mkdir(parents=True)
    for name in ("init", "first-boot", "slot-check"):
        install(HERE / name, programs / name, 0o755)
    for name in ("appliance-image-first-boot.service", "appliance-slot.service"):
        install(HERE / name, system / "usr/lib/systemd/system" / name, 0o644)
    configuration = (HERE / "system.conf").read_text().replace("@BOARD@", options.board)
    rauc = system / "etc/rauc"
    rauc.mkdir()
    (rauc / "system.conf").write_text(configuration)
    # An empty keyring refuses every update.
    (rauc / "keyring.pem").write_bytes(options.keyring.read_bytes() if options.keyring else b"")
    repart = system / "usr/share/appliance-image/repart.d"
    repart.mkdir(parents=True)
    for index, kind in enumerate(("esp", "root", "root", "linux-generic")):
        grows = "" if index == 3 else f"SizeMaxBytes={(ESP_BYTES, SLOT_BYTES, SLOT_BYTES)[index]}\n"
        (repart / f"{index}0.conf").write_text(f"[Partition]\nType={kind}\n{grows}")
    if options.ssh_key:
        folder = system / "root/.ssh"
        folder.mkdir(mode=0o700)
        install(options.ssh_key, folder / "authorized_keys", 0o600)
    enabled = ["appliance-image-first-boot.service", "appliance-slot.service", "NetworkManager.service"]
    run("systemctl", "--quiet", f"--root={system}", "enable", *enabled)
    run("systemctl", "--quiet", f"--root={system}", "mask", "rauc-mark-good.service", "apt-daily.timer",
        "apt-daily-upgrade.timer", "e2scrub_all.timer", "systemd-repart.service")  # fmt: skip


def make_disk(work: Path, system: Path, slot: Path, disk: Path, board: Board) -> None:
    """Write the partitioned disk. Slot B starts empty."""
    esp, state = work / "esp.img", work / "state.img"
    make_esp(work, system, esp, board)
    empty = work / "empty"
    empty.mkdir()
    make_ext4(state, STATE_BYTES, "state", empty)
    starts = [MIB, MIB + ESP_BYTES, MIB + ESP_BYTES + SLOT_BYTES, MIB + ESP_BYTES + 2 * SLOT_BYTES]
    table = "label: gpt\n" + "".join(
        f'start={start // 512}, size={size // 512}, type={kind}, name="{name}"\n'
        for start, size, kind, name in (
            (starts[0], ESP_BYTES, "uefi", "esp"),
            (starts[1], SLOT_BYTES, board.root_type, "root-a"),
            (starts[2], SLOT_BYTES, board.root_type, "root-b"),
            (starts[3], STATE_BYTES, "linux", "state"),
        )
    )
    disk.unlink(missing_ok=True)
    with disk.open("wb") as file:
        file.truncate(starts[3] + STATE_BYTES + MIB)
    subprocess.run(["sfdisk", "--quiet", disk], input=table, text=True, check=True)
    for image, start in ((esp, starts[0]), (slot, starts[1]), (state, starts[3])):
        run("dd", f"if={image}", f"of={disk}", "bs=1M", f"seek={start // MIB}", "conv=notrunc,sparse", "status=none")


def make_esp(work: Path, system: Path, esp: Path, board: Board) -> None:
    """The EFI system partition: GRUB, its menu, which system is good, and what the board needs to start GRUB."""
    with esp.open("wb") as file:
        file.truncate(ESP_BYTES)
    run("mkfs.vfat", "-F", "32", "-n", "APPLIANCE", esp, quiet=True)
    loader, environment, menu = work / board.loader, work / "grubenv", work / "grub.cfg"
    parts = unpacked(work, board, f"grub-efi-{board.arch}-bin", *board.starter_packages)
    run("grub-mkstandalone", "-O", board.grub, f"--directory={parts / 'usr/lib/grub' / board.grub}",
        f"--modules={MODULES}", "-o", loader, f"boot/grub/grub.cfg={HERE / 'grub-embedded.cfg'}")  # fmt: skip
    menu.write_text((HERE / "grub.cfg").read_text().replace("@SERIAL@", board.serial))
    run("grub-editenv", environment, "create")
    run("grub-editenv", environment, "set", "ORDER=A B", "A_OK=1", "A_TRY=0", "B_OK=0", "B_TRY=0")
    run("mmd", "-i", esp, "::EFI", "::EFI/BOOT", "::grub")
    for source, target in ((loader, f"EFI/BOOT/{board.loader}"), (environment, "grub/grubenv"),
                           (menu, "appliance.grub.cfg")):  # fmt: skip
        run("mcopy", "-i", esp, source, f"::{target}")
    for pattern in board.starter:
        found = [*parts.glob(pattern), *system.glob(pattern)]
        if not found:
            raise CannotBuild(f"neither the system nor {', '.join(board.starter_packages)} contain {pattern}")
        run("mcopy", "-i", esp, *found, "::")
    for name, text in board.starter_texts.items():
        (work / name).write_text(text)
        run("mcopy", "-i", esp, work / name, f"::{name}")


def unpacked(work: Path, board: Board, *packages: str) -> Path:
    """A folder with the files of Debian packages, which are not installed."""
    folder = work / "parts"
    run("mmdebstrap", "--quiet", f"--architectures={board.arch}", "--variant=extract",
        "--components=main,non-free-firmware", f"--include={','.join(packages)}", SUITE, folder,
        *mirror(SUITE))  # fmt: skip
    return folder


def make_update(work: Path, bundle: Path, version: str, options: argparse.Namespace) -> None:
    """The signed bundle that RAUC installs into the other slot."""
    folder = work / "update"
    folder.mkdir()
    (work / "update.img").rename(folder / "root.img")
    (folder / "manifest.raucm").write_text(
        f"[update]\ncompatible=appliance-{options.board}\nversion={version}\n\n"
        "[bundle]\nformat=verity\n\n[image.rootfs]\nfilename=root.img\n"
    )
    bundle.unlink(missing_ok=True)
    keyring = options.keyring or options.certificate
    run("rauc", f"--cert={options.certificate}", f"--key={options.key}", f"--keyring={keyring}", "bundle",
        "--mksquashfs-args=-comp zstd -Xcompression-level 10", folder, bundle, quiet=True)  # fmt: skip


def make_ext4(image: Path, size: int, label: str, content: Path) -> None:
    """An ext4 file system with these files; the same files give the same names and owners."""
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(size)
    run("mke2fs", "-q", "-t", "ext4", "-L", label, "-m", "0", "-E", "lazy_itable_init=0", "-d", content, image)


def release_version(system: Path) -> str:
    """The name of the installed release."""
    return Path(os.readlink(system / "opt/appliance/current")).name


def install(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)


def run(*command: Sequence[object] | object, quiet: bool = False) -> None:
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL if quiet else None)


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
