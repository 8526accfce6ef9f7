"""All links of the device, as one: what fails, and how they stop."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from appliance.health.facts import LinkNotice
from appliance.links.mqtt.link import MqttLink
from appliance.links.reasons import LinkProblem
from appliance.links.webhook import Webhook


@dataclass(frozen=True, slots=True)
class Links:
    """The links that the settings name. `webhooks`: by name."""

    mqtt: MqttLink | None = None
    broker: str = ""
    """The broker's address, for reports."""
    webhooks: Sequence[tuple[str, Webhook]] = ()

    @property
    def mqtt_problem(self) -> LinkNotice | None:
        """Why the broker is not connected; None: it is, or there is none."""
        return None if self.mqtt is None else _notice(self.broker, self.mqtt.problem)

    @property
    def webhook_problems(self) -> tuple[LinkNotice, ...]:
        """Which receivers do not accept events, and why."""
        found = (_notice(name, one.problem) for name, one in self.webhooks)
        return tuple(one for one in found if one is not None)

    def tasks(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]]:
        """What has to run for the links to work, by name."""
        tasks: list[tuple[str, Callable[[], Coroutine[Any, Any, None]]]] = [
            (f"webhook {name}", one.run) for name, one in self.webhooks
        ]
        return [("mqtt", self.mqtt.run), *tasks] if self.mqtt is not None else tasks

    async def finish(self, within_s: float) -> None:
        """Send what waits, at most this long."""
        parts: list[Callable[[float], Coroutine[Any, Any, None]]] = [one.finish for _, one in self.webhooks]
        if self.mqtt is not None:
            parts.append(self.mqtt.finish)
        async with anyio.create_task_group() as group:
            for finish in parts:
                group.start_soon(finish, within_s)


def _notice(name: str, problem: LinkProblem | None) -> LinkNotice | None:
    return None if problem is None else LinkNotice(name, problem.code, problem.detail, str(problem))
