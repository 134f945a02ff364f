"""Who asks to join, and what a person answers.

A request is the newest key that a device was given and that waits. A device that was never let in
waits as a whole; of a known one only the keys that are newer than the newest approved one, because
an older one is what a camera asked for in an earlier life. Nothing here takes a key away that a
person has approved, so whoever asks with a known camera's MAC costs that camera nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Count, F, IntegerField, Min, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from devices.exceptions import UnknownDevice
from devices.models import Device, DeviceEvent, DeviceKey, Enrolment, TelemetrySample
from devices.reports import record_event
from devices.services import approve

# A flood of made-up MACs that was refused is remembered no further than this.
MAX_REFUSED = 500


@dataclass(frozen=True, slots=True)
class Request:
    """One device that asks, with the key that a person was shown."""

    device_pk: int
    key_pk: int


def requests() -> QuerySet[Device]:
    """Devices that wait for an answer, newest request first, with what is known of the request:
    `key_pk`, `asked_at`, `asked_from`, `first_asked_at`, `ask_count`, `address_count`, and of a
    known camera `rssi_dbm`, its signal when it was heard last.
    """
    usable = DeviceKey.objects.usable().filter(device=OuterRef("pk")).order_by("-pk")
    approved = usable.filter(enrolment=Enrolment.APPROVED).values("pk")[:1]
    heard = TelemetrySample.objects.filter(device=OuterRef("pk"), rssi_dbm__isnull=False)
    rows = Device.objects.filter(removing_since=None).annotate(
        key_pk=Subquery(usable.values("pk")[:1]),
        _newest=Subquery(usable.values("enrolment")[:1]),
        _approved=Coalesce(Subquery(approved), 0, output_field=IntegerField()),
    )
    waiting = rows.filter(
        Q(enrolment=Enrolment.PENDING, key_pk__isnull=False) | Q(_newest=Enrolment.PENDING)
    )
    asked = DeviceKey.objects.usable().filter(
        Q(device__enrolment=Enrolment.PENDING) | Q(pk__gt=OuterRef("_approved")),
        device=OuterRef("pk"),
    )
    total = asked.order_by().values("device")
    return waiting.annotate(
        asked_at=Subquery(usable.values("created_at")[:1]),
        asked_from=Subquery(usable.values("issued_to")[:1]),
        first_asked_at=Subquery(total.annotate(of=Min("created_at")).values("of")),
        ask_count=Subquery(total.annotate(of=Count("pk")).values("of")),
        address_count=Subquery(total.annotate(of=Count("issued_to", distinct=True)).values("of")),
        rssi_dbm=Subquery(heard.order_by("-at").values("rssi_dbm")[:1]),
    ).order_by(F("key_pk").desc())


def refused() -> QuerySet[Device]:
    """Devices that were told no, the last one first, with `refused_at`."""
    revoked = DeviceKey.objects.filter(device=OuterRef("pk")).order_by(F("revoked_at").desc())
    rows = Device.objects.refused().annotate(refused_at=Subquery(revoked.values("revoked_at")[:1]))
    return rows.order_by(F("refused_at").desc(), "-pk")


def approve_requests(wanted: Iterable[Request]) -> int:
    """How many were let in, each with the key that was shown; those that are gone are left out."""
    count = 0
    for request in wanted:
        try:
            approve(device_pk=request.device_pk, key_pk=request.key_pk)
        except UnknownDevice:
            continue
        count += 1
    return count


def refuse(*, device_pks: Iterable[int] | None = None, up_to_key: int | None = None) -> int:
    """How many devices got the answer no: their keys that wait are revoked.

    A new device gets no more keys until it is readmitted. A known one keeps its approved keys and
    may ask again, as it may be the camera that lost power. Give either the devices, or the newest
    key that the person has seen: everything that asked until then, and nothing later.
    """
    waiting = DeviceKey.objects.usable().filter(
        Q(enrolment=Enrolment.PENDING) | Q(device__enrolment=Enrolment.PENDING)
    )
    if up_to_key is not None:
        waiting = waiting.filter(pk__lte=up_to_key)
    else:
        waiting = waiting.filter(device__in=list(device_pks or ()))
    with transaction.atomic():
        chosen = list(waiting.values_list("device", flat=True).distinct().order_by())
        waiting.update(revoked_at=timezone.now())
        for device_pk in chosen:
            record_event(device_pk=device_pk, kind=DeviceEvent.Kind.REGISTERED, detail="refused")
        surplus = list(refused().values_list("pk", flat=True)[MAX_REFUSED:])
        Device.objects.filter(pk__in=surplus).delete()
    return len(chosen)


def readmit(*, device_pks: Iterable[int]) -> int:
    """How many refused devices wait again, each with the newest key it was given."""
    with transaction.atomic():
        chosen = list(Device.objects.refused().filter(pk__in=list(device_pks)).select_for_update())
        for device in chosen:
            newest = device.keys.order_by("-pk").values("pk")[:1]
            DeviceKey.objects.filter(pk__in=list(newest.values_list("pk", flat=True))).update(
                revoked_at=None
            )
    return len(chosen)
