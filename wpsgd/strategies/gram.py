"""Inner products of the nodes' models, exactly, for what a reduction costs.

Each node is sent one segment of every model, multiplies these, and the products are added up: a node sends
and receives its whole model once, where handing whole models round would take k times as much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wpsgd.requests import AllReduce, Node, Recv, Send, Tag, Vector

SEGMENT = Tag("segment of a model")


async def gram_of(node: Node, model: Vector) -> NDArray[np.float64]:
    """<w_i, w_j> for all nodes i, j in rank order, float64 of shape (k, k), the same bits on all nodes."""
    k, place = len(node.ranks), node.ranks.index(node.rank)
    ends = [len(model) * number // k for number in range(k + 1)]
    for number, rank in enumerate(node.ranks):
        if rank != node.rank:
            await Send(rank, SEGMENT, body=model[ends[number] : ends[number + 1]])
    parts = np.empty((k, ends[place + 1] - ends[place]), dtype=np.float64)
    parts[place] = model[ends[place] : ends[place + 1]]
    for number, rank in enumerate(node.ranks):
        if rank != node.rank:
            mail = await Recv(SEGMENT, source=rank)
            assert mail is not None
            parts[number] = mail.body
    # einsum, not a BLAS: the threads that one wakes would spin beside ranks that work
    products: NDArray[np.float64] = np.einsum("ij,kj->ik", parts, parts).ravel()
    await AllReduce(products)
    return products.reshape(k, k)
