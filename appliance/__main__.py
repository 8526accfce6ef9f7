"""`python -m appliance`, and the entry point of the command `appliance`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run a command. Ctrl-C ends it quietly while it is still being loaded too."""
    try:
        from appliance import cli

        return cli.main()
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
