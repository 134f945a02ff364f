"""Beat's settings: it reads the clock's rows and sends tasks by name.

So it loads no app but the one that keeps those rows: the others would cost it memory and time.
"""

from nvr_project.settings import *  # noqa: F403

INSTALLED_APPS = ["django_celery_beat"]
