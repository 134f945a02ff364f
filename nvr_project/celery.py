"""The Celery application; tasks find it as the default app of this process."""

from __future__ import annotations

import logging
import os
from typing import Any

from celery import Celery, bootsteps
from django.conf import settings

from nvr_project import heartbeat

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nvr_project.settings")

log = logging.getLogger(__name__)


class Heartbeat(bootsteps.StartStopStep):
    """Touches the sign of life from the loop that takes tasks, so that a stuck one is noticed."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        heartbeat.touch()
        self.timer = consumer.timer.call_repeatedly(heartbeat.EVERY_S, heartbeat.touch)

    def stop(self, consumer: Any) -> None:
        del consumer
        self.timer.cancel()


class TakeOver(bootsteps.StartStopStep):
    """Queues again what a killed worker had taken and not finished.

    Redis keeps no connection with a taken task: others wait for the visibility timeout, an hour
    here. The private server has this one worker, so whatever is taken when it starts is orphaned.
    """

    requires = ("celery.worker.consumer.connection:Connection",)
    is_done = False  # steps start again after a lost connection: by then the tasks are our own

    def start(self, consumer: Any) -> None:
        if self.is_done or not settings.NVR.is_redis_private:
            return
        self.is_done = True
        with consumer.app.connection_for_write() as connection:
            channel = connection.default_channel
            tags = channel.client.zrange(channel.unacked_index_key, 0, -1)
            for tag in tags:
                channel.qos.restore_by_tag(tag)
        if tags:
            log.warning("%d tasks of a worker that was killed are queued again", len(tags))


app = Celery("roost")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["consumer"].update({Heartbeat, TakeOver})
app.set_default()
