"""Filters of the recordings list."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet

from recordings.models import Recording
from recordings.serializers import MAX_MS, MAX_PK
from recordings.timeline import from_ms


class RecordingFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter is not typed
    """`start_ms` and `end_ms` select what has video in `[start_ms, end_ms)`."""

    device = django_filters.NumberFilter(field_name="device_id", min_value=1, max_value=MAX_PK)
    date = django_filters.DateFilter()
    start_ms = django_filters.NumberFilter(
        method="after", min_value=0, max_value=MAX_MS, label="epoch milliseconds"
    )
    end_ms = django_filters.NumberFilter(
        method="before", min_value=0, max_value=MAX_MS, label="epoch milliseconds"
    )
    is_locked = django_filters.BooleanFilter()

    class Meta:
        model = Recording
        fields = ("device", "date", "start_ms", "end_ms", "is_locked")

    def after(self, rows: QuerySet[Recording], name: str, value: float) -> QuerySet[Recording]:
        del name
        return rows.filter(ended_at__gt=from_ms(int(value)))

    def before(self, rows: QuerySet[Recording], name: str, value: float) -> QuerySet[Recording]:
        del name
        return rows.filter(started_at__lt=from_ms(int(value)))
