"""Nodes, the machines that run the capture agent: their keys, and which cameras these open.

Part of `devices.sources`, which is what other apps import.
"""

from __future__ import annotations

from functools import partial

from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from devices.exceptions import BadMac, NodeInUse, NodeNameTaken, UnknownNode
from devices.keys import is_key, key_hash, new_key, normalise_mac
from devices.models import Node, Source
from devices.push import close_connection
from devices.services import Identity

LOCAL_NAME = "This recorder"


def local_node() -> Node:
    """The recorder's own agent; until that has started once, nobody holds its key."""
    node, _ = Node.objects.get_or_create(
        is_local=True, defaults={"name": LOCAL_NAME, "key_hash": key_hash(new_key())}
    )
    return node


def local_node_key() -> str:
    """A fresh key for the recorder's own agent, which keeps it in memory only.

    The one before stops working: an agent that was forgotten is locked out by its successor.
    """
    key = new_key()
    Node.objects.filter(pk=local_node().pk).update(key_hash=key_hash(key))
    return key


def create_node(*, name: str) -> tuple[Node, str]:
    """A node on another machine, and its key in clear, which is shown this once.

    Raises NodeNameTaken.
    """
    local_node()  # so that its name is taken
    key = new_key()
    try:
        with transaction.atomic():
            return Node.objects.create(name=name, key_hash=key_hash(key)), key
    except IntegrityError as error:
        raise NodeNameTaken("There is a node of this name already") from error


def renew_key(*, node_pk: int) -> str:
    """A new key in clear for a node on another machine, shown this once; the one before stops
    working, and connections made with it are closed after the commit.

    Raises UnknownNode, and NodeInUse for the recorder's own, which has a new one at every start.
    """
    node = node_by(node_pk=node_pk)
    if node.is_local:
        raise NodeInUse("This is the recorder's own node; it has a new key at every start")
    key = new_key()
    with transaction.atomic():
        Node.objects.filter(pk=node.pk).update(key_hash=key_hash(key))
        for device_pk in node.sources.values_list("device", flat=True):
            shut = partial(
                close_connection, device_pk, key_pk=-node.pk, reason="its node has a new key"
            )
            transaction.on_commit(shut)
    return key


def delete_node(*, node_pk: int) -> None:
    """Its key stops working at once. Raises UnknownNode, and NodeInUse (nothing done) for one that
    cameras hang on and for the recorder's own.
    """
    node = node_by(node_pk=node_pk)
    if node.is_local:
        raise NodeInUse("This is the recorder's own node; it stays")
    try:
        node.delete()
    except ProtectedError as error:
        raise NodeInUse("Cameras come in through this node; move or delete them first") from error


def node_by(*, node_pk: int) -> Node:
    """Raises UnknownNode."""
    node = Node.objects.filter(pk=node_pk).first()
    if node is None:
        raise UnknownNode("There is no such node")
    return node


def node_of(key: str) -> Node | None:
    """Looked up by the key's hash, so the time it takes says nothing about a key that is near."""
    return Node.objects.filter(key_hash=key_hash(key)).first() if is_key(key) else None


def identify_for_node(key: str, mac: str) -> Identity | None:
    """The camera of this MAC, if it is one that the node behind the key shall bring.

    `None` for every other, also for one that is switched off or being deleted. One indexed read.
    """
    if not is_key(key):
        return None
    try:
        wanted = normalise_mac(mac)
    except BadMac:
        return None
    source = (
        Source.objects.select_related("device")
        .filter(node__key_hash=key_hash(key), device__mac=wanted)
        .filter(is_enabled=True, device__removing_since=None)
        .first()
    )
    if source is None:
        return None
    device = source.device
    return Identity(
        device_pk=device.pk,
        key_pk=-source.node_id,
        mac=device.mac,
        directory=device.directory,
        name=device.name,
        config=dict(device.config),
        is_pending=False,
        is_agent=True,
    )
