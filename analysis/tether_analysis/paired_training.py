"""The command analysis/compare: trains every method given on one model and task, with the same budget and
the same seeds, and compares them: mean, 95 % interval over seeds, difference to strict paired by seed. Training is
`tether train`, which knows finished runs and goes on with unfinished ones, so that the command can be
repeated. Exit codes are those of the program: 0 done, 2 usage, else that of the first run that failed.
"""
from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .grouping import flat
from .report import command as report

EXAMPLE = """example: analysis/compare jobs/mocap/egno_strict_run.toml --methods strict ace ace-resilient --seeds 1 2 \\
             --set train.epochs=500 --for ace dual.lr=2e-4
         analysis/compare jobs/nbody/segnn_strict.toml jobs/nbody/segnn_ace.toml --seeds 42 43 44"""
SHARED = ("data.", "model.", "train.", "parallel.lanes", "parallel.order")  # what a comparison must not vary


@dataclass
class Candidate:
    """One configuration: a job and what is set beyond it, without the seed."""

    job: Path
    settings: list[str] = field(default_factory=list)
    resolved: dict[str, Any] = field(default_factory=dict)  # flat keys of the job

    @property
    def label(self) -> str:
        method = str(self.resolved["method.name"])
        resilient = self.resolved.get("method.constraint") == "resilient"
        return f"{self.resolved['model.name']}-{method}{'-resilient' if resilient else ''}"


class Failure(Exception):
    """A run or a question to the program that ended with another code than 0."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def program() -> Path:
    return Path(os.environ.get("TETHER", Path(__file__).resolve().parents[2] / "build" / "release" / "tether"))


def _settings(settings: Sequence[str]) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]


def resolve(tether: Path, candidate: Candidate) -> dict[str, Any]:
    """All keys of a job as the program understands it. Failure with the program's own message."""
    done = subprocess.run([str(tether), "train", str(candidate.job), *_settings(candidate.settings), "--print-job"],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(done.returncode, done.stderr.strip() or f"{tether} ended with code {done.returncode}")
    return flat(tomllib.loads(done.stdout))


def candidates(jobs: Sequence[Path], methods: Sequence[str], settings: Sequence[str],
               own: Mapping[str, Sequence[str]]) -> list[Candidate]:
    """One for each job, or for each method on the one job. ValueError for what does not fit together."""
    if methods and len(jobs) > 1:
        raise ValueError("--methods needs one job; several jobs are compared as they are")
    if own and not methods:
        raise ValueError("--for needs --methods")
    unknown = sorted(set(own) - set(methods))
    if unknown:
        raise ValueError(f"--for {unknown[0]}: not among --methods {' '.join(methods)}")
    if len(set(methods)) < len(methods):
        raise ValueError(f"--methods {' '.join(methods)}: one of them is given twice")
    if not methods:
        return [Candidate(job, list(settings)) for job in jobs]
    return [Candidate(jobs[0], [*settings, f'method.name="{method}"', *own.get(method, ())]) for method in methods]


def check_same_budget(found: Sequence[Candidate], free_model: bool) -> None:
    """The same data, model and budget for all; ValueError naming the first key that differs."""
    first = found[0]
    for other in found[1:]:
        for key in sorted({*first.resolved, *other.resolved}):
            if not key.startswith(SHARED) or (free_model and key.startswith("model.")):
                continue
            if first.resolved.get(key) != other.resolved.get(key):
                raise ValueError(f"{key} is {first.resolved.get(key, 'absent')} for {first.label} and "
                                 f"{other.resolved.get(key, 'absent')} for {other.label}; a comparison needs the same "
                                 "(set it for all with --set)")
    labels = [candidate.label for candidate in found]
    for label in labels:
        if labels.count(label) > 1:
            raise ValueError(f"{label} is there twice")


def train(tether: Path, candidate: Candidate, seed: int, options: argparse.Namespace) -> Path:
    """Trains to the end; the run's folder. The program's messages go where they always go. Failure."""
    threads = ["--threads", str(options.threads)] if options.threads else []
    launcher = ["mpirun", "-n", str(options.ranks)] if options.ranks > 1 else []
    line = [*launcher, str(tether), "train", str(candidate.job),
            *_settings([*candidate.settings, f'name="{candidate.label}"', f"seed={seed}"]), "--runs", str(options.runs),
            *threads]
    done = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=False)
    last = done.stdout.splitlines()[-1] if done.stdout.strip() else ""
    if done.returncode != 0 or not last.startswith("run "):
        raise Failure(done.returncode or 1, f"{candidate.label}, seed {seed}: ended with code {done.returncode}")
    return Path(last.removeprefix("run "))


def _arguments(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="analysis/compare", epilog=EXAMPLE,
                                     formatter_class=argparse.RawDescriptionHelpFormatter,
                                     description="Trains methods with the same budget and paired seeds, and compares "
                                                 "them with strict.")
    parser.add_argument("jobs", nargs="+", type=Path, metavar="JOB.toml",
                        help="one job, with --methods; or several jobs of one model, data set and budget")
    parser.add_argument("--methods", nargs="+", default=[], metavar="METHOD", help="each of them on the one job")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], metavar="SEED", help="default 1 2 3")
    parser.add_argument("--set", action="append", default=[], metavar="key=value", help="a key of every run")
    parser.add_argument("--for", action="append", nargs=2, default=[], metavar=("METHOD", "key=value"), dest="own",
                        help="a key of one method's runs")
    parser.add_argument("--models-differ", action="store_true",
                        help="compare jobs of different models too (each with the strict run of its own model)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs (default runs)")
    parser.add_argument("--out", type=Path, default=Path("comparison.html"), help="the report (default comparison.html)")
    parser.add_argument("--threads", type=int, default=0, help="threads of each rank")
    parser.add_argument("--ranks", type=int, default=1, help="MPI ranks of each run")
    parser.add_argument("--dry-run", action="store_true", help="say what would be trained")
    return parser.parse_args(arguments)


def command(arguments: Sequence[str]) -> int:
    options = _arguments(arguments)
    tether = program()
    if not tether.exists():
        print(f"compare: there is no {tether}; scripts/prepare builds it, TETHER names another one", file=sys.stderr)
        return 2
    own: dict[str, list[str]] = {}
    for method, setting in options.own:
        own.setdefault(method, []).append(setting)
    try:
        found = candidates(options.jobs, options.methods, options.set, own)
        for candidate in found:
            candidate.resolved = resolve(tether, candidate)
        check_same_budget(found, options.models_differ)
    except (ValueError, Failure) as error:
        print(f"compare: {error}", file=sys.stderr)
        return error.code if isinstance(error, Failure) else 2
    seeds = list(dict.fromkeys(options.seeds))
    plan = [(seed, candidate) for seed in seeds for candidate in found]  # pairs are complete as early as can be
    print(f"{len(plan)} runs: {', '.join(candidate.label for candidate in found)}; seeds "
          f"{', '.join(map(str, seeds))}; {found[0].resolved['train.epochs']} epochs", flush=True)
    if options.dry_run:
        return 0
    folders: list[Path] = []
    code = 0
    for number, (seed, candidate) in enumerate(plan, start=1):
        print(f"compare: {number} of {len(plan)}: {candidate.label}, seed {seed}", file=sys.stderr, flush=True)
        try:
            folders.append(train(tether, candidate, seed, options))
        except Failure as error:
            print(f"compare: {error}", file=sys.stderr)
            code = code or error.code
            if error.code == 75:  # asked to stop: the same command goes on from there
                break
    if not folders:
        return code
    title = f"{found[0].resolved['model.name']} on {found[0].resolved['data.set']}: methods compared"
    told = report([*map(str, folders), "--out", str(options.out), "--title", title, "--table"])
    return code or told
