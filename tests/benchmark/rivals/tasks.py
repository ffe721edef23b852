"""The jobs that are timed: settings of the published scripts, a model with the weights all variants start from, data.

Values do not matter to the time of a step; where the data files are at hand, batches are of real samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import models
import models_egno

BODIES, FRAME_IN, FRAME_OUT = 5, 30, 40
HIDDEN, LAYERS, WIDTH = models.Widths(32, 32), 4, 64  # published widths, SEGNN and EGNN
TIMES, EGNO_WIDTH, EGNO_LAYERS, MODES, HORIZON, JOINTS = 5, 128, 6, 2, 30, 31


@dataclass(frozen=True)
class Task:
    model: str  # segnn, egnn, egno
    path: str  # the job file that `tether bench` is given
    batch: int
    count: int  # training samples
    rate: float
    weight_decay: float = 0.0
    clip: float | None = None  # global norm
    dual_rate: float | None = None  # of Adam on the multipliers; none: no constraint
    dual_eps: float = 1e-8
    bench: tuple[str, ...] = ()  # more arguments of `tether bench`


WHOLE = ("--set", "data.train=180")  # 15 batches of 12; with 200 every 17th has 8 samples and would be the fastest
TASKS = {
    "segnn_ace": Task("segnn", "jobs/nbody/segnn_ace.toml", 100, 3000, 9e-4, dual_rate=8e-4),
    "segnn_strict": Task("segnn", "jobs/nbody/segnn_strict.toml", 100, 3000, 9e-4),
    "egnn_strict": Task("egnn", "jobs/nbody/egnn_strict.toml", 100, 3000, 5e-4, 1e-12),
    "egno_ace": Task("egno", "jobs/mocap/egno_ace_run.toml", 12, 180, 5e-4, 1e-10, 1.0, 2e-4, 1e-4, WHOLE),
    "egno_strict": Task("egno", "jobs/mocap/egno_strict_run.toml", 12, 180, 5e-4, 1e-10, 1.0, bench=WHOLE),
}


def simulations(path: Path | None, count: int) -> tuple[Tensor, ...]:
    """Position, velocity, charge at frame 30 and position at frame 40, [count, 5, ...]."""
    if path is None:
        g = torch.Generator().manual_seed(1)
        position, velocity, target = (torch.randn(count, BODIES, 3, generator=g) for _ in range(3))
        return position, velocity, torch.randint(0, 2, (count, BODIES, 1), generator=g) * 2.0 - 1, target
    import h5py

    with h5py.File(path) as file:
        frames = [int(f) for f in file["frames"]]
        rows = slice(0, count)
        first, last = frames.index(FRAME_IN), frames.index(FRAME_OUT)
        arrays = file["loc"][rows, first], file["vel"][rows, first], file["charge"][rows][..., None], file["loc"][rows, last]
    return tuple(torch.from_numpy(a).float() for a in arrays)


def motion(path: Path | None, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Position, velocity [count, 31, 3], targets at the last TIMES of HORIZON frames [count, 31, TIMES * 3], bones."""
    if path is None:
        g = torch.Generator().manual_seed(1)
        position, velocity = (torch.randn(count, JOINTS, 3, generator=g) for _ in range(2))
        bones = torch.tensor([[i, (i - 1) // 2] for i in range(1, JOINTS)])  # any tree
        return position, velocity, torch.randn(count, JOINTS, TIMES * 3, generator=g), bones
    import h5py

    with h5py.File(path) as file:
        frames, bones = torch.from_numpy(file["xyz"][()]).float(), torch.from_numpy(file["edge"][()]).long()
        lengths, split = file["trial_length"][()], file["published_split/train"]
        begin = [int(sum(lengths[: int(t)])) for t in split["trial"]]
        starts = [b + int(s) for b, row in zip(begin, split["start_frame"][()]) for s in row[: -(-count // len(begin))]]
    at = torch.tensor(starts[:count])
    later = torch.stack([frames[at + HORIZON - TIMES + 1 + t] for t in range(TIMES)], 2)
    return frames[at], frames[at + 1] - frames[at], later.flatten(2), bones


def nbody(task: Task, structure: str, graph_kind: str, data: Path | None) -> tuple[Any, list[Tensor]]:
    rows = torch.arange(task.batch * BODIES).view(task.batch, BODIES)
    target = rows.repeat_interleave(BODIES - 1, 1).flatten()
    source = torch.stack([rows.roll(-k, 1) for k in range(1, BODIES)], 2).flatten()
    index, complete = models.IndexGraph(source, target), models.CompleteGraph(BODIES)
    graph = index if graph_kind == "index" else complete
    egnn, lean, node_first = task.model == "egnn", structure != "published", structure == "node_first"
    if egnn:
        model: nn.Module = models.Egnn(graph, WIDTH, LAYERS, node_first)
    else:
        branches = task.dual_rate is not None
        start = models.Segnn(complete, HIDDEN, LAYERS, branches, True)
        model = models.Segnn(graph, HIDDEN, LAYERS, branches, lean, node_first)
        models.load(model, models.gather(start))  # every variant starts from the same weights
    position, velocity, charge, goal = simulations(data, task.count)
    inputs = models.egnn_inputs if egnn else models.segnn_inputs
    flat = [t.flatten(0, 1) for t in (position, velocity, charge)]
    return model, [goal, position, *(t.unflatten(0, (task.count, -1)) for t in inputs(complete, *flat))]


class AllTimes(nn.Module):
    """EGNO with its outputs per joint of the batch, as the targets lie: [rows, TIMES * 3]."""

    def __init__(self, model: models_egno.Egno) -> None:
        super().__init__()
        self.model = model

    def gates(self) -> list[nn.Parameter]:
        return self.model.gates()

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.model(*inputs).unflatten(0, (TIMES, -1)).transpose(0, 1).flatten(1)


def mocap(task: Task, structure: str, data: Path | None) -> tuple[Any, list[Tensor]]:
    position, velocity, goal, bones = motion(data, task.count)
    edges, kind = models_egno.skeleton_edges(bones, JOINTS)
    graph = models_egno.all_times(edges, task.batch, JOINTS, TIMES)
    model = models_egno.Egno(graph, EGNO_WIDTH, EGNO_LAYERS, TIMES, MODES, task.dual_rate is not None, structure == "node_first")
    square = (position[:, edges[0]] - position[:, edges[1]]).square().sum(2, keepdim=True)
    edge = torch.cat([kind.expand(task.count, -1, -1), square], 2)
    node = torch.cat([velocity.norm(dim=2, keepdim=True), position[:, :, 1:2] / 10], 2)
    return AllTimes(model), [goal, position, velocity, node, edge, position.mean(1, keepdim=True).expand(-1, JOINTS, -1)]


def build(task: Task, structure: str, graph: str, data: Path | None) -> tuple[Any, list[Tensor]]:
    """The model, and per sample the target and the model's inputs."""
    return mocap(task, structure, data) if task.model == "egno" else nbody(task, structure, graph, data)
