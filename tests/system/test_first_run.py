"""First-run set-up: what is made, with which rights, and that a second run changes nothing."""

from __future__ import annotations

import ast
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command

from nvr_project.environment import read_environment
from system import datadir, first_run
from system.exceptions import SetupFailed
from tests.stack import PROJECT_DIR

BOOTSTRAP = PROJECT_DIR / "requirements" / "bootstrap.py"


def test_the_data_directory_is_made_private_and_kept(tmp_path: Path) -> None:
    data = tmp_path / "deep" / "data"
    datadir.prepare(data, data / "run")
    key = (data / "secret.key").read_text()
    assert len(key) > 60
    assert data.stat().st_mode & 0o777 == 0o700
    assert (data / "secret.key").stat().st_mode & 0o777 == 0o600
    (data / "spool" / "segment.mkv").touch()
    data.chmod(0o755)
    datadir.prepare(data, data / "run")
    assert (data / "secret.key").read_text() == key
    assert (data / "spool" / "segment.mkv").exists()
    assert data.stat().st_mode & 0o777 == 0o700, "video is private"


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SetupFailed, match=r"/sys/roost cannot be used \(.+\)"):
        datadir.prepare(Path("/sys/roost"), tmp_path)


def test_only_one_recorder_may_use_it(tmp_path: Path) -> None:
    first = datadir.claim(tmp_path, patience_s=0)
    with pytest.raises(SetupFailed, match="already running"):
        datadir.claim(tmp_path, patience_s=0)
    os.close(first)


def test_it_waits_for_the_children_of_a_killed_supervisor(tmp_path: Path) -> None:
    child = os.open(tmp_path / "children.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(child, fcntl.LOCK_EX)
    with pytest.raises(SetupFailed, match="earlier run"):
        datadir.claim(tmp_path, patience_s=0.2)
    os.close(child)


@pytest.mark.django_db
def test_the_first_administrator_gets_a_random_password_once() -> None:
    made = first_run.make_first_administrator()
    assert made is not None
    person = User.objects.get(username=made.username)
    assert person.check_password(made.password)
    assert person.is_superuser
    assert len(made.password) >= 20
    assert first_run.make_first_administrator() is None
    assert set(Group.objects.values_list("name", flat=True)) >= {"viewer", "operator"}


@pytest.mark.django_db
def test_a_chosen_password_is_used_and_not_repeated(settings: object) -> None:
    settings.NVR = read_environment(  # type: ignore[attr-defined]
        {"NVR_ADMIN_USERNAME": "keeper", "NVR_ADMIN_PASSWORD": "chosen by a person"}
    )
    made = first_run.make_first_administrator()
    assert made == first_run.Administrator("keeper", "")
    assert User.objects.get(username="keeper").check_password("chosen by a person")


def test_every_name_of_the_machine_is_in_the_certificate() -> None:
    names = first_run.certificate_names(("cams.example.org",))
    assert "127.0.0.1" in names.addresses
    assert {"localhost", "cams.example.org"} <= set(names.host_names)
    assert any(name.endswith(".local") for name in names.host_names)


@pytest.mark.django_db
def test_static_files_are_collected_once(
    monkeypatch: pytest.MonkeyPatch, settings: object, tmp_path: Path
) -> None:
    settings.STATIC_ROOT = tmp_path  # type: ignore[attr-defined]
    calls: list[str] = []
    monkeypatch.setattr(first_run, "call_command", lambda name, **_options: calls.append(name))
    first_run.collect_static_files()
    first_run.collect_static_files()
    assert calls == ["collectstatic"]
    monkeypatch.setattr(first_run, "version", lambda _package: "a newer one")
    first_run.collect_static_files()
    assert calls == ["collectstatic", "collectstatic"]


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


# --- make run -----------------------------------------------------------------------------------


def test_the_bootstrap_says_that_a_python_is_too_old(tmp_path: Path) -> None:
    text = BOOTSTRAP.read_text().replace("OLDEST = (3, 11, 2)", "OLDEST = (4, 0, 0)")
    assert "(4, 0, 0)" in text
    (tmp_path / "bootstrap.py").write_text(text)
    done = run_bootstrap(tmp_path / "bootstrap.py", "run")
    assert done.returncode == 2
    assert "Python 3.11.2 or newer is needed" in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_bootstrap_trusts_no_other_pip(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements"
    requirements.mkdir()
    for name in ("bootstrap.py", "base.txt", "dev.txt"):
        (requirements / name).write_bytes((BOOTSTRAP.parent / name).read_bytes())
    (requirements / "pip-26.3-py3-none-any.whl").write_bytes(b"not the wheel")
    done = run_bootstrap(requirements / "bootstrap.py", "base")
    assert done.returncode == 2
    assert "is damaged" in done.stderr


def test_the_bootstrap_reads_on_an_older_python() -> None:
    """It has to be able to say that a Python is too old; 3.7 is Debian 10's."""

    ast.parse(BOOTSTRAP.read_text(), feature_version=(3, 7))


def run_bootstrap(path: Path, wanted: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(path), wanted],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
