"""What the playbooks ask of `appliance` on a device, on files in its folder instead of a device.

`python appliance_program.py FOLDER COMMAND…`. The folder's `broken` makes the next release a bad one.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(folder: Path, *command: str) -> int:
    with (folder / "calls").open("a") as calls:
        calls.write(" ".join(command) + "\n")
    tokens, version = folder / "tokens", folder / "version"
    match command:
        case ("health", "--json"):
            new = version.exists()
            findings = [{"code": "disk_low", "severity": "degraded"}, {"code": "drained", "severity": "info"}]
            if new and (folder / "broken").exists():
                findings.append({"code": "engine_failing", "severity": "critical"})
            print(
                json.dumps(
                    {"version": "2" if new else "1", "findings": findings, "engine": {"canary": {"proved": True}}}
                )
            )
        case ("update", "install", *_):
            version.write_text("2")
        case ("token", "list"):
            print("name      role\n" + (tokens.read_text() if tokens.exists() else ""))
        case ("token", "add", name, "--role", role):
            with tokens.open("a") as file:
                file.write(f"{name}  {role}\n")
            print(f"token-of-{name}")
        case ("model", "list"):
            print("* yolo11n  ok\n  yard  ok" if (folder / "yard").exists() else "* yolo11n  ok")
        case ("model", "import", _):
            (folder / "yard").touch()
        case ("config", "check", file):
            return 2 if "prot" in Path(file).read_text() else 0
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:]))
