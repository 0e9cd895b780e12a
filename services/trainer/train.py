"""The training process: `accelerate launch -m services.trainer.train JOB.json`.

Events go to stdout, one JSON line each; everything else goes to stderr. On SIGTERM, which is also what the supervisor sends
when the worker is gone, it saves a checkpoint after the step in hand and exits with `STOPPED`. Only one process at a time trains in
a folder of checkpoints.
"""

import fcntl
import os
import signal
import sys
from pathlib import Path

from services.trainer.checkpoints import full_disk
from services.trainer.job import REFUSED, STOPPED, Event, Failed, Job, Refused, Stopped


def main() -> int:
    """Reads the job's file, trains, and returns the exit code."""
    events = os.dup(1)
    os.dup2(2, 1)  # what a library prints is for the log
    stopped = False

    def tell(event: Event) -> None:
        nonlocal stopped
        stopped = stopped or isinstance(event, Stopped)
        try:
            os.write(events, f"{event.model_dump_json()}\n".encode())
        except BrokenPipeError:
            return  # the worker is gone: its supervisor ends the training

    # imported late: the signal handlers should stand before torch takes its seconds
    from services.trainer.stopping import Stopping

    stopping = Stopping()
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.tell())
    job = Job.model_validate_json(Path(sys.argv[1]).read_bytes())
    rank = int(os.environ.get("RANK", "0"))

    from services.trainer.data import DataError

    try:
        lock = open(Path(job.checkpoints) / f"lock-{rank}", "w")  # noqa: SIM115 (held until the process ends)
        fcntl.flock(lock, fcntl.LOCK_EX)  # a predecessor that lost its lease may still be saving
        from services.trainer.training import train

        train(job, stopping, tell)
    except DataError as error:
        if rank == 0:
            tell(Refused(message=str(error)))
        return REFUSED
    except Exception as error:
        if full := full_disk(error, Path(job.output).parent, Path(job.checkpoints)):
            tell(Failed(message=full))
        raise
    return STOPPED if stopped else 0


if __name__ == "__main__":
    sys.exit(main())
