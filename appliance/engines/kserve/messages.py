"""The messages of KServe v2 over gRPC (Open Inference Protocol) that a client of one model needs.

They are described here, not generated: generated code fits one version of protobuf. Names and numbers of the fields are
the protocol's (https://github.com/kserve/open-inference-protocol); fields that are left out are skipped by protobuf.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SERVICE = "/inference.GRPCInferenceService/"

_TENSOR = (("name", 1, "string"), ("datatype", 2, "string"), ("shape", 3, "int64*"))
_MESSAGES = {
    "ModelMetadataRequest": (("name", 1, "string"), ("version", 2, "string")),
    "TensorMetadata": _TENSOR,
    "ModelMetadataResponse": (
        ("name", 1, "string"),
        ("platform", 3, "string"),
        ("inputs", 4, "TensorMetadata*"),
        ("outputs", 5, "TensorMetadata*"),
    ),
    "InferTensorContents": (("fp32_contents", 6, "float*"),),
    "InferInputTensor": _TENSOR,
    "InferRequestedOutputTensor": (("name", 1, "string"),),
    "InferOutputTensor": (*_TENSOR, ("contents", 5, "InferTensorContents")),
    "ModelInferRequest": (
        ("model_name", 1, "string"),
        ("model_version", 2, "string"),
        ("inputs", 5, "InferInputTensor*"),
        ("outputs", 6, "InferRequestedOutputTensor*"),
        ("raw_input_contents", 7, "bytes*"),
    ),
    "ModelInferResponse": (
        ("model_name", 1, "string"),
        ("outputs", 5, "InferOutputTensor*"),
        ("raw_output_contents", 6, "bytes*"),
    ),
}
"""Fields as (name, number, type); `*`: repeated."""


@dataclass(frozen=True, slots=True)
class Messages:
    """The classes of the messages that are sent and received."""

    metadata_request: Any
    metadata_response: Any
    infer_request: Any
    infer_response: Any


def load() -> Messages:
    """Make the classes, in a pool of their own. Raises ImportError without protobuf."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    field_of = descriptor_pb2.FieldDescriptorProto
    scalars = {
        "string": field_of.TYPE_STRING,
        "bytes": field_of.TYPE_BYTES,
        "int64": field_of.TYPE_INT64,
        "float": field_of.TYPE_FLOAT,
    }
    file = descriptor_pb2.FileDescriptorProto(name="appliance_kserve.proto", package="inference", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, written in fields:
            kind = written.rstrip("*")
            field = message.field.add(name=field_name, number=number)
            field.label = field_of.LABEL_REPEATED if written.endswith("*") else field_of.LABEL_OPTIONAL
            field.type = scalars.get(kind, field_of.TYPE_MESSAGE)
            if kind not in scalars:
                field.type_name = f".inference.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)

    def made(name: str) -> Any:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{name}"))

    return Messages(
        made("ModelMetadataRequest"),
        made("ModelMetadataResponse"),
        made("ModelInferRequest"),
        made("ModelInferResponse"),
    )
