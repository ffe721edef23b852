"""Writes run files as the trainer does (same paths, attributes, SWMR format), with invented but plausible
courses, so that the analysis is tested in every state a run can be in without training anything.
"""
from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import h5py
import numpy as np

SITES = [f"layer{layer}.{part}" for layer in range(4) for part in ("message", "update")]
JOB = """schema_version = 1
name = "{name}"
seed = {seed}
[data]
set = "nbody"
file = "data/nbody.h5"
train = {train}
batch = 100
[model]
name = "segnn"
hidden = "32x0e+32x1o"
layers = 4
[method]
name = "{method}"
{constraint}[primal]
optimizer = "adam"
lr = 9e-4
[dual]
optimizer = "{dual}"
lr = {dual_lr}
[train]
epochs = {epochs}
evaluate_every = 5
[parallel]
lanes = 8
threads = {threads}
"""
PHASES = {"data": 0.02, "forward": 0.35, "backward": 0.6, "reduce": 0.02, "optimise": 0.03, "coordinator": 0.01,
          "evaluate": 0.08, "checkpoint": 0.005}
STATE = np.dtype([("status", "S16"), ("steps", "i8"), ("state_sha256", "S72"), ("projected_step", "i8"),
                  ("projected_validation", "f8"), ("projected_test", "f8"), ("relaxed_step", "i8"),
                  ("relaxed_validation", "f8"), ("relaxed_test", "f8")])


def course(method: str, seed: int, epochs: int, train: int = 3000, dual: str = "adam",
           dual_lr: float = 8e-4) -> dict[str, dict[str, np.ndarray]]:
    """Columns by table for a whole run of 30 steps an epoch."""
    random = np.random.default_rng([seed, len(method)])
    steps = np.arange(30, 30 * epochs + 1, 30)
    x = steps / steps[-1]
    branches = method != "strict"
    floor = {"strict": 5.6e-3, "ace": 3.9e-3, "ace-resilient": 4.2e-3, "free": 5.0e-3}[method]
    floor *= (3000 / train) ** 0.4 * (1 + 0.1 * np.log10(dual_lr / 8e-4) ** 2 * (method not in ("strict", "free")))
    loss = floor * (1 + 12 * np.exp(-7 * x)) * (1 + 0.04 * random.standard_normal(len(x)))
    sites = len(SITES) if branches else 0
    depth = np.arange(sites)
    damping = 0.0 if dual == "undamped" else 6.0
    gamma = (np.exp(-x[:, None] * (damping + 0.1 * damping * depth)) * np.cos(x[:, None] * (44 + depth))
             + 0.004 * random.standard_normal((len(x), sites)))
    if method == "free":
        gamma = np.ones_like(gamma)
    multiplier = 0.0 * gamma if method == "free" else 0.3 * np.cumsum(gamma, axis=0) / len(x) / (1 + depth)
    if method == "ace-resilient":
        multiplier = 0.2 * (1 - np.exp(-5 * x[:, None])) / (1 + depth) + 0.05 * np.abs(gamma)
    slack = 0.98 * multiplier if method == "ace-resilient" else np.full_like(multiplier, np.nan)
    every = slice(4, None, 5)
    at = steps[every]
    shift = 1 + 0.02 * random.standard_normal()
    projected = floor * shift * (1.05 + 12 * np.exp(-6 * x[every])) * (1 + 0.01 * random.standard_normal(len(at)))
    relaxed = projected * (0.97 + (0.1 * np.exp(-4 * x[every]) if branches else 0.03))
    violation = np.abs(gamma[every]).max(axis=1) if branches else np.zeros(len(at))
    rounding = 3e-7 * (1 + 0.2 * random.random(len(at)))
    total = 30 * 0.004
    timing = {phase: np.full(len(x), share * total) * (1 + 0.02 * random.random(len(x))) for phase, share in PHASES.items()}
    timing["total"] = sum(timing.values()) * 1.01
    return {
        "/train": {"step": steps, "epoch": steps / 30.0, "loss": loss, "learning_rate": np.full(len(x), 9e-4),
                   "gradient_norm": loss * 40, "wall_s": np.cumsum(timing["total"])},
        "/constraint": {"step": steps, "gamma": gamma, "lambda": multiplier, "slack": slack},
        "/eval/validation": {"step": at, "projected": projected, "relaxed": relaxed},
        "/eval/test": {"step": at, "projected": projected * 1.03, "relaxed": relaxed * 1.04},
        "/symmetry": {"step": at, "error_mean": rounding + 0.04 * violation, "error_max": rounding * 4 + 0.2 * violation,
                      "bound": rounding * 10 + 1.5 * violation, "projected_error_mean": rounding,
                      "projected_error_max": 4 * rounding},
        "/timing": {"step": steps, **timing},
    }


def best_of(tables: dict[str, dict[str, np.ndarray]], committed: dict[str, int]) -> dict[str, float]:
    out: dict[str, float] = {}
    rows = min(committed["/eval/validation"], committed["/eval/test"])
    for mode in ("projected", "relaxed"):
        validation = tables["/eval/validation"]
        at = int(np.argmin(validation[mode][:rows])) if rows else -1
        out[f"{mode}_step"] = int(validation["step"][at]) if rows else -1
        out[f"{mode}_validation"] = float(validation[mode][at]) if rows else float("nan")
        out[f"{mode}_test"] = float(tables["/eval/test"][mode][at]) if rows else float("nan")
    return out


def write_run(folder: Path, method: str = "ace", seed: int = 42, epochs: int = 100, status: str = "complete",
              done: float = 1.0, uncommitted: int = 0, live: bool = False, threads: int = 2, train: int = 3000, dual: str = "adam",
              dual_lr: float = 8e-4, outside: bool = False) -> Path:
    """A run's folder. done: part of the epochs behind it; uncommitted: rows written but not yet counted;
    live: a lease of this very process; outside: evaluated out of distribution too."""
    name = folder.name
    folder.mkdir(parents=True, exist_ok=True)
    tables = course(method, seed, epochs, train, dual, dual_lr)
    tables["/timing"] = {name: values if name == "step" else values * 2 / threads
                         for name, values in tables["/timing"].items()}
    if outside:
        tables["/eval/out_of_distribution"] = {name: values if name == "step" else 1.7 * values
                                               for name, values in tables["/eval/test"].items()}
    committed = {table: int(done * len(columns["step"])) for table, columns in tables.items()}
    best = best_of(tables, committed)
    steps = int(tables["/train"]["step"][committed["/train"] - 1]) if committed["/train"] else 0
    resilient = method == "ace-resilient"
    job = JOB.format(name=name, seed=seed, epochs=epochs, method="ace" if resilient else method, train=train,
                     threads=threads, dual=dual, dual_lr=dual_lr, constraint='constraint = "resilient"\n' if resilient else "")
    (folder / "job.toml").write_text(job)
    running = status == "running"
    with h5py.File(folder / "run.h5", "w", libver="latest") as file:
        meta = file.create_group("meta")
        facts = {"schema_version": 1, "tether_version": "0.1.0", "git_commit": "0123abc", "job": job,
                 "job_hash": f"{seed:064x}", "model": "segnn", "method": "ace" if resilient else method,
                 "metric": "mse", "data_sha256": "d" * 64, "seed": seed, "ranks": 1, "threads": threads,
                 "devices": "cpu", "hosts": "node7", "instruction_set": "avx2", "started": "2026-01-31T12:34:56Z",
                 "total_steps": 30 * epochs, "parameters_equivariant": 147424,
                 "parameters_free": 0 if method == "strict" else 96256, "status": "running" if running else status,
                 "steps": 0 if running else steps, "state_sha256": "" if running else f"{seed:064x}"}
        for key, value in facts.items():
            meta.attrs[key] = value
        sites = SITES if method != "strict" else []
        file.create_dataset("/constraint/site", data=np.array(sites, dtype=object), dtype=h5py.string_dtype())
        for table, columns in tables.items():
            rows = committed[table] + uncommitted
            for column, values in columns.items():
                limit = (None, *values.shape[1:])
                data = file.create_dataset(f"{table}/{column}", data=values[:rows], maxshape=limit, chunks=True)
                data.attrs["units"] = "s" if table == "/timing" and column != "step" else "1"
                data.attrs["long_name"] = column
        record = file.create_group("eval/best")
        for key, value in best.items():
            record.attrs[key] = value if not running else (-1 if key.endswith("step") else float("nan"))
        state = np.zeros(1, STATE)
        state[0] = (status.encode(), steps, f"{seed:064x}".encode(), *best.values())
        file.create_dataset("/live/state", data=state)
        counters = file.create_dataset("/live/committed", data=np.array(list(committed.values())))
        counters.attrs["tables"] = np.array(list(committed), dtype=object)
    if live:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        (folder / "lease").write_text(
            '{"host": "%s", "boot": "%s/%s", "pid": %d, "process_start": %s, "job": "", "token": "t", "heartbeat": 1}'
            % (os.uname().nodename, boot, os.readlink("/proc/self/ns/pid"), os.getpid(), fields[19]))
    return folder


def write_plan(folder: Path, name: str, runs: dict[str, dict[str, str]]) -> Path:
    """A frozen sweep as `tether sweep plan` leaves it: manifest, and a folder with a job for every run."""
    planned = []
    for number, (run, labels) in enumerate(runs.items()):
        (folder / "runs" / run).mkdir(parents=True)
        job = JOB.format(name=run, seed=int(labels.get("seed", 42)), epochs=5, train=3000, threads=1, constraint="", dual="adam", dual_lr=8e-4,
                         method=labels.get("method.name", "ace"))
        (folder / "runs" / run / "job.toml").write_text(job)
        planned.append({"id": f"{number:04d}", "folder": run, "name": run, "hash": "0" * 64, "model": "segnn",
                        "method": labels.get("method.name", "ace"), "labels": labels, "changes": labels,
                        "job_sha256": hashlib.sha256(job.encode()).hexdigest(),
                        "cost": {"steps": 150, "step_s": 0.004, "seconds": 0.6, "memory_mb": 120.0}})
    manifest = {"schema_version": 1, "kind": "sweep", "name": name, "created": "2026-01-31T12:00:00Z",
                "tether_version": "0.1.0", "git_commit": "0123abc", "retries": 3, "sources": [], "runs": planned}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1))
    return folder
