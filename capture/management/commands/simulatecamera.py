"""Simulated ESP32-CAMs that speak the real wire protocol to a recorder."""

from __future__ import annotations

import asyncio
import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from capture import simulator
from capture.simulator_camera import Behaviour


class Command(BaseCommand):
    help = "Run simulated cameras: register, dial in over TLS, stream, obey, sleep."
    requires_system_checks: list[str] = []  # no database, no web: it must start fast

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--count", type=int, default=1, help="how many cameras (1)")
        add("--url", default=f"https://127.0.0.1:{settings.NVR_PORT}", help="the recorder")
        add("--fps", type=float, help="frames a second; given here, the recorder cannot change it")
        add("--size", help="SVGA, VGA, … or WxH; given here, the recorder cannot change it")
        add("--seconds", type=float, default=0, help="stop after so long (0: until stopped)")
        add("--motion", action="store_true", help="stream 30 s, sleep, wake: a battery camera")
        add("--rest", type=float, default=20, help="seconds of sleep, about (20)")
        add("--ca", type=Path, default=settings.PKI_DIR / "ca.pem", help="the recorder's CA")
        add("--mac-prefix", default=simulator.MAC_PREFIX, help="first five pairs of the MACs")
        add(
            "--state-file",
            type=Path,
            default=settings.DATA_DIR / "simulated-cameras.json",
            help="where keys are kept between runs",
        )
        add("--report", type=Path, help="write the figures as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            order = self._order(options)
            report = asyncio.run(simulator.run(order, on_start=self._greet(order)))
        except simulator.SimulatorError as error:
            raise CommandError(str(error)) from error
        if path := options["report"]:
            path.write_text(json.dumps(report, indent=1))
        self._print(report)

    def _order(self, options: dict[str, Any]) -> simulator.Order:
        if options["count"] < 1:
            raise simulator.SimulatorError("The count must be at least 1.")
        fps = options["fps"]
        if fps is not None and not 0.1 <= fps <= simulator.MAX_FPS:
            raise simulator.SimulatorError(f"The frame rate must be 0.1 to {simulator.MAX_FPS}.")
        return simulator.Order(
            url=options["url"],
            ca=options["ca"],
            state_file=options["state_file"],
            count=options["count"],
            behaviour=Behaviour(
                size=simulator.parse_size(options["size"]) if options["size"] else None,
                fps=fps,
                has_motion_cycle=options["motion"],
                rest_seconds=options["rest"],
            ),
            seconds=options["seconds"],
            mac_prefix=simulator.check_prefix(options["mac_prefix"]),
        )

    def _greet(self, order: simulator.Order) -> Any:
        def greet(numbers: list[int]) -> None:
            names = ", ".join(map(str, numbers))
            self.stdout.write(f"Simulated cameras {names} dial in to {order.url}. Ctrl-C stops.")
            self.stdout.flush()

        return greet

    def _print(self, report: dict[str, Any]) -> None:
        for camera in report["cameras"]:
            runs = camera["runs"]
            span = f"counter {runs[0]['first']}-{runs[-1]['last']}" if runs else "never connected"
            self.stdout.write(
                f"camera {camera['number']} {camera['mac']}: {camera['sent']} frames, {span}, "
                f"{camera['skipped']} skipped, {max(0, camera['connections'] - 1)} reconnects"
            )
        share = 100 * report["cpu_seconds"] / max(report["seconds"], 0.001)
        self.stdout.write(
            f"{report['sent']} frames and {report['bytes'] / 1e6:.1f} MB in {report['seconds']:.1f} s, "
            f"{share:.0f} % of a core"
        )
