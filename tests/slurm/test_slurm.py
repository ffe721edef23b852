"""Sweeps and single runs under a real Slurm of four virtual nodes: to the end, preempted, requeued, with
a node that dies, at the time limit, cancelled and submitted again, one job started twice. Whatever
happens, every run ends with the state of one that was left alone, and no run is done twice.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any, ClassVar

from cluster import Cluster, missing, wait_until

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("TETHER_PROGRAM", ROOT / "build/release/tether"))
PATIENCE = 300.0  # seconds; a loaded machine is slow

TINY = """
name = "tiny"
base = "{base}"
[set]
model.hidden = "4x0e+4x1o"
data.train = 60
data.batch = 16
data.validation = 24
data.test = 24
train.epochs = 100000
train.steps = {steps}
train.evaluate_every = 25
train.equivariance_samples = 1
log.every = 10
log.checkpoint_every_steps = 20
log.checkpoint_every_s = 0
[grid]
{grid}
"""


class Under(unittest.TestCase):
    """One cluster for all tests of the class; every test has its own folder."""

    cluster: ClassVar[Cluster]

    @classmethod
    def setUpClass(cls) -> None:
        if not PROGRAM.exists():
            raise unittest.SkipTest(f"{PROGRAM} is not built")
        if reason := missing():
            raise unittest.SkipTest(reason)
        cls.cluster = Cluster()
        cls.addClassCleanup(cls.cluster.stop)
        cls.cluster.start()

    def setUp(self) -> None:
        roomy = os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 1 << 30
        self.folder = Path(tempfile.mkdtemp(prefix="tether-test-", dir="/dev/shm" if roomy else None))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(self.empty_queue)
        self.site()

    def empty_queue(self) -> None:
        self.cluster.call(["scancel", "--user", str(os.getuid())], check=False)
        wait_until(lambda: not self.cluster.queue(), PATIENCE, "an empty queue")

    def site(self, **values: str) -> None:
        lines = {"TETHER_SBATCH": "(--partition=main --time=30)", "TETHER_RANK_CPUS": "1", **values}
        (self.folder / "site.sh").write_text("".join(f"{key}={value}\n" for key, value in lines.items()))

    def tether(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run([str(PROGRAM), *words], env=self.cluster.environment, capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        if code is not None:
            self.assertEqual(done.returncode, code, f"{words}: {done.stderr}{done.stdout}")
        return done

    def plan(self, steps: int, grid: str) -> Path:
        sweep = self.folder / "sweep"
        (self.folder / "sweep.toml").write_text(
            TINY.format(base=ROOT / "jobs/nbody/segnn_ace.toml", steps=steps, grid=grid))
        self.tether("sweep", "plan", str(self.folder / "sweep.toml"), "--out", str(sweep), "--bench-steps", "0")
        return sweep

    def submit(self, sweep: Path, *more: str) -> str:
        return self.tether("sweep", "submit", str(sweep), "--site", str(self.folder / "site.sh"), *more).stdout

    def status(self, sweep: Path) -> dict[str, Any]:
        return dict(json.loads(self.tether("sweep", "status", str(sweep), "--json").stdout))

    def logs(self, sweep: Path) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')}"
                         for path in sorted((sweep / "logs").glob("*")))

    def state_of(self, folder: Path) -> tuple[str, int]:
        run = json.loads(self.tether("status", str(folder), "--json").stdout)[0]
        return str(run["status"]), int(run["step"])

    def wait_for_end(self, sweep: Path, seconds: float = PATIENCE) -> dict[str, Any]:
        wait_until(lambda: not self.cluster.queue(), seconds, f"the queue to empty\n{self.cluster.queue()}")
        return self.status(sweep)

    def wait_for_step(self, run: Path, step: int) -> None:
        def passed() -> bool:
            marks = [int(path.name[5:-5]) for path in (run / "checkpoint").glob("step-*.ckpt")]
            return bool(marks) and max(marks) >= step
        wait_until(passed, PATIENCE, f"a checkpoint beyond step {step} in {run}")

    def expect_as_alone(self, sweep: Path, now: dict[str, Any], only: int = 1000) -> None:
        """All complete, and equal to the same jobs trained without Slurm."""
        self.assertEqual(now["counts"]["complete"], len(now["runs"]), json.dumps(now, indent=1) + self.logs(sweep))
        for run in now["runs"][:only]:
            alone = self.folder / "alone" / run["id"]
            self.tether("train", f"{run['folder']}/job.toml", "--runs", str(alone), "--threads", "1")
            one, = alone.iterdir()
            self.assertEqual(self.result(Path(run["folder"])), self.result(one), run["name"])

    def result(self, run: Path) -> tuple[str, ...]:
        """state_sha256 and all rows that may not depend on where it ran."""
        import h5py  # noqa: PLC0415
        import numpy as np  # noqa: PLC0415
        with h5py.File(run / "run.h5", "r", swmr=True) as file:
            out = [str(file["/live/state"][0]["state_sha256"])]
            for table in ("/train", "/constraint", "/eval/validation", "/eval/test", "/symmetry"):
                for name in sorted(file[table]):
                    if name not in ("wall_s", "site"):
                        out.append(f"{table}/{name}: {np.asarray(file[table][name]).tobytes().hex()}")
            return tuple(out)


class Sweeps(Under):
    def test_twelve_runs_on_four_nodes_to_the_end(self) -> None:
        sweep = self.plan(60, 'method.name = ["strict", "ace"]\nseed = [1, 2, 3, 4, 5, 6]')
        told = self.submit(sweep, "--at-once", "8")
        self.assertRegex(told, r"^job \d+: 12 runs")
        self.assertIn("nothing to submit", self.submit(sweep))  # all are queued
        now = self.wait_for_end(sweep)
        self.expect_as_alone(sweep, now, only=2)
        self.assertEqual([run["attempts"] for run in now["runs"]], [1] * 12)
        self.assertIn("nothing to submit", self.submit(sweep))
        nodes = set(re.findall(r" on (node\d):", self.logs(sweep)))
        self.assertGreater(len(nodes), 0)
        self.assertLessEqual(nodes, set(self.cluster.nodes))

    def test_cancelled_in_the_middle_and_submitted_again(self) -> None:
        sweep = self.plan(150, "seed = [1, 2, 3, 4, 5, 6, 7, 8]")
        self.submit(sweep, "--at-once", "2")
        wait_until(lambda: self.status(sweep)["counts"]["complete"] >= 2, PATIENCE, "two complete runs")
        self.assertIn("cancelled 1 jobs", self.tether("sweep", "cancel", str(sweep)).stdout)
        wait_until(lambda: not self.cluster.queue(), PATIENCE, "an empty queue")
        stopped = self.status(sweep)
        self.assertEqual(stopped["counts"]["queued"] + stopped["counts"]["running"] + stopped["counts"]["failed"], 0)
        complete = {run["id"] for run in stopped["runs"] if run["state"] == "complete"}
        self.assertLess(len(complete), 8, "nothing was left to cancel")
        self.assertRegex(self.submit(sweep), rf"^job \d+: {8 - len(complete)} runs")
        now = self.wait_for_end(sweep)
        self.expect_as_alone(sweep, now, only=4)
        for run in now["runs"]:
            if run["id"] in complete:
                self.assertEqual(run["attempts"], 1)

    def test_more_runs_than_an_array_takes(self) -> None:
        cluster = self.cluster
        conf = cluster.root / "slurm.conf"
        conf.write_text(conf.read_text().replace("MaxArraySize=1001", "MaxArraySize=4"))
        self.addCleanup(lambda: (conf.write_text(conf.read_text().replace("MaxArraySize=4", "MaxArraySize=1001")),
                                 cluster.call(["scontrol", "reconfigure"])))
        cluster.call(["scontrol", "reconfigure"])
        if "MaxArraySize            = 4" not in cluster.call(["scontrol", "show", "config"]):
            self.skipTest("this Slurm does not take a new MaxArraySize while it runs")
        sweep = self.plan(20, "seed = [1, 2, 3, 4, 5]")
        told = self.submit(sweep)
        self.assertEqual(told.count("job "), 2, told)
        self.assertEqual(self.wait_for_end(sweep)["counts"]["complete"], 5, self.logs(sweep))

    def test_a_run_that_fails_is_not_put_back(self) -> None:
        sweep = self.plan(40, "primal.lr = [1e-3, 1e6]")
        self.submit(sweep)
        now = self.wait_for_end(sweep)
        self.assertEqual([run["state"] for run in now["runs"]], ["complete", "failed"], self.logs(sweep))
        self.assertEqual((now["runs"][1]["attempts"], now["runs"][1]["exit_code"]), (1, 12))
        self.assertIn("primal.lr", now["runs"][1]["message"])
        self.assertIn("nothing to submit", self.submit(sweep))
        self.tether("sweep", "retry", str(sweep), "2")
        self.assertRegex(self.submit(sweep), r"^job \d+: 1 runs")
        self.assertEqual(self.wait_for_end(sweep)["runs"][1]["attempts"], 2)

    def test_bad_input_is_told_before_anything_is_submitted(self) -> None:
        sweep = self.plan(40, "seed = [1]")
        site = str(self.folder / "site.sh")
        def refused(*words: str, said: str, code: int = 2) -> None:
            done = self.tether("sweep", "submit", *words, code=code)
            self.assertIn(said, done.stderr)
            self.assertEqual(done.stdout, "")
            self.assertEqual([path.name for path in (sweep / "submissions").iterdir() if path.name != "lock"], [])
            self.assertEqual(self.cluster.queue(), [])
        refused(str(sweep), "--site", "/no/site.sh", said="site file /no/site.sh does not exist")
        refused(str(sweep), "--site", site, "--", "--partition=nope", said="partition")
        refused(str(sweep), "--site", site, "--", "--tiem=1", said="tiem")
        refused("/no/such/sweep", "--site", site, said="/no/such/sweep")
        refused(str(self.folder / "sweep.toml"), "--site", site, said="sweep plan")
        (self.folder / "site.sh").write_text("if [\n")
        refused(str(sweep), "--site", site, said="site.sh")
        self.site()
        without = {**self.cluster.environment, "PATH": "/usr/bin-without-slurm:/bin-without"}
        done = subprocess.run([str(PROGRAM), "sweep", "submit", str(sweep), "--site", site], env=without, text=True,
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("no Slurm on this machine", done.stderr)
        with (self.folder / "sweep.toml").open("a") as file:
            file.write("# a thought\n")
        refused(str(sweep), "--site", site, said="changed after freezing")
        self.assertRegex(self.submit(sweep, "--as-frozen"), r"^job \d+: 1 runs")


class Interrupted(Under):
    def begin(self, steps: int = 1200, *more: str, **site: str) -> tuple[Path, Path, str]:
        """A sweep of one run under way: sweep, run folder, job id."""
        self.site(**site)
        sweep = self.plan(steps, "seed = [1]")
        job = self.submit(sweep, *more).split()[1].rstrip(":")
        run = Path(self.status(sweep)["runs"][0]["folder"])
        self.wait_for_step(run, 40)
        return sweep, run, job

    def end(self, sweep: Path, attempts: int) -> None:
        now = self.wait_for_end(sweep, 2 * PATIENCE)
        self.expect_as_alone(sweep, now)
        self.assertEqual(now["runs"][0]["attempts"], attempts, self.logs(sweep))
        self.assertIn("going on from step", self.logs(sweep))

    def test_requeued_by_hand(self) -> None:
        sweep, _, job = self.begin()
        self.cluster.call(["scontrol", "requeue", f"{job}_0"])
        self.end(sweep, 2)

    def test_preempted(self) -> None:
        sweep, _, _ = self.begin(2500, TETHER_SBATCH="(--partition=low --time=30)")
        high = self.cluster.call(["sbatch", "--parsable", "--partition=main", "--nodes=4", "--exclusive", "--output=/dev/null",
                                  "--wrap", "sleep 1"]).strip()
        wait_until(lambda: not any(line.startswith(high) for line in self.cluster.queue()), PATIENCE, "the urgent job")
        self.end(sweep, 2)

    def test_a_rank_is_killed(self) -> None:
        sweep, run, _ = self.begin(TETHER_NODES="2")
        os.kill(int(json.loads((run / "lease").read_text())["pid"]), signal.SIGKILL)
        self.end(sweep, 2)

    def test_a_node_dies(self) -> None:
        sweep, _, job = self.begin()
        node = self.cluster.call(["squeue", "-h", "-j", job, "-o", "%N"]).strip()
        self.cluster.kill_node(node)
        self.addCleanup(self.cluster.start_node, node)
        self.end(sweep, 2)

    def test_the_time_limit_comes_near(self) -> None:
        # Slurm sends the signal up to a minute early: at once, for a limit of a minute.
        sweep, _, _ = self.begin(1_000_000, "--", "--time=1", TETHER_SIGNAL_BEFORE="45")
        wait_until(lambda: self.status(sweep)["runs"][0]["attempts"] >= 2, PATIENCE, "the second attempt")
        self.assertIn("told to checkpoint and stop", self.logs(sweep))
        self.assertIn("checkpointed: back into the queue", self.logs(sweep))
        self.tether("sweep", "cancel", str(sweep))
        self.assertEqual(self.wait_for_end(sweep)["counts"]["failed"], 0)

    def test_one_job_started_twice(self) -> None:
        """As after a crash of slurmctld: the same script with the same job id, while the first copy works."""
        sweep, run, job = self.begin(1_000_000)
        environment = {**self.cluster.environment, "SLURM_JOB_ID": job, "SLURM_ARRAY_JOB_ID": job,
                       "SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_NODELIST": "node1", "SLURM_RESTART_COUNT": "0"}
        self.site(TETHER_LAUNCHER="mpirun", TETHER_MPIRUN_FLAGS="(--oversubscribe --bind-to none --mca plm isolated --mca ras simulator)")
        copy = self.folder / "copy"  # a launcher that needs no allocation
        copy.mkdir()
        (copy / "mpirun").write_text('#!/bin/bash\nwhile [ "$1" != -n ]; do shift; done; shift 2; exec "$@"\n')
        (copy / "mpirun").chmod(0o755)
        environment["PATH"] = f"{copy}:{environment['PATH']}"
        log = sweep / "logs" / f"slurm-{job}_0.out"
        with log.open("a") as out:
            second = subprocess.run(["bash", str(ROOT / "slurm/run.sbatch"), "--site", str(self.folder / "site.sh"),
                                     "--tether", str(PROGRAM), "--sweep", str(sweep), "--submission", "0001"],
                                    env=environment, stdout=out, stderr=out, timeout=PATIENCE, check=False)
        self.assertEqual(second.returncode, 2, log.read_text())
        self.assertIn("is being written by", log.read_text())
        self.assertIn("refused", log.read_text())
        now = self.status(sweep)["runs"][0]
        self.assertEqual((now["state"], now["failures"]), ("running", 0))
        step = int(self.state_of(run)[1])
        self.wait_for_step(run, step + 20)  # the first copy goes on
        self.assertEqual(len(self.cluster.queue()), 1)
        self.tether("sweep", "cancel", str(sweep))
        wait_until(lambda: not self.cluster.queue(), PATIENCE, "an empty queue")
        self.assertIn(self.status(sweep)["runs"][0]["state"], ("stopped", "interrupted"))


class Shapes(Under):
    """One run on several nodes, by both launchers, with a coordinator of its own, with local data."""

    def single(self, *, ranks: int, **site: str) -> None:
        self.site(**site)
        sweep = self.plan(40, "seed = [1]")
        job = str(next((sweep / "runs").iterdir()) / "job.toml")
        submit = [str(ROOT / "slurm/submit"), "--site", str(self.folder / "site.sh"), "--tether", str(PROGRAM), "--runs",
                  str(self.folder / "runs"), job]
        self.cluster.call(submit)
        wait_until(lambda: not self.cluster.queue(), PATIENCE, "the run")
        log = "".join(path.read_text(errors="replace") for path in (self.folder / "runs").glob("slurm-*.out"))
        run, = (path for path in (self.folder / "runs").iterdir() if path.is_dir())
        self.assertEqual(self.state_of(run), ("complete", 40), log)
        self.tether("train", job, "--runs", str(self.folder / "alone"), "--threads", "1")
        one, = (self.folder / "alone").iterdir()
        self.assertEqual(self.result(run), self.result(one))
        import h5py  # noqa: PLC0415
        with h5py.File(run / "run.h5", "r", swmr=True) as file:
            self.assertEqual(int(file["/meta"].attrs["ranks"]), ranks)
        self.cluster.call(submit)  # again: recognised
        wait_until(lambda: not self.cluster.queue(), PATIENCE, "the second submission")
        log = "".join(path.read_text(errors="replace") for path in (self.folder / "runs").glob("slurm-*.out"))
        self.assertIn("this run is complete", log)

    def test_srun_on_two_nodes(self) -> None:
        self.single(ranks=4, TETHER_NODES="2", TETHER_NODE_RANKS="2")

    def test_mpirun_on_two_nodes(self) -> None:
        self.single(ranks=2, TETHER_NODES="2", TETHER_LAUNCHER="mpirun")

    def test_dedicated_coordinator_by_srun(self) -> None:
        self.single(ranks=2, TETHER_NODES="2", TETHER_COORDINATOR="dedicated")

    def test_dedicated_coordinator_by_mpirun(self) -> None:
        self.single(ranks=2, TETHER_NODES="2", TETHER_COORDINATOR="dedicated", TETHER_LAUNCHER="mpirun")

    def test_local_data_and_threads(self) -> None:
        self.single(ranks=1, TETHER_RANK_CPUS="2", TETHER_LOCAL_DATA=f"'{self.folder}/disk-$SLURMD_NODENAME'")
        copies = list(self.folder.glob("disk-node*/tether-data-*/*"))
        self.assertEqual(len(copies), 1)


if __name__ == "__main__":
    unittest.main()
