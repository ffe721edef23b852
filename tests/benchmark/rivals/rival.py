"""One rival in a process of its own: a PyTorch model, its optimisers and batches; it trains when told to.

A step is what the published script does on a batch of the training set (tasks.py): zero the gradients, forward,
loss (ACE: plus sum of lambda * gamma), backward, EGNO: clip the global norm, Adam; ACE: Adam on lambda with the slack
from before the primal update. Attributes are computed once for the whole set and gathered per batch, in every variant.
"""

from __future__ import annotations

import logging
import os
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import models
import models_egno
import tasks


@dataclass(frozen=True)
class Variant:
    structure: str  # published, lean, node_first (models.py)
    graph: str  # index, complete
    mode: str  # eager, default, max-autotune-no-cudagraphs
    unit: str = "model"  # what is compiled: the whole model with its loss, or every layer by itself

    @property
    def name(self) -> str:
        return "/".join((self.structure, self.graph, self.mode, *([self.unit] if self.unit != "model" else [])))


class Loss(nn.Module):
    """Task loss of a batch; compiled together with the model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, target: Tensor, *inputs: Tensor) -> Tensor:
        return (self.model(*inputs) - target).square().mean()


class Trainer:
    def __init__(self, job: str, variant: Variant, data: Path | None, batch: int) -> None:
        torch.manual_seed(0)
        task = replace(tasks.TASKS[job], batch=batch)
        self.model, self.data = tasks.build(task, variant.structure, variant.graph, data)
        order = torch.randperm(task.count, generator=torch.Generator().manual_seed(2))
        self.order = [rows for rows in order.split(batch) if len(rows) == batch]
        self.gates: list[Any] = self.model.gates()
        self.lambdas = [torch.zeros(()) for _ in self.gates]
        fused = variant.structure != "published" or variant.mode != "eager"
        self.clip, self.reached = task.clip, [p for p in self.model.parameters() if p.numel()]
        self.primal = torch.optim.Adam(self.reached, lr=task.rate, weight_decay=task.weight_decay, fused=fused)
        self.dual = None
        if task.dual_rate is not None:
            self.dual = torch.optim.Adam(self.lambdas, lr=task.dual_rate, eps=task.dual_eps, fused=fused)
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
        kinds = models.SegnnLayer | models.EgnnLayer | models_egno.EgnoLayer
        layers = [m for m in self.model.modules() if isinstance(m, kinds)]
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
        if self.clip is not None:
            nn.utils.clip_grad_norm_(self.reached, self.clip)
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
