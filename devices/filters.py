"""Filters of the list of cameras."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet
from django.utils import timezone

from devices.models import Device, Enrolment, Presence, Source, inactive_after


class DeviceFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter is not typed
    presence = django_filters.MultipleChoiceFilter(
        choices=Presence.choices, help_text="as last written down; may lag by seconds"
    )
    kind = django_filters.ChoiceFilter(choices=Device.Kind.choices)
    enrolment = django_filters.ChoiceFilter(choices=Enrolment.choices, method="by_enrolment")
    is_new = django_filters.BooleanFilter(
        method="by_newness", label="asked to join and was never let in"
    )
    is_inactive = django_filters.BooleanFilter(
        method="by_activity", label="unseen for NVR_INACTIVE_HOURS"
    )

    class Meta:
        model = Device
        fields = ("presence", "kind", "enrolment", "is_new", "is_inactive")

    def by_enrolment(self, rows: QuerySet[Device], name: str, value: str) -> QuerySet[Device]:
        """What the JSON says, which is more than the column of that name."""
        del name
        return rows.filter(Q(is_waiting=value == Enrolment.PENDING))

    def by_newness(self, rows: QuerySet[Device], name: str, value: bool) -> QuerySet[Device]:
        del name
        is_new = Q(enrolment=Enrolment.PENDING)
        return rows.filter(is_new if value else ~is_new)

    def by_activity(self, rows: QuerySet[Device], name: str, value: bool) -> QuerySet[Device]:
        del name
        unseen = Q(last_seen_at__lte=timezone.now() - inactive_after())
        return rows.filter(unseen if value else ~unseen)


class SourceFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter is not typed
    kind = django_filters.MultipleChoiceFilter(choices=Source.Kind.choices)

    class Meta:
        model = Source
        fields = ("device", "kind", "node", "is_enabled")
