"""Section `[engine]`: how the model is executed."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from appliance.settings.requirements import FORM


class EngineSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Inference engine."""

    kind: Annotated[
        str,
        Meta(
            pattern=r"^[a-z][a-z0-9_-]*$",
            extra={FORM: "the name of an engine in lower case, such as openvino"},
            description="Inference engine: openvino, onnxruntime, mnn, tensorrt, kserve, or one that another package "
            "provides.",
        ),
    ] = "openvino"
    device: Annotated[
        str,
        Meta(
            pattern=r"^(CPU|GPU(\.\d+)?|NPU|AUTO(:[A-Z.,0-9]+)?)$",
            extra={FORM: "CPU, GPU, NPU, AUTO, or a form of them such as GPU.1 or AUTO:GPU,CPU"},
            description="Inference device: CPU, GPU, NPU or AUTO.",
        ),
    ] = "CPU"
    precision: Annotated[
        Literal["", "f32", "f16", "bf16"],
        Meta(description="Numeric precision of inference. Empty: the fastest that the hardware supports."),
    ] = ""
    threads: Annotated[
        int, Meta(ge=0, le=256, description="CPU threads for inference. 0: all CPUs available to the service.")
    ] = 0
    hint: Annotated[
        Literal["auto", "throughput", "latency"],
        Meta(
            description="throughput: several frames in parallel. latency: all cores on one frame. "
            "auto: all cores on a frame only while no other waits, which needs any_size; latency without it."
        ),
    ] = "auto"
    any_size: Annotated[
        Literal["auto", "on", "off"],
        Meta(
            description="OpenVINO: a second network, for frames that are alone and pictures of any shape (50 to 100 "
            "MB). off: a picture of another shape is fitted into the size in use, where it has less detail. auto: off "
            "where the machine has less than 1.5 GB of memory or the service's limit is below 800 MB, unless "
            "flow.crops is on."
        ),
    ] = "auto"
    sizes: Annotated[
        int,
        Meta(
            ge=1,
            le=32,
            description="Number of input sizes to keep compiled, about 40 MB each. "
            "Raise it for cameras with different aspect ratios.",
        ),
    ] = 1
    cache: Annotated[
        bool, Meta(description="Cache compiled models on disk (.compiled in model.dir, 100 MB) for a faster start.")
    ] = True
    server: Annotated[
        str,
        Meta(
            pattern=r"^(grpcs?://[A-Za-z0-9_.:\[\]-]{1,250}:[0-9]{1,5})?$",
            extra={FORM: "a server such as grpc://10.0.0.9:9000, or grpcs:// for TLS"},
            description="Inference server of the engine kserve (KServe v2 over gRPC). With grpc:// pictures travel "
            "unencrypted: use it in a closed network only.",
        ),
    ] = ""
    server_model: Annotated[
        str, Meta(max_length=256, description="The model's name on the inference server. Empty: model.name.")
    ] = ""
    server_ca_file: Annotated[
        str, Meta(description="Certificates to trust for grpcs://. Empty: those of the system.")
    ] = ""
    server_timeout_s: Annotated[
        float,
        Meta(
            ge=0.05,
            le=10,
            description="After this time without an answer of the inference server, frames are inferred on this device "
            "until it answers again, s. 1 is many times what a server in the same network takes. Below "
            "flow.deadline_s, so that no frame is lost.",
        ),
    ] = 1.0
