"""What each part is given out of the settings, and the parts that are made of nothing else."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from appliance.device import cpus, profile, state
from appliance.device.profile import Profile
from appliance.engines import registry
from appliance.engines.compiled_files import CompiledFiles
from appliance.errors import ApplianceError, EngineError, ModelError
from appliance.flow.cache import Cache
from appliance.flow.cameras import CameraPolicy
from appliance.flow.core_boost import Lone
from appliance.flow.inference import Inference, Network
from appliance.flow.pace import Pace
from appliance.flow.sizes import Sizes
from appliance.governor.ladder import make_ladder
from appliance.governor.policy import Policy
from appliance.governor.room import Room
from appliance.models import active, bundle
from appliance.models.bundle import Bundle
from appliance.ports import Clock, Engine
from appliance.settings.schema import Settings
from appliance.timeline import Mark, unmarked
from appliance.values import Limits, ModelInfo, Size
from appliance.vision import letterbox
from appliance.vision.admission import Admission
from appliance.web import sockets
from appliance.web.access import Access
from appliance.web.ingress.limits import IngressLimits, raise_file_limit
from appliance.web.intake import Intake

log = logging.getLogger(__name__)

_USUAL_IMAGE = Size(1280, 720)


def load_network(settings: Settings, prepare: bool = True, mark: Mark = unmarked) -> Network:
    """The model and an engine that runs it. Raises ModelError or EngineError.

    `prepare`: compile for the shape of most cameras now, so that their first frame does not wait for it. `mark`: told
    the steps as they are done.
    """
    try:
        return _load(settings, prepare, mark)
    except ApplianceError:
        raise
    except Exception as error:  # what nobody thought of, in an engine's library or in a model
        log.error("loading %s failed", settings.model.name, exc_info=error)
        raise EngineError(f"{settings.model.name} cannot be loaded: {type(error).__name__}: {error}") from error


def _load(settings: Settings, prepare: bool, mark: Mark) -> Network:
    found = bundle.read(Path(settings.model.dir) / settings.model.name)
    mark("model checked")
    engine = registry.create(
        settings.engine.kind,
        found.network_for(registry.find(settings.engine.kind).reads),
        sizes=usual_sizes(settings, found),
        device=settings.engine.device,
        precision=settings.engine.precision,
        threads=settings.engine.threads or cpus.restricted_to(),
        hint="throughput" if settings.engine.hint == "auto" else settings.engine.hint,
        cache=_compiled(settings),
    )
    mark("engine")
    reader = found.reader(settings.model.iou, settings.model.max_detections)
    info = ModelInfo(found.name, engine.name, engine.device, found.precision or engine.precision, found.classes)
    sizes = Sizes(engine, found.stride, found.fixed_size, most=settings.engine.sizes)
    network = Network(info, engine, reader, sizes, found.placing, forget=_forget_of(engine, settings))
    if prepare:
        compiled = engine.prepare(sizes.best(_USUAL_IMAGE, settings.flow.max_side))
        mark("compiled" if compiled else "compiled before")
    return network


def load_to_serve(settings: Settings, prepare: bool = True, mark: Mark = unmarked) -> Network:
    """The same; where another engine is asked for, and cannot run the model here or has to be built for this box first,
    OpenVINO on the CPU stands in for it. What is wrong with the model itself, OpenVINO will say too.
    """
    try:
        return load_network(settings, prepare, mark)
    except (EngineError, ModelError) as error:
        if settings.engine.kind == "openvino":
            raise
        stand_in = structs.replace(settings.engine, kind="openvino", device="CPU", precision="")
        network = load_network(structs.replace(settings, engine=stand_in), prepare, mark)
        return replace(network, lacks=error.with_traceback(None))  # which would keep the other engine's memory


def usual_sizes(settings: Settings, found: Bundle) -> tuple[Size, ...]:
    """The inputs that most cameras come to, the largest first: those of the ladder that the governor goes down."""
    if found.fixed_size is not None:
        return (found.fixed_size,)
    sides = (step.limits.max_side for step in make_ladder(full_limits(settings)).steps)
    return tuple(dict.fromkeys(letterbox.input_size(_USUAL_IMAGE, side, found.stride) for side in sides))


def in_force(settings: Settings) -> Settings:
    """These settings with the model that was activated last."""
    return with_model(settings, active.read(Path(settings.model.dir), settings.model.name).name)


def with_model(settings: Settings, name: str) -> Settings:
    """These settings with another model."""
    return structs.replace(settings, model=structs.replace(settings.model, name=name))


def inference_of(settings: Settings, network: Network, clock: Clock, admission: Admission | None = None) -> Inference:
    """What looks at frames with this network; `admission`: the one of this process, where there is another network."""
    refresh_s = settings.flow.refresh_s if settings.flow.scene_gate else None
    lone = Lone(clock) if settings.engine.hint == "auto" else None
    return Inference(network, clock=clock, refresh_s=refresh_s, lone=lone, admission=admission or Admission(Room()))


def known_costs(settings: Settings, network: Network | None) -> Profile | None:
    """What `appliance bench` measured on this box with this model, if it ran."""
    if network is None:
        return None
    path = profile.path_in(Path(settings.model.dir), network.info.name)
    return profile.read(path, profile.subject_of(network.info))


def learn_first_cost(settings: Settings, network: Network | None, known: Profile | None, pace: Pace) -> None:
    """The first cameras are told a pace that this box keeps, where its costs are known."""
    rung = known.cost(settings.flow.max_side) if known else None
    if network is not None and rung is not None:
        pace.learn(network.engine.slots, rung.infer_ms / 1000)


def _compiled(settings: Settings) -> Path | None:
    """Where an engine keeps what it has compiled."""
    if not settings.engine.cache:
        return None
    own = os.environ.get("CACHE_DIRECTORY")  # systemd's CacheDirectory=
    return Path(own.partition(":")[0]) / "compiled" if own else Path(settings.model.dir) / ".compiled"


def _forget_of(engine: Engine, settings: Settings) -> Callable[[], None] | None:
    """What removes the networks that OpenVINO has compiled; engines of others keep theirs as they like."""
    folder = _compiled(settings)
    return CompiledFiles(folder).clear if engine.name == "openvino" and folder is not None else None


def answer_cache(settings: Settings, clock: Clock) -> Cache | None:
    cache = settings.cache
    if not cache.enabled:
        return None
    return Cache(entries=cache.entries, max_bytes=cache.max_bytes, ttl_s=cache.ttl_s, clock=clock)


def state_folder(settings: Settings) -> state.StateFolder | None:
    if not settings.state.history:
        return None
    return state.open_folder(_state_dir(settings))


def _state_dir(settings: Settings) -> Path:
    return Path(settings.state.dir) if settings.state.dir else state.default_dir(os.environ)


def disk(settings: Settings) -> Path:
    """What is watched for room and damage: where state lies. Models may be on what the service shall only read."""
    folder = _state_dir(settings)
    return folder if folder.is_dir() else Path(settings.model.dir)


def full_limits(settings: Settings) -> Limits:
    """What a cool box may do."""
    return Limits(settings.flow.max_side, settings.flow.min_interval_s, max_in_flight=8)


def governor_policy(settings: Settings, network: Network | None, known: Profile | None) -> Policy | None:
    governor = settings.governor
    if not governor.enabled:
        return None
    full = full_limits(settings)
    smallest = network.sizes.best(_USUAL_IMAGE, 64) if network is not None else None
    ladder = make_ladder(
        full,
        known,
        slots=network.engine.slots if network is not None else 1,
        one_size=network is not None and smallest == network.sizes.best(_USUAL_IMAGE, full.max_side),
        priorities=any(camera.priority > 0 for camera in settings.cameras.values()),
    )
    return Policy(governor.target_temp_c, governor.critical_temp_c, governor.min_available_bytes, ladder)


def camera_policies(settings: Settings) -> dict[str, CameraPolicy]:
    return {
        name: CameraPolicy(camera.token, camera.weight, camera.priority, camera.min_interval_s)
        for name, camera in settings.cameras.items()
    }


def grant(access: Access, settings: Settings) -> None:
    server = settings.server
    access.viewer_token, access.api_key = server.viewer_token, server.api_key
    access.require_token, access.max_connections = server.require_token, server.max_connections
    access.allowed_hosts, access.cors_origins = (*server.allowed_hosts, server.host), server.cors_origins


def ingress_limits(settings: Settings) -> IngressLimits:
    """What connections may take, within the files that this process may open."""
    server = settings.server
    longest = server.max_frame_bytes * sockets.TRANSPORT_FACTOR
    return IngressLimits(
        max_open=raise_file_limit(2 * server.max_connections + 256),
        max_per_address=server.max_connections_per_address,
        max_unfinished_bytes=max(server.max_unfinished_bytes, 2 * longest),
        header_timeout_s=server.header_timeout_s,
        message_timeout_s=server.message_timeout_s,
        idle_timeout_s=server.idle_timeout_s,
        max_message_bytes=longest,
    )


def make_intake(settings: Settings, clock: Clock) -> Intake:
    """The reader of what strangers send, with the settings' bounds."""
    return Intake(settings.server.max_frame_bytes, settings.flow.max_pixels, settings.model.min_confidence, clock)


def socket_options(settings: Settings) -> sockets.SocketOptions:
    server = settings.server
    return sockets.SocketOptions(
        ping_interval_s=server.ping_interval_s,
        ping_timeout_s=server.ping_timeout_s,
        max_frame_bytes=server.max_frame_bytes,
        compression=server.compression,
        compression_min_bytes=server.compression_min_bytes,
    )
