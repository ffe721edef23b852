"""Times whole training steps of the rivals and of `tether bench`, in turns, and prints one table per job.

The machine is shared and noisy, so every variant lives in a process of its own and all of them, and tether, take
short turns in every round; the table gives median and minimum over all steps. Called by `run`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

import parity
from rival import Variant, work
from tasks import TASKS

ROOT = Path(__file__).resolve().parents[3]
TUNED = "max-autotune-no-cudagraphs"
SEGNN = [
    Variant("published", "index", "eager"),
    Variant("lean", "complete", "eager"),
    Variant("published", "index", "default"),
    Variant("published", "complete", "default"),
    Variant("lean", "index", "default"),
    Variant("lean", "complete", "default"),
    Variant("lean", "complete", "default", "layer"),
    Variant("lean", "complete", TUNED),
    Variant("node_first", "complete", "default"),
    Variant("node_first", "complete", TUNED),
]
VARIANTS = {  # by model
    "segnn": SEGNN,
    # its published and lean structures are one
    "egnn": [v for v in SEGNN if (v.structure, v.graph) not in (("published", "complete"), ("lean", "index"))],
    "egno": [  # a skeleton is not complete
        Variant("published", "index", "eager"),
        Variant("node_first", "index", "eager"),
        Variant("published", "index", "default"),
        Variant("node_first", "index", "default"),
        Variant("node_first", "index", "default", "layer"),
        Variant("node_first", "index", TUNED),
    ],
}
QUICK = [f"published/index/{mode}" for mode in ("eager", "default")] + [f"{s}/complete/default" for s in ("lean", "node_first")]
QUICK += [f"node_first/index/{mode}" for mode in ("eager", "default")]


@dataclass
class Rival:
    variant: Variant
    process: Any
    pipe: Any
    seconds: float
    losses: list[float]
    times: list[float] = field(default_factory=list)


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def other_work(seconds: float = 2.0) -> float:
    """Cores that others keep busy just now (all of ours are idle): /proc/stat over a short wait."""

    def used() -> int:
        ticks = [int(t) for t in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        return sum(ticks) - ticks[3] - ticks[4]  # all but idle and waiting for disk

    try:
        before = used()
        time.sleep(seconds)
        return (used() - before) / os.sysconf("SC_CLK_TCK") / seconds
    except OSError:
        return 0.0


def find_data(job: str, chosen: str | None) -> Path | None:
    if TASKS[job].model == "egno":
        path = ROOT / "data/mocap/run_subject09.h5"
        return path if path.is_file() else None
    if chosen:
        path = Path(chosen)
        if not path.is_file():
            sys.exit(f"run: --data {path}: no such file; expected an HDF5 file with loc, vel, charge, frames")
        return path
    places = (ROOT / "data/nbody/charged5_small.h5", ROOT / "data/charged5_small.h5", ROOT.parent / "shared/data/nbody/charged5_small.h5")
    return next((p for p in places if p.is_file()), None)


def start(job: str, variant: Variant, data: Path | None, threads: int, batch: int) -> Rival | None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, job, variant, data, threads, batch), daemon=False)
    process.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        answer = {"ready": False, "error": "process died"}
    if not answer["ready"]:
        print(f"{job} {variant.name}: left out: {answer['error']}", file=sys.stderr)
        process.join()
        return None
    print(f"{job} {variant.name}: ready after {answer['seconds']:.0f} s", file=sys.stderr)
    return Rival(variant, process, ours, answer["seconds"], answer["losses"])


def turn(job: str, rival: Rival, steps: int) -> list[float]:
    try:
        rival.pipe.send(steps)
        return rival.pipe.recv()
    except (EOFError, OSError):
        memory = f"{len(VARIANTS[TASKS[job].model])} variants take about 1 GB each; --quick or --variants takes fewer"
        sys.exit(f"run: {job} {rival.variant.name}: its process died (memory? {memory})")


def same_numbers(job: str, rivals: list[Rival]) -> None:
    """All variants start from the same weights and batches: first and fifth loss must agree."""
    expected = rivals[0].losses
    for r in rivals[1:]:
        for when, tolerance in ((0, 1e-5), (1, 1e-3)):
            found, wanted = r.losses[when], expected[when]
            if not abs(found - wanted) <= tolerance * abs(wanted):
                which, first = ("first", "fifth")[when], rivals[0].variant.name
                sys.exit(f"run: {job} {r.variant.name}: {which} loss {found}, expected {wanted} as {first}: not the same step")


def tether(binary: Path, job: str, steps: int, threads: int, batch: int) -> dict[str, Any] | str:
    """One `tether bench`; its JSON, or what went wrong."""
    path = ROOT / TASKS[job].path
    if not binary.is_file():
        return f"{binary} not found: build it (cmake --preset release && cmake --build --preset release) or name it with --tether PATH"
    if not path.is_file():
        return f"job file {path} not found"
    command = [str(binary), "bench", str(path), "--json", "--steps", str(steps), "--threads", str(threads), *TASKS[job].bench]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"{' '.join(command)}: exit code {done.returncode}: {done.stderr.strip()[-500:]}"
    try:
        report = json.loads(done.stdout)
        float(report["step_ms"]["median"]), float(report["step_ms"]["min"])
    except (ValueError, KeyError, TypeError) as error:
        return f"{' '.join(command)}: no step_ms in its output ({error!r}): {done.stdout.strip()[:200]}"
    for key, wanted in (("batch", batch), ("threads", threads)):
        if report.get(key, wanted) != wanted:
            return f"{' '.join(command)}: {key} {report[key]}, but PyTorch is timed with {wanted}"
    return report


def measure(job: str, wanted: list[str] | None, options: argparse.Namespace) -> dict[str, Any]:
    data, batch = find_data(job, options.data), options.batch or TASKS[job].batch
    variants = [v for v in VARIANTS[TASKS[job].model] if wanted is None or v.name in wanted]
    rivals = [r for v in variants if (r := start(job, v, data, options.threads, batch)) is not None]
    if not rivals:
        sys.exit(f"run: {job}: no variant runs")
    reports: list[dict[str, Any]] = []
    problem, load, busy = "", [], other_work()
    try:
        same_numbers(job, rivals)
        for _ in range(options.rounds):
            if not problem:
                answer = tether(options.tether, job, options.tether_steps, options.threads, batch)
                if isinstance(answer, str):
                    problem = answer
                else:
                    reports.append(answer)
            for r in rivals:
                r.times += turn(job, r, options.steps)
            load.append(os.getloadavg()[0])
    finally:
        for r in rivals:
            r.pipe.close()  # its process ends on that
        for r in rivals:
            r.process.join()
    if problem:
        print(f"{job}: tether not timed: {problem}", file=sys.stderr)
    rows = []
    for r in rivals:
        times = {"median": statistics.median(r.times), "min": min(r.times), "steps": len(r.times), "ready_s": r.seconds}
        rows.append({"name": r.variant.name, **asdict(r.variant), **times})
    result: dict[str, Any] = {"job": job, "batch": batch, "data": data.name if data else "random numbers", "rivals": rows}
    result |= {"busy": busy, "load": load, "tether": None, "tether_problem": problem or None}
    if reports:
        medians, minima = ([float(t["step_ms"][k]) for t in reports] for k in ("median", "min"))
        result["tether"] = {"median": statistics.median(medians), "min": min(minima), "bench": reports[-1]}
    result["ratios"] = ratios(result)
    return result


def ratios(result: dict[str, Any]) -> dict[str, Any]:
    """Best compiled variant, and step time of each kind of rival over tether's (median over median, min over min)."""
    rows = result["rivals"]
    kinds = {
        "eager": [r for r in rows if r["mode"] == "eager" and r["structure"] == "published"],
        "eager lean": [r for r in rows if r["mode"] == "eager" and r["structure"] != "published"],
        "best compiled, published structure": [r for r in rows if r["mode"] != "eager" and r["structure"] == "published"],
        "best compiled": [r for r in rows if r["mode"] != "eager"],
    }
    out: dict[str, Any] = {}
    for kind, members in kinds.items():
        if not members:
            continue
        best = min(members, key=lambda r: r["median"])
        ours = result["tether"]
        over = {k: best[k] / ours[k] for k in ("median", "min")} if ours else None
        out[kind] = {"name": best["name"], "median": best["median"], "min": best["min"], "over_tether": over}
    return out


def table(result: dict[str, Any]) -> str:
    ours = result["tether"]
    title = f"{result['job']}, batch {result['batch']}, {result['data']}"
    lines = [f"{title:<52}{'median ms':>11}{'min ms':>10}{'x tether (median, min)':>26}"]

    def line(name: str, row: dict[str, Any]) -> str:
        times = f"{row['median'] / ours['median']:>17.2f}{row['min'] / ours['min']:>9.2f}" if ours else f"{'-':>17}{'-':>9}"
        return f"  {name:<50}{row['median']:>11.2f}{row['min']:>10.2f}{times}"

    lines.append(line("tether bench", ours) if ours else f"  {'tether bench':<50}{'-':>11}{'-':>10}{'-':>17}{'-':>9}")
    lines += [line(r["name"], r) for r in result["rivals"]]
    for kind, best in result["ratios"].items():
        over = best["over_tether"]
        text = f"{over['median']:.2f} (of minima {over['min']:.2f})" if over else "not known: tether not timed"
        lines.append(f"  tether : {kind} = 1 : {text}   [{best['name']}]")
    load = ", ".join(f"{x:.1f}" for x in result["load"])
    busy = result["busy"]
    if busy > 0.5:
        lines.append(f"  WARNING: others kept {busy:.1f} cores busy when timing began; figures of such a run are no evidence: repeat")
    return "\n".join([*lines, f"  load average after each round: {load}"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="run", description=__doc__, epilog="example: run --rounds 3 --steps 20 --jobs segnn_ace")
    parser.add_argument("--jobs", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=5, help="turns each variant gets (5)")
    parser.add_argument("--steps", type=int, default=20, help="PyTorch steps per turn (20)")
    parser.add_argument("--tether-steps", type=int, default=100, help="steps of one `tether bench` (100)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, help="for PyTorch only; the job file has tether's (100, EGNO 12)")
    parser.add_argument("--tether", type=Path, default=ROOT / "build/release/tether", help="the binary (build/release/tether)")
    parser.add_argument("--data", help="charged5_small.h5, for the N-body jobs; random numbers where none is found")
    parser.add_argument("--quick", action="store_true", help="four variants of each model")
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="only these, such as lean/complete/default")
    parser.add_argument("--parity-only", action="store_true")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the tables")
    options = parser.parse_args()
    for name in ("rounds", "steps", "tether_steps", "threads", "batch"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            parser.error(f"--{name.replace('_', '-')}: {getattr(options, name)}: expected at least 1")
    names = dict.fromkeys(v.name for variants in VARIANTS.values() for v in variants)
    unknown = [name for name in options.variants or [] if name not in names]
    if unknown:
        parser.error(f"--variants: {unknown[0]}: expected one of {', '.join(names)}")
    wanted = options.variants or (QUICK if options.quick else None)
    options.tether = options.tether.resolve()

    checked = parity.check_all()
    print(parity.table(checked), file=sys.stderr)
    if not all(row.passed for row in checked):
        print("run: a rival disagrees with the reference files: nothing timed", file=sys.stderr)
        return 1
    machine = {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "instruction_set": torch.backends.cpu.get_cpu_capability(),
    }
    settings = {k: getattr(options, k) for k in ("threads", "rounds", "steps", "tether_steps")}
    settings |= {"precision": "float32"}
    results = []
    for job in [] if options.parity_only else options.jobs:
        results.append(measure(job, wanted, options))
        if not options.json:
            print(table(results[-1]) + "\n", flush=True)
    if options.json:
        print(json.dumps({"machine": machine, "settings": settings, "parity": [asdict(r) for r in checked], "jobs": results}, indent=1))
    else:
        print(", ".join(f"{k} {v}" for k, v in (machine | settings).items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
