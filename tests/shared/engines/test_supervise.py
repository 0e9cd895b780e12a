"""Real processes: whatever is killed, nothing is left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.engines.supervise import descendants, supervised
from tests.shared.engines.processes import alive, until, written_pids

# A command that ignores SIGTERM if told to, with a child in its group and one in a session of its own; each writes its pid.
FAMILY = """
import os, signal, subprocess, sys, time
stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN);" if sys.argv[2] == "stubborn" else ""
# one write a line: print may take two, and three processes share the file
write = "os.write({}, (str(os.getpid()) + chr(10)).encode())"
code = f"import os, signal, time; {stubborn} {write.format(1)}; time.sleep(3600)"
out = open(sys.argv[1], "a")
for session in (False, True):
    subprocess.Popen([sys.executable, "-c", code], stdout=out, start_new_session=session)
exec(code.replace(write.format(1), write.format(out.fileno())))
"""
# A worker: holds the pipe, and sleeps.
WORKER = """
import subprocess, sys, time
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, start_new_session=True)
print(child.pid, file=open(sys.argv[1], "a"), flush=True)
time.sleep(3600)
"""


def family(pids: Path, manner: str = "polite") -> list[str]:
    return supervised([sys.executable, "-c", FAMILY, str(pids), manner], grace=1.0)


def start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def all_gone(pids: list[int]) -> None:
    until(lambda: not any(alive(pid) for pid in pids), f"{pids} are gone")


@pytest.mark.parametrize("code", [0, 3])
def test_exit_code_is_the_commands(code):
    assert start(supervised([sys.executable, "-c", f"raise SystemExit({code})"])).wait(30) == code


def test_a_signals_code(tmp_path):
    process = start(family(tmp_path / "pids"))
    command = written_pids(tmp_path / "pids", 3)
    main = next(pid for pid in command if os.getsid(pid) == pid and os.getpgid(pid) == pid and descendants(pid))
    os.kill(main, signal.SIGKILL)
    assert process.wait(30) == 128 + signal.SIGKILL
    all_gone(command)


def test_a_missing_command():
    assert start(supervised(["/nonexistent/command"])).wait(30) == 127


def test_the_command_has_no_stdin():
    reads = supervised([sys.executable, "-c", "import sys; raise SystemExit(len(sys.stdin.read()))"])
    assert start(reads).wait(30) == 0


@pytest.mark.parametrize("manner", ["polite", "stubborn"])
def test_the_pipe_closes(tmp_path, manner):
    process = start(family(tmp_path / "pids", manner))
    pids = written_pids(tmp_path / "pids", 3)
    assert process.stdin
    process.stdin.close()
    process.wait(30)
    assert not any(alive(pid) for pid in pids)


def test_sigterm_is_passed_on(tmp_path):
    # the command says goodbye on SIGTERM, which SIGKILL would not let it
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *a: sys.exit(7)); print(flush=True); time.sleep(3600)"
    process = subprocess.Popen(
        supervised([sys.executable, "-c", code]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout
    process.stdout.readline()
    process.terminate()
    assert process.wait(30) == 7


@pytest.mark.parametrize("manner", ["polite", "stubborn"])
def test_the_worker_is_killed(tmp_path, manner):
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(tmp_path / "supervisor"), *family(tmp_path / "pids", manner)])
    pids = written_pids(tmp_path / "pids", 3) + written_pids(tmp_path / "supervisor", 1)
    worker.kill()
    worker.wait()
    all_gone(pids)


def test_the_worker_is_killed_and_another_holds_the_pipe(tmp_path):
    # a process that the worker forked has inherited the write end: the pipe stays open
    forking = WORKER.replace(
        "time.sleep(3600)",
        "import os\nif os.fork() == 0: print(os.getpid(), file=open(sys.argv[1], 'a'), flush=True)\ntime.sleep(3600)",
    )
    worker = subprocess.Popen([sys.executable, "-c", forking, str(tmp_path / "others"), *family(tmp_path / "pids")])
    pids = written_pids(tmp_path / "pids", 3)
    supervisor, fork = written_pids(tmp_path / "others", 2)
    worker.kill()
    worker.wait()
    all_gone([*pids, supervisor])
    assert alive(fork)
    os.kill(fork, signal.SIGKILL)


@pytest.mark.parametrize("victim", ["outer", "inner"])
@pytest.mark.parametrize("manner", ["polite", "stubborn"])
def test_a_supervisor_is_killed(tmp_path, victim, manner):
    process = start(family(tmp_path / "pids", manner))
    pids = written_pids(tmp_path / "pids", 3)
    inner = descendants(process.pid)[0]
    os.kill(process.pid if victim == "outer" else inner, signal.SIGKILL)
    all_gone([*pids, inner])
    process.wait(30)


def test_both_supervisors_are_killed(tmp_path):
    # the command goes with them; what it leaves in a session of its own is beyond reach, as it would be without us
    process = start(family(tmp_path / "pids"))
    pids = written_pids(tmp_path / "pids", 3)
    inner = descendants(process.pid)[0]
    main = next(pid for pid in pids if descendants(pid))
    os.kill(inner, signal.SIGSTOP)  # or it would act before it dies
    process.kill()
    os.kill(inner, signal.SIGKILL)
    all_gone([main])
    for pid in pids:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


def test_descendants_are_found_below_their_parents(tmp_path):
    process = start(family(tmp_path / "pids"))
    pids = written_pids(tmp_path / "pids", 3)
    assert set(pids) < set(descendants(process.pid))
    assert process.pid in descendants(os.getpid())
    assert process.stdin
    process.stdin.close()
    process.wait(30)
