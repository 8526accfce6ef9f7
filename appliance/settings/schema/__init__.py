"""Settings schema: the meaning, unit, bounds and default of each setting, one file for each section.

`appliance config show` prints the sections in the order of `Settings`, with these descriptions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from appliance.settings.schema.access import AccessSettings
from appliance.settings.schema.agent import AgentSettings
from appliance.settings.schema.cache import CacheSettings
from appliance.settings.schema.camera import CameraSettings
from appliance.settings.schema.engine import EngineSettings
from appliance.settings.schema.events import EventsSettings
from appliance.settings.schema.flow import FlowSettings
from appliance.settings.schema.governor import GovernorSettings
from appliance.settings.schema.log import LogSettings
from appliance.settings.schema.model import ModelSettings
from appliance.settings.schema.mqtt import MqttSettings
from appliance.settings.schema.server import ServerSettings
from appliance.settings.schema.site import SiteSettings
from appliance.settings.schema.state import StateSettings
from appliance.settings.schema.tls import TlsSettings
from appliance.settings.schema.update import UpdateSettings
from appliance.settings.schema.webhook import WebhookSettings

ProfileName = Literal["development", "production", "realtime"]


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings of the service and the camera agent."""

    profile: Annotated[
        ProfileName,
        Meta(description="development, production or realtime: selects the defaults of the settings below."),
    ] = "production"
    server: ServerSettings = ServerSettings()
    tls: TlsSettings = TlsSettings()
    access: AccessSettings = AccessSettings()
    model: ModelSettings = ModelSettings()
    engine: EngineSettings = EngineSettings()
    flow: FlowSettings = FlowSettings()
    cache: CacheSettings = CacheSettings()
    events: EventsSettings = EventsSettings()
    governor: GovernorSettings = GovernorSettings()
    log: LogSettings = LogSettings()
    state: StateSettings = StateSettings()
    update: UpdateSettings = UpdateSettings()
    camera: AgentSettings = AgentSettings()
    mqtt: MqttSettings = MqttSettings()
    site: SiteSettings = SiteSettings()
    webhooks: dict[str, WebhookSettings] = {}
    cameras: dict[str, CameraSettings] = {}


PROFILES: dict[str, dict[str, dict[str, Any]]] = {
    "development": {
        "server": {"cors_origins": ["*"]},
        "flow": {"min_interval_s": 2.0, "max_side": 640},
        "cache": {"ttl_s": 300.0},
        "log": {"level": "debug"},
    },
    "production": {
        "flow": {"min_interval_s": 1.0, "scene_gate": True},
        "log": {"level": "warning"},
    },
    "realtime": {
        "flow": {"min_interval_s": 0.0},
        "cache": {"ttl_s": 10.0},
    },
}
