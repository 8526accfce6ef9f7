#!/usr/bin/env -S python3 -I
"""Hold packages to the lock file: locked.py constraints LOCK, select LOCK NAME..., or verify LOCK FOLDER.

`constraints` prints the pinned versions for pip's --constraint. `select` prints the requirements of these packages with
their hashes, for pip's --require-hashes: what installs and builds is held to the lock file too. `verify` checks that
each wheel in a folder is a file that the lock file knows, except the names given after it. It uses the system's Python
only.
"""

import hashlib
import re
import sys
from pathlib import Path


def read(lock: Path) -> "tuple[list[str], dict[str, set[str]]]":
    """The pinned requirements with their markers, and the SHA-256 digests of each package's files."""
    requirements, digests, name = [], {}, ""
    for line in lock.read_text(encoding="utf-8").splitlines():
        found = re.match(r"([A-Za-z0-9._-]+)==", line)
        if found:
            name = plain(found[1])
            requirements.append(line.removesuffix("\\").strip())
            digests.setdefault(name, set())
        digests.get(name, set()).update(re.findall(r"--hash=sha256:([0-9a-f]{64})", line))
    return requirements, digests


def select(lock: Path, names: "list[str]") -> "list[str]":
    """The requirements of these packages, with the hashes of their files."""
    requirements, digests = read(lock)
    chosen = [line for line in requirements if plain(line.partition("==")[0]) in names]
    return [
        f"{line} {' '.join(f'--hash=sha256:{digest}' for digest in sorted(digests[plain(line.partition('==')[0])]))}"
        for line in chosen
    ]


def plain(name: str) -> str:
    """The name of a package in its normal form."""
    return re.sub(r"[-_.]+", "-", name).lower()


def unknown(folder: Path, digests: "dict[str, set[str]]", exempt: "set[str]") -> "list[str]":
    """The wheels that are not in the lock file, or have another digest."""
    wrong = []
    for wheel in sorted(folder.glob("*.whl")):
        name = plain(wheel.name.split("-")[0])
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if name not in exempt and digest not in digests.get(name, set()):
            wrong.append(wheel.name)
    return wrong


def main(arguments: "list[str]") -> int:
    requirements, digests = read(Path(arguments[1]))
    if arguments[0] == "select":
        print("\n".join(select(Path(arguments[1]), [plain(name) for name in arguments[2:]])))
        return 0
    if arguments[0] == "constraints":
        print("\n".join(requirements))
        return 0
    wrong = unknown(Path(arguments[2]), digests, {plain(name) for name in arguments[3:]})
    if wrong:
        print(
            f"not the files of {arguments[1]}: {', '.join(wrong)}. Try again; if it stays so, report it",
            file=sys.stderr,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in ("constraints", "select", "verify"):
        sys.exit("usage: locked.py constraints LOCK | select LOCK NAME... | verify LOCK FOLDER [EXEMPT]...")
    sys.exit(main(sys.argv[1:]))
