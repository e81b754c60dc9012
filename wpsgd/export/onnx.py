"""A model for ONNX: one LinearClassifier node, perhaps a Normalizer before it, its protobuf written by hand.

Fields and their numbers: onnx.proto3 of ONNX, https://github.com/onnx/onnx; the operators: LinearClassifier
and Normalizer of ai.onnx.ml. Eighty numbers of a format that is frozen do not need a library of a hundred
megabytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.errors import DataError
from wpsgd.export.model import Model, listed, plain

VARINT, BYTES = 0, 2  # wire types
FLOAT, INT64, STRING = 1, 7, 8  # TensorProto.DataType
IR_VERSION, OPSET, ML_OPSET = 8, 15, 3
AttributeType = {"i": 2, "s": 3, "floats": 6, "ints": 7, "strings": 8}


INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def onnx_bytes(model: Model) -> bytes:
    """The model: input "X" float (n, features); outputs "label" (n,) and "scores" float (n, classes).

    Of two classes the scores are minus the decision value and the decision value. Weights become float32.
    Labels are int64 where they are whole numbers, whatever their type was, else texts. Raises DataError for
    labels that are neither.
    """
    coef, intercept = model.coef, model.intercepts
    if model.two:
        coef, intercept = np.vstack([-coef, coef]), np.concatenate([-intercept, intercept])
    whole = whole_labels(model.outcomes)
    labels = (
        _attribute("classlabels_ints", ints=whole)
        if whole is not None
        else _attribute("classlabels_strings", strings=_texts(model.outcomes))
    )
    rows = b"scaled" if model.unit_norm else b"X"
    classifier = [
        _attribute("coefficients", floats=coef.ravel()),
        _attribute("intercepts", floats=intercept),
        labels,
        _attribute("multi_class", i=0),
        _attribute("post_transform", s=b"NONE"),
    ]
    nodes = [_node(b"LinearClassifier", b"linear", [rows], [b"label", b"scores"], classifier)]
    if model.unit_norm:
        nodes.insert(0, _node(b"Normalizer", b"scale", [b"X"], [rows], [_attribute("norm", s=b"L2")]))
    graph = b"".join(
        [
            *(_field(1, node) for node in nodes),
            _field(2, b"WPSGDClassifier"),
            _field(11, _value("X", FLOAT, model.features)),
            _field(12, _value("label", STRING if whole is None else INT64)),
            _field(12, _value("scores", FLOAT, len(model.outcomes))),
        ]
    )
    opsets = (b"", OPSET), (b"ai.onnx.ml", ML_OPSET)
    head = _number(1, IR_VERSION) + _field(2, b"wpsgd") + _field(7, graph)
    return head + b"".join(_field(8, _field(1, domain) + _number(2, version)) for domain, version in opsets)


def onnx_note(model: Model) -> str:
    """What must be said of labels that ONNX gives otherwise than `predict` does, else an empty string."""
    labels = model.outcomes
    if labels.dtype.kind == "f" and whole_labels(labels) is None:
        return (
            f"classes {listed(labels)} are not whole numbers: ONNX has no such labels and gives them as texts"
        )
    return ""


def whole_labels(labels: NDArray[Any]) -> list[int] | None:
    """Labels as int64; None where they are something else. Raises DataError where int64 is too small."""
    if labels.dtype.kind not in "biuf" or not all(label == label // 1 for label in labels.tolist()):
        return None
    whole = [int(label) for label in labels.tolist()]
    large = next((label for label in whole if not INT64_MIN <= label <= INT64_MAX), None)
    if large is not None:
        raise DataError(f"class {large}: ONNX labels are 64-bit integers: encode the classes first")
    return whole


def _texts(labels: NDArray[Any]) -> list[bytes]:
    strange = next((one for one in labels.tolist() if not isinstance(one, str | float)), None)
    if strange is not None:
        raise DataError(f"class {strange!r}: ONNX labels are integers or texts: encode the classes first")
    return [plain(label).encode() for label in labels.tolist()]


def _node(
    kind: bytes, name: bytes, inputs: list[bytes], outputs: list[bytes], attributes: list[bytes]
) -> bytes:
    ends = [_field(1, one) for one in inputs] + [_field(2, one) for one in outputs]
    about = [_field(3, name), _field(4, kind), *(_field(5, one) for one in attributes)]
    return b"".join([*ends, *about, _field(7, b"ai.onnx.ml")])


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers take ten bytes
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | VARINT) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | BYTES) + _varint(len(content)) + content


def _attribute(
    name: str,
    *,
    i: int | None = None,
    s: bytes | None = None,
    floats: Any = None,
    ints: Iterable[int] | None = None,
    strings: Iterable[bytes] | None = None,
) -> bytes:
    head = _field(1, name.encode())
    if i is not None:
        return head + _number(3, i) + _number(20, AttributeType["i"])
    if s is not None:
        return head + _field(4, s) + _number(20, AttributeType["s"])
    if floats is not None:
        packed = struct.pack(f"<{len(floats)}f", *np.asarray(floats, dtype=np.float32).tolist())
        return head + _field(7, packed) + _number(20, AttributeType["floats"])
    if ints is not None:
        return head + _field(8, b"".join(map(_varint, ints))) + _number(20, AttributeType["ints"])
    each = b"".join(_field(9, text) for text in strings or ())
    return head + each + _number(20, AttributeType["strings"])


def _value(name: str, kind: int, columns: int | None = None) -> bytes:
    """A tensor of n rows, with so many columns or none."""
    dims = _field(1, _field(2, b"n"))
    if columns is not None:
        dims += _field(1, _number(1, columns))
    tensor = _field(1, _number(1, kind) + _field(2, dims))
    return _field(1, name.encode()) + _field(2, tensor)
