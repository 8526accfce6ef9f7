"""What the tests of updates print as their figure."""

from __future__ import annotations

from tests.provisioning.offers import fetched_of

_JOURNAL = """Starting appliance-update-fetch@check.service - Fetch a signed update (check)...
fetching 3 of 49 files, 1.20 MB
Finished appliance-update-fetch@check.service - Fetch a signed update (check).
Starting appliance-update-fetch@check.service - Fetch a signed update (check)...
fetching 2 of 49 files, 0.96 MB
appliance-update-fetch@check.service: Deactivated successfully.
Finished appliance-update-fetch@check.service - Fetch a signed update (check).
appliance-update-fetch@check.service: Consumed 1.234s CPU time.
"""


def test_what_was_fetched_is_found_among_the_lines_of_systemd() -> None:
    assert fetched_of(_JOURNAL) == "fetching 2 of 49 files, 0.96 MB"
