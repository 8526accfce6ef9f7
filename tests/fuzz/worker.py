"""`python -m tests.fuzz.worker TARGET SEED FIRST COUNT`: run a part of one target's inputs; the process may crash.

Prints one JSON line for each finding, and one with the outcomes at the end. The number of the current input is written
to the file `$PROGRESS`, so that it is known if this process dies or hangs.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import traceback
import warnings
from collections import Counter

from tests.fuzz.over_sockets import OVER_SOCKETS
from tests.fuzz.target import Ended, Unexpected
from tests.fuzz.within import WITHIN

TARGETS = {target.name: target for target in (*WITHIN, *OVER_SOCKETS)}
_MOST_FINDINGS = 20


def main(name: str, seed: int, first: int, count: int) -> None:
    warnings.simplefilter("ignore")  # Pillow's, about damaged EXIF
    outcomes, findings = Counter[str](), 0
    target = TARGETS[name]
    with open(os.environ["PROGRESS"], "r+b") as file, mmap.mmap(file.fileno(), 8) as progress:
        index = first
        while index < first + count and findings < _MOST_FINDINGS:
            with target.open() as take:
                while index < first + count and findings < _MOST_FINDINGS:
                    progress[:] = index.to_bytes(8, "little")
                    try:
                        outcomes[take(target.input(seed, index))] += 1
                    except Exception as error:  # noqa: BLE001  # any exception is a finding
                        findings += 1
                        why = str(error) if isinstance(error, Unexpected) else traceback.format_exc()
                        print(json.dumps({"index": index, "why": why}), flush=True)
                        if isinstance(error, Ended):
                            break
                    finally:
                        index += 1
    print(json.dumps({"outcomes": outcomes, "done": index - first}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
