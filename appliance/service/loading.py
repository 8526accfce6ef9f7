"""Load the model and the engine that runs it, as the settings say."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil
from msgspec import structs

from appliance.device import cpus, profile
from appliance.device.profile import DeviceProfile
from appliance.device.sensors import memory
from appliance.engines import registry
from appliance.engines.compiled_files import CompiledFiles
from appliance.engines.openvino import OpenVINOEngine
from appliance.errors import ApplianceError, EngineError, ModelError
from appliance.flow.core_boost import CoreBoost
from appliance.flow.crops.crops import Crops
from appliance.flow.inference import Inference, Network
from appliance.flow.pace import Pace
from appliance.flow.scene_gate import SceneGate
from appliance.flow.sizes import Sizes
from appliance.governor.ladder import make_ladder
from appliance.governor.room import Room
from appliance.models import active, bundle
from appliance.models.bundle import Bundle
from appliance.ports import Clock, Engine
from appliance.service.from_settings import USUAL_IMAGE, full_limits
from appliance.settings.schema import Settings
from appliance.timeline import Mark, unmarked
from appliance.values import ModelInfo, Size
from appliance.vision import letterbox
from appliance.vision.admission import Admission
from appliance.vision.decoder import Decoder

log = logging.getLogger(__name__)


def load_network(settings: Settings, prepare: bool = True, mark: Mark = unmarked) -> Network:
    """Load the model and create the engine that runs it. Raises ModelError or EngineError.

    `prepare`: compile for the usual camera shape now, so that the first frame does not wait. `mark`: called after each
    step.
    """
    try:
        return _load(settings, prepare, mark)
    except ApplianceError:
        raise
    except Exception as error:  # unexpected, from an engine's library or a model
        log.error("loading %s failed", settings.model.name, exc_info=error)
        raise EngineError(f"{settings.model.name} cannot be loaded: {type(error).__name__}: {error}") from error


def _load(settings: Settings, prepare: bool, mark: Mark) -> Network:
    found = bundle.read(Path(settings.model.dir) / settings.model.name)
    any_size = keeps_any_size(settings)
    mark("model checked")
    engine = registry.create(
        settings.engine.kind,
        found.network_for(registry.find(settings.engine.kind).reads),
        sizes=usual_sizes(settings, found),
        device=settings.engine.device,
        precision=settings.engine.precision,
        threads=settings.engine.threads or cpus.restricted_to(),
        hint=_hint(settings, any_size),
        cache=_compiled(settings),
        server=settings.engine.server,
        server_model=settings.engine.server_model,
        server_ca_file=settings.engine.server_ca_file,
        server_timeout_s=settings.engine.server_timeout_s,
    )
    mark("engine")
    with ExitStack() as failed:
        failed.callback(engine.close)  # or its threads, connections and memory stay
        network = _network_of(settings, found, engine, any_size)
        if prepare:
            compiled = engine.prepare(network.sizes.best(USUAL_IMAGE, settings.flow.max_side))
            mark("compiled" if compiled else "compiled before")
        failed.pop_all()
        return network


def _network_of(settings: Settings, found: Bundle, engine: Engine, any_size: bool) -> Network:
    reader = found.reader(settings.model.iou, settings.model.max_detections)
    info = ModelInfo(found.name, engine.name, engine.device, found.precision or engine.precision, found.classes)
    crops = settings.flow.crops == "auto"
    sizes = Sizes(engine, found.stride, found.fixed_size, most=settings.engine.sizes + crops, any_size=any_size)
    return Network(info, engine, reader, sizes, found.placing, forget=_forget_of(engine, settings))


def load_to_serve(settings: Settings, prepare: bool = True, mark: Mark = unmarked) -> Network:
    """Load as `load_network` does, with OpenVINO on the CPU as a stand-in where another engine cannot run the model or
    has to be built for this device first. Faults of the model itself fail in OpenVINO too.
    """
    try:
        return load_network(settings, prepare, mark)
    except (EngineError, ModelError) as error:
        if settings.engine.kind == "openvino":
            raise
        stand_in = structs.replace(settings.engine, kind="openvino", device="CPU", precision="")
        network = load_network(structs.replace(settings, engine=stand_in), prepare, mark)
        return replace(network, lacks=error.with_traceback(None))  # a traceback would keep the other engine's memory


def compile_ahead(settings: Settings) -> int:
    """Compile the networks that a start of the service needs, and those of sizes that cameras used before.

    Returns how many; 0: the engine keeps none. Raises ModelError or EngineError.
    """
    network = load_network(settings)
    engine = network.engine
    try:
        if not isinstance(engine, OpenVINOEngine):
            return 0
        if network.sizes.any_size:
            engine.prepare(None)
        return engine.prepare_as_before()
    finally:
        engine.close()


def keeps_any_size(settings: Settings) -> bool:
    """Whether to keep a network for any input size, in addition to the one for the size in use.

    Only OpenVINO needs a second one for that.
    """
    choice = settings.engine.any_size
    if settings.engine.kind != "openvino" or choice == "on":
        return True
    if choice == "off":
        return False
    return settings.flow.crops == "auto" or not memory.is_small(memory.read(memory.find(), psutil.Process()).group)


def _hint(settings: Settings, any_size: bool) -> str:
    """How networks for a fixed size run frames. `auto` needs the network for any size to run one frame on all cores.

    Without it, all cores run each frame: every further frame in parallel needs about 20 MB.
    """
    if settings.engine.hint != "auto":
        return settings.engine.hint
    return "throughput" if any_size else "latency"


def usual_sizes(settings: Settings, found: Bundle) -> tuple[Size, ...]:
    """The input sizes of 16:9 cameras on the governor's ladder, largest first."""
    if found.fixed_size is not None:
        return (found.fixed_size,)
    sides = (step.limits.max_side for step in make_ladder(full_limits(settings)).steps)
    return tuple(dict.fromkeys(letterbox.input_size(USUAL_IMAGE, side, found.stride) for side in sides))


def in_force(settings: Settings) -> Settings:
    """The settings with the model that was activated last."""
    return with_model(settings, active.read(Path(settings.model.dir), settings.model.name).name)


def with_model(settings: Settings, name: str) -> Settings:
    """The settings with another model."""
    return structs.replace(settings, model=structs.replace(settings.model, name=name))


def inference_of(
    settings: Settings,
    network: Network,
    clock: Clock,
    admission: Admission | None = None,
    decoder: Decoder | None = None,
) -> Inference:
    """Create the inference of frames with this network.

    `admission`, `decoder`: the process's, shared by all its networks.
    """
    flow = settings.flow
    gate = SceneGate(flow.refresh_s, flow.gate_audits) if flow.scene_gate else None
    core_boost = CoreBoost(clock) if settings.engine.hint == "auto" and network.sizes.any_size else None
    return Inference(
        network,
        clock=clock,
        gate=gate,
        core_boost=core_boost,
        admission=admission or Admission(Room()),
        decoder=decoder,
        crops=Crops(network.placing) if settings.flow.crops == "auto" else None,
    )


def known_costs(settings: Settings, network: Network | None) -> DeviceProfile | None:
    """What `appliance bench` measured on this device with this model; None: it has not run."""
    if network is None:
        return None
    path = profile.path_in(Path(settings.model.dir), network.info.name)
    return profile.read(path, profile.subject_of(network.info))


def learn_first_cost(settings: Settings, network: Network | None, known: DeviceProfile | None, pace: Pace) -> None:
    """Start with the measured cost of a frame where it is known, so that the first cameras get a pace that holds."""
    rung = known.cost(settings.flow.max_side) if known else None
    if network is not None and rung is not None:
        pace.learn(network.engine.slots, rung.infer_ms / 1000)


def _compiled(settings: Settings) -> Path | None:
    """The folder of compiled networks; None: they are not kept."""
    if not settings.engine.cache:
        return None
    own = os.environ.get("CACHE_DIRECTORY")  # systemd's CacheDirectory=
    return Path(own.partition(":")[0]) / "compiled" if own else Path(settings.model.dir) / ".compiled"


def _forget_of(engine: Engine, settings: Settings) -> Callable[[], None] | None:
    """A function that removes OpenVINO's compiled networks; None: another engine, or nothing is kept."""
    folder = _compiled(settings)
    return CompiledFiles(folder).clear if engine.name == "openvino" and folder is not None else None
