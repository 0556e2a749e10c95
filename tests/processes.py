"""Two real processes of one training (gloo, on CPUs).

`accelerate launch --cpu --num_processes 2` starts one process only, so the processes are started here, with the
variables that every launcher sets.
"""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path


class Two:
    """Two processes of `script MODEL OUT ARGUMENTS`, with more of the environment if wanted."""

    def __init__(self, script: str, model: Path, out: Path, *arguments: str, env: dict[str, str] | None = None):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        out.mkdir(parents=True, exist_ok=True)
        path = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
        self.logs = [out.parent / f"{out.name}-{rank}.log" for rank in range(2)]
        self.processes = []
        for rank, log in enumerate(self.logs):
            own = {
                "PYTHONPATH": path, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1",
                "ACCELERATE_USE_CPU": "true",
            }  # fmt: skip
            command = [sys.executable, script, str(model), str(out), *arguments]
            with log.open("w") as file:
                self.processes.append(
                    subprocess.Popen(command, env=os.environ | (env or {}) | own, stdout=file, stderr=file)
                )

    def said(self) -> str:
        return "\n".join(log.read_text()[-2000:] for log in self.logs)

    def ended(self) -> bool:
        return any(process.poll() is not None for process in self.processes)

    def kill(self) -> None:
        for process in self.processes:
            process.kill()  # SIGKILL
        for process in self.processes:
            process.wait()

    def wait(self) -> None:
        """Until both are done; when one fails, the other would wait for it, so it is killed."""
        deadline = time.monotonic() + 600
        try:
            while any(process.poll() is None for process in self.processes) and time.monotonic() < deadline:
                if any(process.poll() for process in self.processes):
                    break
                time.sleep(0.05)
            codes = [process.poll() for process in self.processes]
        finally:
            self.kill()
        assert codes == [0, 0], self.said()
