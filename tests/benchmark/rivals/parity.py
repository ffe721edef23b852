"""Checks the rivals against the reference files: outputs, loss and gradients in float64 and float32.

Measure (reference/README.md): max|d| <= tol * max(max|expected|, 1e-2 * largest entry of its kind in the file),
tol 1e-10 in float64 and 2e-5 in float32. A rival that computes something else is no rival: failure ends the run.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch
from torch import Tensor

import models
import models_egno

ROOT = Path(__file__).resolve().parents[3]
CASES = ("segnn/nbody_strict_small", "segnn/nbody_ace_small", "segnn/nbody_ace_full", "egnn/nbody_small", "egno/small_train", "egno/full_train")
# One of its LeakyReLU has an input of 3e-9: in float32 it changes sign, and the gradients behind it by 7e-4.
FLOAT64_ONLY = {"egno/full_train"}
TOLERANCE = {torch.float64: 1e-10, torch.float32: 2e-5}
STRUCTURES = ("published", "lean", "node_first")
Pairs = Iterator[tuple[str, str, Tensor, np.ndarray]]  # kind, name, found, expected


@dataclass
class Row:
    case: str
    structure: str
    dtype: str
    worst: float
    where: str
    passed: bool


def reference_file(case: str) -> Path | None:
    chosen = os.environ.get("TETHER_REFERENCE")
    roots = [Path(chosen)] if chosen else [ROOT / "tests/reference", ROOT.parent / "shared/reference"]
    found = [r / f"{case}.h5" for r in roots if (r / f"{case}.h5").is_file()]
    return found[0] if found else None


def weights(file: h5py.File) -> dict[str, Tensor]:
    """Stored weights and buffers, and those of the file's formula after its check sums."""
    out = {name: torch.from_numpy(np.asarray(data[()])) for name, data in file["weight"].items()} if "weight" in file else {}
    if "weight_formula" not in file:
        return out
    table = file["weight_formula"]
    gamma = [np.array([g]) for g in file["gamma"]] if "gamma" in file else []
    half = len(gamma) // 2
    if file.attrs["model"] == "egno":
        gates = {f"gammas_{'hx'[i // half]}.{i % half}": g for i, g in enumerate(gamma)}
    else:
        gates = {f"layers.{i // 2}.gammas.{i % 2}": g for i, g in enumerate(gamma)}
    columns = {key: table[key][:] for key in ("first_k", "size", "p", "a", "offset")}
    for i, name in enumerate(n.decode() for n in table["name"]):
        first, size, number, a, offset = (column[i] for column in columns.values())
        value = offset + a * np.sin(0.37 * (first + np.arange(size, dtype=np.float64)) + 0.11 * number + 0.5)
        value = gates.get(name, value)
        for check, norm in (("sum", value.sum()), ("l2", np.linalg.norm(value))):
            expected = float(file["weight_check"][check][i])
            if abs(norm - expected) > 1e-9 * max(1.0, float(np.linalg.norm(value))):
                raise RuntimeError(f"{file.filename}: weight_check/{check}[{name}]: found {norm}, expected {expected}")
        out[name] = torch.from_numpy(value)
    return out


def build(file: h5py.File, structure: str, graph: models.Graph) -> models.Segnn | models.Egnn:
    settings, node_first = json.loads(file.attrs["settings"]), structure == "node_first"
    if file.attrs["model"] == "egnn":
        return models.Egnn(graph, settings["hidden"], settings["layers"], node_first)
    shape = re.fullmatch(r"(\d+)x0e\+(\d+)x1o", settings["hidden_irreps"])
    if shape is None:
        raise RuntimeError(f"{file.filename}: hidden_irreps {settings['hidden_irreps']}: expected Ax0e+Bx1o (lmax 1)")
    hidden = models.Widths(int(shape[1]), int(shape[2]))
    return models.Segnn(graph, hidden, settings["layers"], settings["branches"], structure != "published", node_first)


def compare(file: h5py.File, model: torch.nn.Module, inputs: dict[str, Tensor], loss: Tensor, out: Tensor, seen: list[Tensor]) -> Pairs:
    egnn, expected = file.attrs["model"] == "egnn", file["output"]
    yield "loss", "loss", loss, file["loss"][()]
    yield "output", "position", out, expected["position"][()]
    if egnn:
        names = ["after_embedding", *(f"layer_{k}/{part}" for k in range(len(seen) // 2) for part in "hx")]
    else:
        names = ["embedding", *(f"layer_{k}" for k in range(len(seen) - 2)), "pre_pool1"]
    for name, found in zip(names, seen, strict=True):
        yield "output", name, found[: len(expected[name])], expected[name][()]
    yield from gradients_of(file, model)
    for name in ("position", "velocity"):
        grad = inputs[name].grad
        assert grad is not None
        yield "gradient_input", name, grad, file[f"gradient_input/{name}"][()]


def gradients_of(file: h5py.File, model: torch.nn.Module) -> Pairs:
    gradients = models.gather(model, gradient=True)
    if "gradient" in file:
        for name, data in file["gradient"].items():
            yield "gradient", name, gradients.pop(name), np.asarray(data[()]).ravel()
    else:
        values, summary = models.gather(model), file["gradient_summary"]
        for i, name in enumerate(n.decode() for n in summary["name"]):
            g = gradients.pop(name).double()
            yield "gradient l2", name, g.norm(), summary["l2"][i]
            yield "gradient sum", name, g.sum(), summary["sum"][i]
            yield "gradient dot", name, g @ values[name].double(), summary["dot_parameter"][i]
    if gradients:
        raise RuntimeError(f"{file.filename}: no expected gradient for {', '.join(gradients)}")


def nbody_pairs(file: h5py.File, structure: str, data: dict[str, Tensor]) -> Pairs:
    source, target = data["edge_index"]
    bodies = int(torch.bincount(data["graph_index"])[0])
    graph = models.IndexGraph(source, target) if structure == "published" else models.CompleteGraph(bodies)
    if structure != "published" and len(source) != len(target.unique()) * (bodies - 1):
        raise RuntimeError(f"{file.filename}: {structure} needs complete graphs of {bodies} nodes, found {len(source)} edges")
    model = build(file, structure, graph)
    models.load(model, weights(file))
    position, velocity = (data[k].requires_grad_() for k in ("position", "velocity"))
    make = models.egnn_inputs if file.attrs["model"] == "egnn" else models.segnn_inputs
    arguments = make(graph, position, velocity, data["charge"])
    seen: list[Tensor] = []
    out = model(position, *arguments, seen=seen)
    loss = (out - data["target"]).square().mean()
    loss.backward()
    yield from compare(file, model, data, loss, out, seen)
    if "projected" in file["output"]:
        with torch.no_grad():
            for gate in model.gates():
                gate.zero_()
            yield "output", "projected", model(position, *arguments), file["output/projected"][()]


def egno_pairs(file: h5py.File, structure: str, data: dict[str, Tensor]) -> Pairs:
    settings = json.loads(file.attrs["settings"])
    width, layers, times, modes = (int(settings[k]) for k in ("width", "layers", "T", "modes"))
    graph = models_egno.all_times(data["edge_index"], 1, len(data["position"]), times)
    model = models_egno.Egno(graph, width, layers, times, modes, settings["branches"], structure == "node_first")
    models.load(model, weights(file))
    inputs = [data[k].requires_grad_() for k in ("position", "velocity", "node_feature", "edge_feature", "position_mean")]
    seen: dict[str, Tensor] = {}
    out = model(*inputs, seen=seen)
    loss = (out - data["target"]).square().mean()
    loss.backward()
    yield "loss", "loss", loss, file["loss"][()]
    for name, found in {**seen, "position": out}.items():
        if name in file["output"]:
            yield "output", name, found, file["output"][name][()]
    yield from gradients_of(file, model)
    for name, given in data.items():
        if given.grad is not None:
            yield "gradient_input", name, given.grad, file[f"gradient_input/{name}"][()]
    buffers = dict(model.named_buffers())
    for name, after in file["buffer_after"].items():
        yield "buffer", name, buffers[name], np.asarray(after[()], dtype=np.float64)


def check(case: str, path: Path, structure: str, dtype: torch.dtype) -> Row:
    torch.set_default_dtype(dtype)
    with h5py.File(path) as file:
        data = {k: torch.from_numpy(v[()]).to(dtype if v.dtype.kind == "f" else torch.int64) for k, v in file["input"].items()}
        pairs = list((egno_pairs if file.attrs["model"] == "egno" else nbody_pairs)(file, structure, data))
    largest: dict[str, float] = {}
    for kind, _, _, expected in pairs:
        largest[kind] = max(largest.get(kind, 0.0), float(np.abs(expected).max(initial=0.0)))
    worst, where = 0.0, ""
    for kind, name, found, expected in pairs:
        distance = np.abs(found.detach().double().numpy() - expected).max(initial=0.0)
        distance /= max(np.abs(expected).max(initial=0.0), 1e-2 * largest[kind], 1e-300)
        if not np.isnan(worst) and not distance <= worst:
            worst, where = float(distance), f"{kind} {name}"
    return Row(case, structure, str(dtype).removeprefix("torch."), worst, where, worst <= TOLERANCE[dtype])


def check_all() -> list[Row]:
    """One row per file, structure and precision; files that are nowhere to be found are named and skipped."""
    rows = []
    torch.set_num_threads(1)  # tiny files: on a busy machine two threads would mostly wait for each other
    for case in CASES:
        path = reference_file(case)
        if path is None:
            print(f"parity: {case}.h5 not found (TETHER_REFERENCE, tests/reference, ../shared/reference): not checked")
            continue
        structures = [s for s in STRUCTURES if s != "lean" or not case.startswith("egno")]  # it has two
        rows += [check(case, path, s, dtype) for s in structures for dtype in TOLERANCE if dtype == torch.float64 or case not in FLOAT64_ONLY]
    torch.set_default_dtype(torch.float32)
    return rows


def table(rows: list[Row]) -> str:
    lines = []
    for row in rows:
        verdict = "pass" if row.passed else "FAIL"
        lines.append(f"parity {row.case:26} {row.structure:11} {row.dtype}  {row.worst:.1e}  {verdict}  {row.where}")
    return "\n".join(lines)
