"""A fitted classifier as an ONNX model: one LinearClassifier node, its protobuf written by hand.

Fields and their numbers: onnx.proto3 of ONNX, https://github.com/onnx/onnx; the operator: LinearClassifier of
ai.onnx.ml. Eighty numbers of a format that is frozen do not need a library of a hundred megabytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import numpy as np

VARINT, BYTES = 0, 2  # wire types
FLOAT, INT64, STRING = 1, 7, 8  # TensorProto.DataType
IR_VERSION, OPSET, ML_OPSET = 8, 15, 3
AttributeType = {"i": 2, "s": 3, "floats": 6, "ints": 7, "strings": 8}


def onnx_bytes(model: Any) -> bytes:
    """The model: input "X" float (n, features); outputs "label" (n,) and "scores" float (n, classes).

    Of two classes the scores are minus the decision value and the decision value. Weights become float32.
    """
    coef, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:
        coef, intercept = np.vstack([-coef, coef]), np.concatenate([-intercept, intercept])
    whole = np.asarray(model.classes_).dtype.kind in "iub"
    labels = (
        _attribute("classlabels_ints", ints=[int(label) for label in model.classes_])
        if whole
        else _attribute("classlabels_strings", strings=[str(label).encode() for label in model.classes_])
    )
    node = b"".join(
        [
            _field(1, b"X"),
            _field(2, b"label"),
            _field(2, b"scores"),
            _field(3, b"linear"),
            _field(4, b"LinearClassifier"),
            _field(5, _attribute("coefficients", floats=coef.ravel())),
            _field(5, _attribute("intercepts", floats=intercept)),
            _field(5, labels),
            _field(5, _attribute("multi_class", i=0)),
            _field(5, _attribute("post_transform", s=b"NONE")),
            _field(7, b"ai.onnx.ml"),
        ]
    )
    graph = b"".join(
        [
            _field(1, node),
            _field(2, b"WPSGDClassifier"),
            _field(11, _value("X", FLOAT, model.n_features_in_)),
            _field(12, _value("label", INT64 if whole else STRING)),
            _field(12, _value("scores", FLOAT, len(model.classes_))),
        ]
    )
    opsets = (b"", OPSET), (b"ai.onnx.ml", ML_OPSET)
    head = _number(1, IR_VERSION) + _field(2, b"wpsgd") + _field(7, graph)
    return head + b"".join(_field(8, _field(1, domain) + _number(2, version)) for domain, version in opsets)


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
