"""Schemathesis generates requests from `/openapi.json`, and holds the answers to it.

`make api-test` runs it; it takes a minute. Actions are left out, since they would be done.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from appliance.identity.roles import Role
from tests.conftest import Running

EXAMPLES = os.environ.get("API_EXAMPLES", "")
"""Requests for each operation; empty: the test is skipped."""
_CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
_NOT_CALLED = r"^/(actions|page|session)"
_LONGEST_S = 500.0


@pytest.mark.skipif(not EXAMPLES, reason="takes a minute: make api-test")
async def test_generated_requests_are_answered_as_the_document_says(live: Running, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text('[parameters]\n"path.model" = "fake"\n', encoding="utf-8")
    store = live.started.parts.entrance.tokens
    token = store.add("schemathesis", Role.OPERATOR).token
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{live.url}/openapi.json",
        "--checks", _CHECKS, "--header", f"Authorization: Bearer {token}",
        "--exclude-path-regex", _NOT_CALLED, "--max-examples", EXAMPLES, "--no-color", "--suppress-health-check", "all",
    ]  # fmt: skip
    run = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await asyncio.wait_for(run.communicate(), _LONGEST_S)
    finally:
        if run.returncode is None:
            run.kill()
            await run.wait()
        store.revoke("schemathesis")
    print(output.decode())
    assert run.returncode == 0, output.decode()[-6000:]
