"""A real Slurm of several virtual nodes on this machine, without root and without touching its own
Slurm, if it has one: every file lies below one folder, every port follows from a base. Where Slurm is
missing and can be installed (root on Debian or its kin), it is; else `missing()` says why not.
"""
from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "squeue", "scontrol")
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
SBIN = "/usr/sbin:/sbin:/usr/local/sbin"


def which(program: str) -> str | None:
    return shutil.which(program, path=os.environ.get("PATH", "") + ":" + SBIN)


def missing() -> str:
    """'' where a Slurm can be started here, else the reason why not."""
    absent = [program for program in PROGRAMS if which(program) is None]
    if absent and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        # Daemons of the system are not wanted: the tests start their own.
        for words in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *PACKAGES]):
            subprocess.run(["apt-get", *words], env=environment, check=False, capture_output=True, timeout=300)
        absent = [program for program in PROGRAMS if which(program) is None]
    if absent:
        return f"no Slurm here, and it cannot be installed ({', '.join(absent)} missing; as root: apt-get install " \
               f"{' '.join(PACKAGES)})"
    return ""


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(0.1)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (OSError, IndexError):
        return False
    return state not in "ZX"


def everything_about(process: Path) -> str:
    """Environment, command line and open files; a step's daemon has overwritten the first two."""
    said = ""
    for name in ("environ", "cmdline"):
        try:
            said += (process / name).read_bytes().decode(errors="replace")
        except OSError:
            pass
    try:
        for link in (process / "fd").iterdir():
            said += os.readlink(link) + "\n"
    except OSError:
        pass
    return said


class Cluster:
    """node1 … nodeN of 8 processors each, partition `main` and, preempted by it, `low`."""

    def __init__(self, nodes: int = 4, max_array: int = 1001) -> None:
        self.nodes = [f"node{i + 1}" for i in range(nodes)]
        self.root = Path(tempfile.mkdtemp(prefix="tether-slurm-"))
        self.root.chmod(0o755)
        for name in ("munge", "state", "spool", "tmp", "run", "log"):
            (self.root / name).mkdir(mode=0o755)
        self.port = 20000 + (os.getpid() * 131) % 20000
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "OMPI_", "PMIX_"))},
            "SLURM_CONF": str(self.root / "slurm.conf"),
            "PATH": os.environ.get("PATH", "") + ":" + SBIN,
            "OMPI_MCA_btl": "self,tcp",
            "OMPI_MCA_btl_tcp_if_include": "lo",
            "OMPI_MCA_oob_tcp_if_include": "lo",
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        }
        self._write(max_array)

    def _write(self, max_array: int) -> None:
        user, host, root = getpass.getuser(), socket.gethostname().split(".")[0], self.root
        lines = f"""
ClusterName=fake
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={self.port}
AuthType=auth/munge
AuthInfo=socket={root}/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
TmpFS={root}/tmp/%n
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd.%n.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={root}/log/jobcomp.txt
SwitchType=switch/none
MpiDefault=none
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,default_queue_depth=1000,bf_min_age_reserve=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=5
MinJobAge=3600
MaxArraySize={max_array}
SlurmctldTimeout=30
SlurmdTimeout=10
BatchStartTimeout=10
MessageTimeout=10
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
"""
        for i, node in enumerate(self.nodes):
            lines += (f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={self.port + 101 + i} CPUs=8 "
                      "RealMemory=4000 State=UNKNOWN\n")
        lines += "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=10 GraceTime=0\n"
        lines += ("PartitionName=low Nodes=ALL Default=NO MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE "
                  "GraceTime=20\n")
        (root / "slurm.conf").write_text(lines)
        key = root / "munge" / "key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)

    def start(self) -> None:
        munge = self.root / "munge"
        self.call(["munged", f"--key-file={munge}/key", f"--socket={munge}/socket", f"--pid-file={munge}/pid",
                   f"--log-file={munge}/log", f"--seed-file={munge}/seed"])
        self.call(["slurmctld", "-f", self.environment["SLURM_CONF"]])
        for node in self.nodes:
            self.start_node(node)
        wait_until(lambda: len(self.call(["sinfo", "-h", "-N", "-p", "main", "-t", "idle"], check=False).split("\n")) - 1
                   == len(self.nodes), 60, "idle nodes")

    def start_node(self, node: str) -> None:
        (self.root / "spool" / node).mkdir(exist_ok=True)
        (self.root / "tmp" / node).mkdir(exist_ok=True)
        self.call(["slurmd", "-f", self.environment["SLURM_CONF"], "-N", node])

    def pid(self, daemon: str) -> int:
        return int((self.root / "run" / f"{daemon}.pid").read_text())

    def kill_node(self, node: str) -> None:
        """As if its power had gone: the daemon and everything it started, and no word to anybody."""
        pids = [self.pid(f"slurmd.{node}")]
        marks = (f"SLURMD_NODENAME={node}\0", f"{self.root}/spool/{node}", f"{self.root}/log/slurmd.{node}.log")
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and str(self.root) in (said := everything_about(entry)):
                pids += [int(entry.name)] if any(mark in said for mark in marks) else []
        for number in (signal.SIGSTOP, signal.SIGKILL):  # all at once: nobody is left to report the others' end
            for pid in pids:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass

    def call(self, words: list[str], check: bool = True, timeout: float = 60, **more: object) -> str:
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=timeout,
                              check=False, **more)  # type: ignore[call-overload]
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}{done.stdout}")
        return str(done.stdout)

    def queue(self) -> list[str]:
        return [line for line in self.call(["squeue", "-h", "-r", "-o", "%i %T"]).split("\n") if line]

    def stop(self) -> None:
        try:
            self.call(["scancel", "--user", getpass.getuser()], check=False)
            wait_until(lambda: not self.queue(), 30, "an empty queue")
        except (TimeoutError, RuntimeError, subprocess.TimeoutExpired):
            pass
        self.call(["scontrol", "shutdown"], check=False)
        pids = []
        for path in [*(self.root / "run").glob("*.pid"), self.root / "munge" / "pid"]:
            try:
                pids.append(int(path.read_text()))
            except (OSError, ValueError):
                pass  # it has ended meanwhile
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in pids:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass
            try:
                wait_until(lambda: not any(alive(pid) for pid in pids), 5, "daemons to end")
                break
            except TimeoutError:
                continue
        shutil.rmtree(self.root, ignore_errors=True)
