"""The core's unit tests, each as a test of its own: C++ with the address and UB sanitizers."""

from __future__ import annotations

import subprocess

import pytest

from tests.firmware.build import Programs, unit_tests

LIMIT_S = 30


@pytest.mark.parametrize(("suite", "name"), unit_tests())
def test_it(programs: Programs, suite: str, name: str) -> None:
    done = subprocess.run(
        [programs.core_tests, suite, name],
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]


def test_no_unit_test_is_forgotten(programs: Programs) -> None:
    listed = subprocess.run(
        [programs.core_tests, "--list"], capture_output=True, text=True, check=True
    )
    built = sorted(tuple(line.split()) for line in listed.stdout.splitlines())
    assert built == sorted(unit_tests())
    assert len(built) > 60
