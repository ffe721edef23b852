"""Which runs repeat one another with other seeds, and what they are compared with.

A family is one task (data section and metric); a group within it is one configuration: the resolved
job without seed, name and what cannot change the numbers. A group's baseline is the strict group of
the same model in its family, the one whose other keys agree most.
"""
from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .run_file import OUTSIDE, Run

MODELS = {"segnn": "SEGNN", "egnn": "EGNN", "egno": "EGNO", "schnet": "SchNet", "vn_dgcnn": "VN-DGCNN",
          "vn_pointnet": "VN-PointNet", "p4cnn": "p4-CNN", "transformer": "Transformer"}
METHODS = {"ace": "ACE", "ace-resilient": "ACE resilient", "remul": "REMUL", "rpp": "RPP",
           "recm": "RECM (reconstructed)"}
ORDER = ("strict", "free", "augment", "ace", "ace-resilient", "schedule", "remul", "rpp", "recm")
DATA = {"nbody": "charged N-body", "gravity": "gravitational N-body", "mocap": "motion capture",
        "modelnet": "ModelNet", "qm9": "QM9", "qm7": "QM7", "mnist": "MNIST"}
NOT_NUMBERS = ("seed", "name", "parallel", "log", "schema_version")


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            out.update(flat(value, f"{prefix}{name}."))
        else:
            out[prefix + name] = value
    return out


@dataclass(eq=False)
class Group:
    model: str
    method: str
    keys: dict[str, Any]  # flat configuration
    runs: list[Run] = field(default_factory=list)
    differs: str = ""  # what tells it from others of its model and method
    baseline: Group | None = None

    @property
    def plain_label(self) -> str:
        return f"{MODELS.get(self.model, self.model)} {METHODS.get(self.method, self.method)}"

    @property
    def label(self) -> str:
        return self.plain_label + (f", {self.differs}" if self.differs else "")

    @property
    def deployed(self) -> str:
        return self.runs[0].deployed

    @property
    def has_branches(self) -> bool:
        return any(run.has_branches for run in self.runs)

    def counted(self) -> list[Run]:
        """Runs that enter means: the complete ones, or all while none is."""
        complete = [run for run in self.runs if run.condition == "complete"]
        return complete or self.runs

    @property
    def provisional(self) -> bool:
        return not any(run.condition == "complete" for run in self.runs)

    def best_by_seed(self, mode: str) -> dict[int, float]:
        return {run.seed: run.best[mode].test for run in self.counted() if mode in run.best and run.best[mode].step >= 0}


    def outside_by_seed(self) -> dict[int, float]:
        """Of the deployed evaluation, on samples out of distribution, at the step that is best on validation."""
        out: dict[int, float] = {}
        for run in self.counted():
            table, best = run.table(OUTSIDE), run.best.get(self.deployed)
            rows = [] if best is None or not len(table) else (table["step"] == best.step).nonzero()[0]
            if len(rows):
                out[run.seed] = float(table.get(self.deployed)[rows[0]])
        return out


@dataclass(eq=False)
class Family:
    """Groups whose figures may stand in one table."""

    data: str
    metric: str
    units: str
    groups: list[Group] = field(default_factory=list)
    note: str = ""  # what tells it from other families of the same data set
    usual: list[str] = field(default_factory=list)  # values that hold where a label says nothing

    @property
    def title(self) -> str:
        name = DATA.get(self.data, self.data)
        return name + (f" ({self.note})" if self.note else "")


def value_text(value: Any) -> str:
    return f"{value:g}".replace("e-0", "e-").replace("e+0", "e") if isinstance(value, float) else str(value)


def _differences(trees: Sequence[Mapping[str, Any]], weights: Sequence[int] | None = None) -> tuple[list[str], str]:
    """For each tree the keys in which not all agree, as text; and what is said once for all of them. Where several
    keys vary and weights are given, only departures from what most have are told, and those values once."""
    names = sorted({name for tree in trees for name in tree})
    varying = [name for name in names if len({json.dumps(tree.get(name), sort_keys=True) for tree in trees}) > 1]
    # What only some have, and all of these alike, follows from another key (the optimiser's own keys).
    chosen = [name for name in varying if all(name in tree for tree in trees)
              or len({json.dumps(tree[name], sort_keys=True) for tree in trees if name in tree}) > 1]
    told_apart = {json.dumps([tree.get(name) for name in chosen], sort_keys=True, default=str) for tree in trees}
    if len(told_apart) == len({json.dumps([tree.get(name) for name in varying], default=str) for tree in trees}):
        varying = chosen
    usual: dict[str, Any] = {}
    if weights is not None and len(varying) > 1:
        for name in varying:
            counts: dict[str, int] = {}
            for tree, weight in zip(trees, weights):
                text = json.dumps(tree.get(name), sort_keys=True)
                counts[text] = counts.get(text, 0) + weight
            commonest = max(counts, key=lambda text: counts[text])
            if 2 * counts[commonest] > sum(weights):  # of a full grid no value is the usual one
                usual[name] = json.loads(commonest)
    told = [", ".join(f"{name} {value_text(tree[name])}" for name in varying
                      if name in tree and (name not in usual or usual[name] != tree[name])) for tree in trees]
    return told, ", ".join(f"{name} {value_text(value)}" for name, value in usual.items() if value is not None)


def _in_order(value: Any) -> tuple[int, float, str]:
    """Numbers by size, other values by their text."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return (0, float(value), "") if is_number else (1, 0.0, str(value))


def _name_groups(family: Family) -> None:
    """Orders the groups of a family and says what tells each from others of its model and method."""
    rank = {name: position for position, name in enumerate(ORDER)}
    names = sorted({name for group in family.groups for name in group.keys},
                   key=lambda name: (sum(name not in group.keys for group in family.groups), name))
    family.groups.sort(key=lambda group: (group.model, rank.get(group.method, len(rank)), group.method,
                                          [_in_order(group.keys.get(name, "")) for name in names]))
    by_method: dict[tuple[str, str], list[Group]] = {}
    for group in family.groups:
        by_method.setdefault((group.model, group.method), []).append(group)
    for alike in by_method.values():
        if len(alike) == 1:
            continue
        told, usual = _differences([group.keys for group in alike], [len(group.runs) for group in alike])
        for group, text in zip(alike, told):
            group.differs = text
        if usual:
            family.usual.append(f"{alike[0].plain_label}: {usual}")
    # Of each method the usual configuration first.
    place = {group.plain_label: at for at, group in reversed(list(enumerate(family.groups)))}
    family.groups.sort(key=lambda group: (place[group.plain_label], group.differs != ""))


def _baseline(group: Group, groups: Sequence[Group]) -> Group | None:
    if group.method == "strict":
        return None
    strict = [other for other in groups if other.method == "strict" and other.model == group.model]

    def agreeing(other: Group) -> int:
        return sum(group.keys.get(name) == value for name, value in other.keys.items())

    return max(strict, key=agreeing, default=None)


def families(runs: Sequence[Run]) -> list[Family]:
    """All readable runs, sorted into families and groups; groups in the order of methods."""
    found: dict[str, Family] = {}
    data_keys: dict[str, dict[str, Any]] = {}
    groups: dict[str, Group] = {}
    for run in runs:
        if run.condition in ("unreadable", "starting", "waiting"):
            continue
        job = {name: value for name, value in run.job.items() if name not in NOT_NUMBERS}
        data = {name: value for name, value in job.get("data", {}).items() if name != "file"}
        if isinstance(job.get("data"), dict):
            job["data"] = data
        metric = str(run.meta.get("metric", "loss"))
        units = run.metric_units
        # Runs on more or fewer training samples are compared with one another: sample efficiency.
        task = {name: value for name, value in data.items() if name not in ("batch", "train", "drop_last")}
        key = json.dumps([task, metric, units], sort_keys=True)
        family = found.setdefault(key, Family(str(data.get("set", "data")), metric, units))
        data_keys[key] = task
        group_key = json.dumps([key, run.model, run.method, job], sort_keys=True, default=str)
        if group_key not in groups:
            groups[group_key] = Group(run.model, run.method, flat(job))
            family.groups.append(groups[group_key])
        groups[group_key].runs.append(run)
    for family in found.values():
        _name_groups(family)
        for group in family.groups:
            group.runs.sort(key=lambda run: (run.seed, run.name))
            group.baseline = _baseline(group, family.groups)
    by_data: dict[str, list[str]] = {}
    for key, family in found.items():
        by_data.setdefault(family.data, []).append(key)
    for keys in by_data.values():
        if len(keys) > 1:
            for key, note in zip(keys, _differences([data_keys[key] for key in keys])[0]):
                found[key].note = note
    return list(found.values())
