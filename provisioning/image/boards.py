"""What differs between the boards for which an image is made. Everything else is the same for all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Board:
    """A kind of machine that starts by UEFI, or by a program that offers the same."""

    machine: str
    """As `uname -m` prints it."""
    arch: str
    """Debian's name of the architecture."""
    loader: str
    """The file that UEFI starts from a disk without an entry of its own."""
    grub: str
    """GRUB's name of the platform; its modules are in Debian's package `grub-efi-ARCH-bin`."""
    root_type: str
    """The type of the systems' partitions: systemd-repart counts partitions by their type."""
    serial: str
    """The kernel's name of the serial port."""
    firmware: tuple[str, ...] = ()
    """Packages of Debian's section non-free-firmware that the image contains by default."""
    starter_packages: tuple[str, ...] = ()
    """Debian's packages with files for the partition `esp`; they are not installed."""
    starter: tuple[str, ...] = ()
    """These files, as patterns, from those packages or from the system."""
    starter_texts: Mapping[str, str] = field(default_factory=dict)
    """Further files, with their text."""


_AMD64 = Board(
    machine="x86_64", arch="amd64", loader="BOOTX64.EFI", grub="x86_64-efi",
    root_type="4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", serial="ttyS0,115200", firmware=("firmware-iwlwifi",),
)  # fmt: skip
_ARM64 = Board(
    machine="aarch64", arch="arm64", loader="BOOTAA64.EFI", grub="arm64-efi",
    root_type="B921B045-1DF0-41C3-AF44-4C6F280D3FAE", serial="ttyAMA0,115200",
)  # fmt: skip
# The firmware starts U-Boot instead of a kernel, and U-Boot offers what GRUB needs of UEFI.
_RPI = replace(
    _ARM64,
    serial="ttyS1,115200",
    firmware=("firmware-brcm80211",),
    starter_packages=("raspi-firmware", "u-boot-rpi"),
    starter=(
        "usr/lib/raspi-firmware/start4.elf", "usr/lib/raspi-firmware/fixup4.dat", "usr/lib/u-boot/rpi_arm64/u-boot.bin",
        "usr/lib/linux-image-*/broadcom/bcm2711-rpi-*.dtb",
    ),
    starter_texts={"config.txt": "arm_64bit=1\nupstream_kernel=1\nenable_uart=1\nkernel=u-boot.bin\n"},
)  # fmt: skip
BOARDS: Mapping[str, Board] = {"generic-amd64": _AMD64, "arm64": _ARM64, "rpi": _RPI}
