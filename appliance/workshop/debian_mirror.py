"""Where this machine gets Debian's packages: for root file systems that are made here."""

from __future__ import annotations

import subprocess


def mirror(suite: str) -> list[str]:
    """The URL from which this machine's apt gets that release, for mmdebstrap; empty: its own choice."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {suite}", "Component: main",
         "Origin: Debian"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return sorted(set(done.stdout.split()))[:1]
