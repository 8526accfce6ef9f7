"""The verbs for the service as a whole: self-test, benchmark, test of the broker, reload, restart."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from appliance.control.page_requests import (
    BenchmarkRequest,
    BenchmarkResult,
    MqttTested,
    SelfTestResult,
    ServiceDone,
    SettingsChecked,
)
from appliance.control.verbs import NoRequest, Verb, VerbRefused
from appliance.errors import ConfigError, ModelError
from appliance.flow import full_load
from appliance.health.facts import CanaryState
from appliance.ports import Clock
from appliance.values import Frame, Outcome

LONGEST_BENCHMARK_S = 60.0
_ANSWER_FIRST_S = 0.5
"""Between the answer to a restart and the restart."""


class Problem(Protocol):
    """Why something failed: a code, what the system says about it, and both in English as its text."""

    @property
    def code(self) -> str: ...
    @property
    def detail(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ServiceHandles:
    """What the verbs use.

    `check` reads the settings and raises ConfigError if they are invalid. `reload` returns why the settings were
    rejected, or None; before there is a model, it is another try to start: `working` says so. `restart`: stops the
    service and starts it again. `try_mqtt` connects to `broker` and publishes, and returns why that failed, or None;
    None: no broker is set. `network`: what infers now.
    """

    prove: Callable[[], Awaitable[CanaryState]]
    ask: Callable[[Frame], Awaitable[Outcome]]
    check: Callable[[], object]
    reload: Callable[[], Awaitable[str | None]]
    working: Callable[[], bool]
    restart: Callable[[], None]
    temp_c: Callable[[], float | None]
    broker: str
    try_mqtt: Callable[[], Awaitable[Problem | None]] | None
    network: Callable[[], object]
    clock: Clock


class ServiceVerbs:
    """`self_test`, `benchmark`, `test_mqtt`, `check_settings`, `reload` and `restart`."""

    def __init__(self, handles: ServiceHandles) -> None:
        self._handles, self._benchmark_runs = handles, False

    def verbs(self) -> Mapping[str, Verb]:
        """The verbs by name."""
        return {
            "self_test": Verb(
                self._self_test, "self_test", failure=lambda done: None if done.proved else "self_test_failed"
            ),
            "benchmark": Verb(self._benchmark, "benchmark", BenchmarkRequest, lambda request: {"for_s": request.for_s}),
            "test_mqtt": Verb(
                self._test_mqtt, "mqtt_test", failure=lambda done: None if done.problem is None else "mqtt_failed"
            ),
            "check_settings": Verb(
                self._check_settings,
                "settings_check",
                failure=lambda done: None if done.problem is None else ConfigError.code,
            ),
            "reload": Verb(self._reload, "settings_reload"),
            "restart": Verb(self._restart, "service_restart"),
        }

    async def _self_test(self, request: NoRequest) -> SelfTestResult:
        state = await self._handles.prove()
        return SelfTestResult(state.proved and state.failures == 0, state.message, state.infer_ms)

    async def _benchmark(self, request: BenchmarkRequest) -> BenchmarkResult:
        if not 0 < request.for_s <= LONGEST_BENCHMARK_S:
            raise VerbRefused(f"for_s: must be above 0 and at most {LONGEST_BENCHMARK_S:.0f}")
        if self._benchmark_runs:
            raise ModelError("a benchmark is running; try again when it is done", "benchmark_busy")
        self._benchmark_runs = True
        handles, start_c, network = self._handles, self._handles.temp_c(), self._handles.network()
        try:
            load = await full_load.run(handles.ask, request.for_s, handles.clock)
        finally:
            self._benchmark_runs = False
        if handles.network() is not network:
            raise ModelError("the model or its engine changed during the benchmark; run it again", "benchmark_mixed")
        return BenchmarkResult(load.frames, round(load.fps, 1), round(load.infer_ms, 1), start_c, handles.temp_c())

    async def _test_mqtt(self, request: NoRequest) -> MqttTested:
        if self._handles.try_mqtt is None:
            raise VerbRefused("no MQTT broker is set. Set host in [mqtt]")
        broker, lost = self._handles.broker, await self._handles.try_mqtt()
        return MqttTested(broker, None) if lost is None else MqttTested(broker, str(lost), lost.code, lost.detail)

    async def _reload(self, request: NoRequest) -> ServiceDone:
        working = self._handles.working()
        problem = await self._handles.reload()
        if problem is not None:
            raise ConfigError(problem)
        return ServiceDone(restarts=not working)

    async def _check_settings(self, request: NoRequest) -> SettingsChecked:
        try:
            await asyncio.to_thread(self._handles.check)
        except ConfigError as error:
            return SettingsChecked(str(error))
        return SettingsChecked(None)

    async def _restart(self, request: NoRequest) -> ServiceDone:
        if self._handles.working():
            await asyncio.to_thread(self._handles.check)  # with invalid ones detection would not start again
        asyncio.get_running_loop().call_later(_ANSWER_FIRST_S, self._handles.restart)
        return ServiceDone(restarts=True)
