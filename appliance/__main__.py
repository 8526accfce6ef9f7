"""`python -m appliance`, and the entry point of the command `appliance`."""

from __future__ import annotations

import sys

from appliance.imports import loading


def main() -> int:
    """Run a command. Ctrl-C ends it quietly while it is still being loaded too."""
    with loading():
        from appliance import cli
    try:
        return cli.main()
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
