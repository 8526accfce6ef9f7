"""Secrets in texts of any length. What counts as a secret in an address: tests/camera/sources/test_url.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

from appliance.redaction import hide_keys


@pytest.mark.parametrize("text", ["-", ".a", "-pas", "p=", "a/1"])
def test_a_long_text_of_others_is_searched_in_one_pass(text: str) -> None:
    """A receiver of webhooks can answer with it. For 16,000 dashes, the search held the event loop for 32 s."""
    code = "import sys; from appliance.redaction import redact; redact(sys.argv[1] * 64_000)"
    subprocess.run([sys.executable, "-c", code, text], timeout=60, check=True)


@pytest.mark.parametrize("name", ["password", "my-app.password-of-camera", "-" * 100 + "pwd", "PASS", "token", "p"])
def test_the_value_of_a_parameter_with_a_secret_is_hidden(name: str) -> None:
    assert hide_keys(f"/stream?{name}=planted&x=1") == f"/stream?{name}=***&x=1"
