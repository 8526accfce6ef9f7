"""Ask for the erasure of this device's data. `provisioning/erase.py` carries it out as root, outside the service."""

from __future__ import annotations

from pathlib import Path

from appliance import files
from appliance.errors import ApplianceError

REQUEST = "erase-requested"
"""The file in the state folder that `appliance-erase.path` waits for."""
UNIT = Path("usr/lib/systemd/system/appliance-erase.path")


class EraseError(ApplianceError):
    """Nothing is erased: erase_unavailable."""

    code = "erase_unavailable"


class Erasure:
    """Requests of the running service. `state`: its state folder; `root`: of the machine's files."""

    def __init__(self, state: Path, root: Path = Path("/")) -> None:
        self._state, self._root = state, root

    @property
    def possible(self) -> bool:
        """Whether this is an installed service."""
        return (self._root / UNIT).exists()

    def request(self, *, factory_reset: bool) -> None:
        """Have the service stopped, the data erased and the service started again. Raises EraseError."""
        if not self.possible:
            raise EraseError("this service is not installed. Stop it, then run `appliance erase` as the same user")
        try:
            files.write(self._state / REQUEST, b"factory-reset\n" if factory_reset else b"erase\n", 0o600)
        except OSError as error:
            raise EraseError(
                f"cannot write to {self._state}: {error.strerror}. Run `sudo appliance erase` on the device"
            ) from None
