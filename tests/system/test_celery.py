"""What happens to tasks when a worker or the broker falls. A real Valkey, a real killed process."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import redis
from celery import Celery
from django.conf import settings

from nvr_project import broker
from nvr_project.celery import TakeOver, app
from nvr_project.environment import Environment
from tests.stack import running_broker

# Takes one task from the queue, says so, and waits to be killed before it could finish.
WORKER_TO_KILL = """
import sys, time
from kombu import Connection
with Connection(sys.argv[1], transport_options={"visibility_timeout": 3600}) as connection:
    with connection.SimpleQueue("celery") as queue:
        message = queue.get(timeout=10)
        print("taken", flush=True)
        time.sleep(600)
"""


@pytest.fixture
def private_broker(tmp_path: Path) -> Iterator[Environment]:
    with running_broker(tmp_path) as env:
        yield env


def test_a_task_of_a_killed_worker_is_queued_again_at_once(private_broker: Environment) -> None:
    url = f"redis+socket://{private_broker.broker_socket}"
    celery = Celery("test", broker=url)
    celery.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    celery.send_task("some.task", args=[7])
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER_TO_KILL, url], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "taken\n"
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    worker.stdout.close()
    client = redis.Redis(unix_socket_path=str(private_broker.broker_socket))
    assert client.llen("celery") == 0, "nobody has it now"

    consumer = SimpleNamespace(app=celery)
    step = TakeOver(consumer)
    step.start(consumer)
    assert client.llen("celery") == 1
    assert client.hlen("unacked") == 0
    client.lpop("celery")
    client.hset("unacked", "tag", "[]")
    step.start(consumer)  # after a lost connection: what is taken by then is our own
    assert client.hlen("unacked") == 1
    client.close()
    celery.close()


def test_every_scheduled_task_exists() -> None:
    app.loader.import_default_modules()
    scheduled = {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()}
    assert scheduled
    assert scheduled <= set(app.tasks)


def test_tasks_travel_as_json_and_are_acknowledged_late() -> None:
    assert app.conf.accept_content == ["json"]
    assert app.conf.task_serializer == "json"
    assert app.conf.task_acks_late
    longest = app.conf.broker_transport_options["visibility_timeout"]
    limits = [task.time_limit or 0 for task in app.tasks.values()]
    assert max(limits) < longest, "or a long task starts twice"


def test_the_private_server_listens_on_no_port(private_broker: Environment) -> None:
    arguments = broker.argv("valkey-server", private_broker)
    assert arguments[arguments.index("--port") + 1] == "0"
    assert private_broker.broker_socket.stat().st_mode & 0o077 == 0
    assert private_broker.run_dir.stat().st_mode & 0o077 == 0
