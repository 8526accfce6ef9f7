"""`python home_assistant.py FOLDER PORT`: run Home Assistant's core with its own MQTT integration, without a page.

It runs in Home Assistant's environment. For each line on its input it prints the states of all entities, and the
devices, as one line of JSON; at the end of its input it stops.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

ENTRY: dict[str, Any] = {
    "created_at": "2025-01-01T00:00:00+00:00", "modified_at": "2025-01-01T00:00:00+00:00", "disabled_by": None,
    "discovery_keys": {}, "domain": "mqtt", "entry_id": "mqtt", "minor_version": 2, "options": {}, "source": "user",
    "pref_disable_new_entities": False, "pref_disable_polling": False, "subentries": [], "title": "broker",
    "unique_id": None, "version": 1,
}  # fmt: skip


async def main(folder: Path, port: int) -> None:
    from homeassistant import auth, config_entries, core, loader
    from homeassistant.bootstrap import async_load_base_functionality
    from homeassistant.helpers import device_registry
    from homeassistant.setup import async_setup_component

    (folder / ".storage").mkdir(parents=True, exist_ok=True)
    (folder / "configuration.yaml").write_text("homeassistant:\n  name: test\n")
    entries = [{**ENTRY, "data": {"broker": "127.0.0.1", "port": port}}]
    (folder / ".storage/core.config_entries").write_text(
        json.dumps({"version": 1, "minor_version": 5, "key": "core.config_entries", "data": {"entries": entries}})
    )
    hass = core.HomeAssistant(str(folder))
    loader.async_setup(hass)
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await async_load_base_functionality(hass)
    hass.auth = await auth.auth_manager_from_config(hass, [], [])
    assert await async_setup_component(hass, "mqtt", {})
    await hass.async_block_till_done()
    await hass.async_start()

    def report() -> dict[str, Any]:
        states = {one.entity_id: [one.state, one.attributes.get("event_type")] for one in hass.states.async_all()}
        devices = [one.name for one in device_registry.async_get(hass).devices.values()]
        return {"states": states, "devices": devices}

    while await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
        print(json.dumps(report()), flush=True)
    await hass.async_stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
