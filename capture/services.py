"""What may be asked of capture by a person: to try a source before it is saved."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from capture import source_tests, tasks
from capture.exceptions import TooManyTests
from capture.models import SourceTest
from devices import sources
from devices.models import Node
from devices.sealing import seal

logger = logging.getLogger(__name__)

MAX_AT_ONCE = 4


def begin_test(*, wish: sources.Wish, node: Node | None, person: Any) -> SourceTest:
    """The row; a worker carries the test out as soon as this is committed. `node` as the source's.

    Raises TooManyTests.
    """
    local = sources.local_node()
    with transaction.atomic():
        # A lock under which tests are counted; this row is there for ever.
        Node.objects.select_for_update().get(pk=local.pk)
        if SourceTest.objects.under_way(timezone.now()).count() >= MAX_AT_ONCE:
            raise TooManyTests(f"{MAX_AT_ONCE} tests are under way; wait some seconds")
        test = SourceTest.objects.create(
            person_id=person.pk,
            is_local=node is None or node.is_local,
            kind=wish.kind,
            url=wish.url,
            username=wish.username,
            sealed_password=seal(wish.password),
            rate_fps=wish.rate_fps,
            transport=wish.transport,
            wants_audio=wish.wants_audio,
            stage="Waiting for a worker",
        )
        transaction.on_commit(partial(_enqueue, test))
    return test


def _enqueue(test: SourceTest) -> None:
    try:
        tasks.run_source_test.apply_async(
            (test.pk,), retry=False, expires=source_tests.LIMIT_SECONDS
        )
    except (OperationalError, OSError) as error:
        logger.warning("The broker does not answer, so no source can be tested: %s", error)
        text = "The test could not be started: the message broker does not answer."
        source_tests.fail(test, "failed", text)
