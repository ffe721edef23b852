"""One rival in a process of its own: a PyTorch model, its optimisers and batches; it trains when told to.

A step is what the published script does on a batch of 100 of the charged 5-body set: zero the gradients, forward,
loss (ACE: plus sum of lambda * gamma), backward, Adam; ACE: Adam on lambda with the slack from before the primal
update. Attributes are computed once for the whole set and gathered per batch, in every variant.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import models

BODIES, FRAME_IN, FRAME_OUT = 5, 30, 40
HIDDEN, LAYERS, WIDTH = models.Widths(32, 32), 4, 64  # published widths, SEGNN and EGNN
LEARNING_RATE = {"segnn_strict": 9e-4, "segnn_ace": 9e-4, "egnn_strict": 5e-4}
DUAL_RATE, WEIGHT_DECAY = 8e-4, {"egnn_strict": 1e-12}


@dataclass(frozen=True)
class Variant:
    structure: str  # published, lean, node_first (models.py)
    graph: str  # index, complete
    mode: str  # eager, default, max-autotune-no-cudagraphs
    unit: str = "model"  # what is compiled: the whole model with its loss, or every layer by itself

    @property
    def name(self) -> str:
        return "/".join((self.structure, self.graph, self.mode, *([self.unit] if self.unit != "model" else [])))


def simulations(path: Path | None, count: int) -> tuple[Tensor, ...]:
    """Position, velocity, charge at frame 30 and position at frame 40, [count, 5, ...]."""
    if path is None:  # values do not matter to the time of a step
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


class Loss(nn.Module):
    """Task loss of a batch; compiled together with the model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, target: Tensor, *inputs: Tensor) -> Tensor:
        return (self.model(*inputs) - target).square().mean()


class Trainer:
    def __init__(self, job: str, variant: Variant, data: Path | None, batch: int, count: int = 3000) -> None:
        torch.manual_seed(0)
        rows = torch.arange(batch * BODIES).view(batch, BODIES)
        target = rows.repeat_interleave(BODIES - 1, 1).flatten()
        source = torch.stack([rows.roll(-k, 1) for k in range(1, BODIES)], 2).flatten()
        index, complete = models.IndexGraph(source, target), models.CompleteGraph(BODIES)
        graph = index if variant.graph == "index" else complete
        egnn, ace = job.startswith("egnn"), "ace" in job
        lean, node_first = variant.structure != "published", variant.structure == "node_first"
        if egnn:
            self.model: nn.Module = models.Egnn(graph, WIDTH, LAYERS, node_first)
        else:
            start = models.Segnn(complete, HIDDEN, LAYERS, ace, True)
            self.model = models.Segnn(graph, HIDDEN, LAYERS, ace, lean, node_first)
            models.load(self.model, models.gather(start))  # every variant starts from the same weights
        position, velocity, charge, goal = simulations(data, count)
        inputs = models.egnn_inputs if egnn else models.segnn_inputs
        flat = [t.flatten(0, 1) for t in (position, velocity, charge)]
        tensors = [goal, position, *(t.unflatten(0, (count, -1)) for t in inputs(complete, *flat))]
        self.data, self.order = tensors, torch.randperm(count, generator=torch.Generator().manual_seed(2)).split(batch)
        self.gates: list[Any] = self.model.gates()
        self.lambdas = [torch.zeros(()) for _ in self.gates]
        fused = variant.structure != "published" or variant.mode != "eager"
        reached = [p for p in self.model.parameters() if p.numel()]
        self.primal = torch.optim.Adam(reached, lr=LEARNING_RATE[job], weight_decay=WEIGHT_DECAY.get(job, 0.0), fused=fused)
        self.dual = torch.optim.Adam(self.lambdas, lr=DUAL_RATE, fused=fused) if ace else None
        self.loss: Any = Loss(self.model)
        self.compile(variant)
        self.count, self.last = 0, float("nan")

    def compile(self, variant: Variant) -> None:
        if variant.mode == "eager":
            return
        mode = None if variant.mode == "default" else variant.mode
        if variant.unit == "model":
            self.loss = torch.compile(self.loss, mode=mode, dynamic=False, fullgraph=True)
            return
        layers = [m for m in self.model.modules() if isinstance(m, models.SegnnLayer | models.EgnnLayer)]
        for layer in layers:
            name = "forward_lean" if isinstance(layer, models.SegnnLayer) and layer.lean else "forward"
            setattr(layer, name, torch.compile(getattr(layer, name), mode=mode, dynamic=False, fullgraph=True))

    def step(self) -> None:
        chosen = self.order[self.count % len(self.order)]
        target, *inputs = (t.index_select(0, chosen).flatten(0, 1) for t in self.data)
        self.primal.zero_grad()
        loss = self.loss(target, *inputs)
        self.last = loss.item()
        if self.dual is not None:
            gamma = torch.stack(self.gates)
            slack = gamma.detach().clone()
            (loss + (torch.stack(self.lambdas) * gamma).sum()).backward()
            for multiplier, gradient in zip(self.lambdas, -slack):
                multiplier.grad = gradient
        else:
            loss.backward()
        self.primal.step()
        if self.dual is not None:
            self.dual.step()
        self.count += 1


def work(pipe: Connection, job: str, variant: Variant, data: Path | None, threads: int, batch: int) -> None:
    """Process entry: builds and compiles, reports readiness, then times as many steps as each message asks for."""
    torch.set_num_threads(threads)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # says that there is no GPU
    try:
        start = time.perf_counter()
        trainer = Trainer(job, variant, data, batch)
        trainer.step()
        first = trainer.last
        for _ in range(4):
            trainer.step()
        if variant.mode != "eager":
            from torch._inductor.async_compile import shutdown_compile_workers

            shutdown_compile_workers()
        pipe.send({"ready": True, "seconds": time.perf_counter() - start, "losses": [first, trainer.last], "pid": os.getpid()})
        while steps := pipe.recv():
            times = []
            for i in range(steps + 2):  # two steps to wake the threads and fill the caches
                begin = time.perf_counter()
                trainer.step()
                if i >= 2:
                    times.append(1e3 * (time.perf_counter() - begin))
            pipe.send(times)
    except (EOFError, KeyboardInterrupt):
        return
    except Exception as error:  # told to the parent: a variant that does not compile is a row, not the end
        pipe.send({"ready": False, "error": f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"})
