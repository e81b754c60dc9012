"""What every runtime does with mail: matching, copying, counting bytes."""

from __future__ import annotations

from math import inf
from typing import Any

from wpsgd.errors import ProtocolError
from wpsgd.requests import Compute, Mail, Recv, Sparse, Vector


def refuse_off_clock(request: Compute | Recv, off_clock: bool) -> None:
    """Raises ProtocolError for a deadline that a clock which stands still will never reach."""
    if off_clock and request.deadline < inf:
        raise ProtocolError(
            f"{type(request).__name__} with a deadline inside OffClock: clocks stand still there"
        )


def fits(mail: Mail, request: Recv) -> bool:
    """Whether mail is what a Recv asks for."""
    return request.tag in (None, mail.tag) and request.source in (None, mail.source)


def unshared(body: Vector | Sparse | None) -> Vector | Sparse | None:
    """A body that its sender can no longer change: read-only arrays are shared, writable ones copied."""
    if body is None:
        return None
    if isinstance(body, Sparse):
        return Sparse(_frozen(body.indices), _frozen(body.values))
    whole: Vector = _frozen(body)
    return whole


def gathered(value: Any) -> Any:
    """What all get of a gathered value: pairs as of `unshared`, anything else as it is."""
    return unshared(value) if isinstance(value, Sparse) else value


def _frozen(array: Any) -> Any:
    if not array.flags.writeable:
        return array
    copied = array.copy()
    copied.flags.writeable = False
    return copied


def placed(mail: Mail, into: Vector | None) -> Mail:
    """The mail, its dense body copied into `into` where there is one."""
    if into is None or mail.body is None or isinstance(mail.body, Sparse):
        return mail
    into[:] = mail.body
    return mail._replace(body=into)


def nbytes_of(body: Vector | Sparse | None) -> int:
    """Bytes of a body on the wire."""
    if isinstance(body, Sparse):
        return body.indices.nbytes + body.values.nbytes
    return 0 if body is None else body.nbytes
