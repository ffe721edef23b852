"""SEGNN and EGNN for the N-body task in PyTorch, written twice: what `run` checks and times.

`published`  the structure of the published code: e3nn tensor products and gates on [rows, dim] features,
             index_select and index_add over an edge list, concatenated message inputs.
`lean`       what somebody would write who wants speed: weights before contraction on separate scalars
             [rows, mul] and vectors [rows, 3, mul], and, with `node_first`, the linear part of the first
             message map on nodes instead of edges. lmax 1 only.
Both hold the same weights: `exchange` names every lean parameter by its entries in the published one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SILU, SIGMOID = 1.6791767923989418, 1.8467055342154763  # second-moment constants of e3nn's Gate
Features = tuple[Tensor, Tensor]  # scalars [rows, mul], vectors [rows, 3, mul]
Exchange = Iterator[tuple[str, nn.Parameter, Tensor]]  # published name, our parameter, flat indices into it


class Widths(NamedTuple):
    scalars: int
    vectors: int

    @property
    def irreps(self) -> str:
        return f"{self.scalars}x0e+{self.vectors}x1o"


class IndexGraph(nn.Module):
    """Any graph: edges as two lists of node numbers."""

    source: Tensor
    target: Tensor
    degree: Tensor

    def __init__(self, source: Tensor, target: Tensor) -> None:
        super().__init__()
        self.register_buffer("source", source)
        self.register_buffer("target", target)
        degree = torch.bincount(target).clamp(min=1).unsqueeze(1)
        self.register_buffer("degree", degree.to(torch.get_default_dtype()))

    def at_source(self, x: Tensor) -> Tensor:
        return x.index_select(0, self.source)

    def at_target(self, x: Tensor) -> Tensor:
        return x.index_select(0, self.target)

    def sum_at_target(self, m: Tensor) -> Tensor:
        return m.new_zeros((len(self.degree), *m.shape[1:])).index_add(0, self.target, m)

    def mean_at_target(self, m: Tensor) -> Tensor:
        return self.sum_at_target(m) / self.degree


class CompleteGraph(nn.Module):
    """Graphs of `bodies` nodes, all joined; edges ordered by target: no index, no scatter, no atomics."""

    def __init__(self, bodies: int) -> None:
        super().__init__()
        self.bodies = bodies

    def at_source(self, x: Tensor) -> Tensor:
        per_graph = x.unflatten(0, (-1, self.bodies))
        turned = [torch.roll(per_graph, -k, 1) for k in range(1, self.bodies)]
        return torch.stack(turned, 2).flatten(0, 2)

    def at_target(self, x: Tensor) -> Tensor:
        return x.unsqueeze(1).expand(-1, self.bodies - 1, *x.shape[1:]).flatten(0, 1)

    def sum_at_target(self, m: Tensor) -> Tensor:
        return m.unflatten(0, (-1, self.bodies - 1)).sum(1)

    def mean_at_target(self, m: Tensor) -> Tensor:
        return self.sum_at_target(m) / (self.bodies - 1)


Graph = IndexGraph | CompleteGraph


def harmonics(vector: Tensor) -> Tensor:
    """Y_0, Y_1 of the normalised vector, `integral` normalisation; l = 1 is x, y, z."""
    direction = F.normalize(vector, dim=-1, eps=1e-30) * math.sqrt(3 / (4 * math.pi))
    return torch.cat([torch.full_like(vector[:, :1], math.sqrt(1 / (4 * math.pi))), direction], 1)


def segnn_inputs(graph: Graph, position: Tensor, velocity: Tensor, charge: Tensor) -> tuple[Tensor, ...]:
    """Node features [x, v, |v|], edge attributes, node attributes, extra message features."""
    r = graph.at_source(position) - graph.at_target(position)
    edge = harmonics(r)
    node = graph.mean_at_target(edge) + harmonics(velocity)
    node = torch.cat([torch.ones_like(node[:, :1]), node[:, 1:]], 1)
    extra = torch.cat([r.norm(dim=1, keepdim=True), graph.at_source(charge) * graph.at_target(charge)], 1)
    return torch.cat([position, velocity, velocity.norm(dim=1, keepdim=True)], 1), edge, node, extra


# --- tensor products -------------------------------------------------------------------------------------------


class E3nnTensorProduct(nn.Module):
    """Fully connected, shared weights, e3nn's 1/sqrt(fan_in) undone, bias on 0e; optionally e3nn's Gate."""

    def __init__(self, irreps_in: str, out: Widths, gated: bool) -> None:
        super().__init__()
        from e3nn import o3
        from e3nn.nn import Gate

        scalars, vectors = out
        full = o3.Irreps(f"{scalars + vectors * gated}x0e+{vectors}x1o").remove_zero_multiplicities()
        self.tp = o3.FullyConnectedTensorProduct(o3.Irreps(irreps_in).simplify(), "1x0e+1x1o", full)
        self.zeros = full.count("0e")
        rescale = torch.zeros(full.dim)
        for i, piece in enumerate(full.slices()):
            inputs = [math.prod(w.shape[:2]) for w, k in zip(self.tp.weight_views(), self.tp.instructions) if k.i_out == i]
            rescale[piece] = math.sqrt(sum(inputs))
        self.register_buffer("rescale", rescale, persistent=False)
        self.biases = nn.Parameter(torch.zeros(self.zeros)) if self.zeros else None
        self.gate = None
        if gated:
            self.gate = Gate(f"{scalars}x0e", [F.silu], f"{vectors}x0e", [torch.sigmoid], f"{vectors}x1o")

    def forward(self, x: Tensor, attribute: Tensor) -> Tensor:
        y = self.tp(x, attribute)
        y *= self.rescale
        if self.biases is not None:
            y[:, : self.zeros] += self.biases
        return y if self.gate is None else self.gate(y)


class LeanTensorProduct(nn.Module):
    """The same map on (scalars, vectors): two products for the scalars, two for the vectors.

    `terms` lists the input terms in published order as (l, mul); scalars and vectors are each taken in that order.
    """

    def __init__(self, terms: list[tuple[int, int]], out: Widths, gated: bool) -> None:
        super().__init__()
        self.terms, self.scalars, self.gated = terms, out.scalars, gated
        self.zeros, self.ones = out.scalars + out.vectors * gated, out.vectors
        s, v = (sum(mul for order, mul in terms if order == k) for k in (0, 1))
        bound = 1 / math.sqrt(s + v)
        self.w0 = nn.Parameter(torch.empty(s + v, self.zeros).uniform_(-bound, bound))  # rows: scalars, then vectors
        self.w01 = nn.Parameter(torch.empty(s, self.ones).uniform_(-bound, bound))
        self.w11 = nn.Parameter(torch.empty(v, self.ones).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(self.zeros).uniform_(-bound, bound))
        self.inputs = s

    def exchange(self, prefix: str) -> Exchange:
        blocks: dict[str, list[Tensor]] = {"00": [], "01": [], "11": [], "10": []}
        offset = 0
        for order, mul in self.terms:
            for path in ("00", "01") if order == 0 else ("11", "10"):  # published order: second input, then output
                columns = self.zeros if path[1] == "0" else self.ones
                blocks[path].append(torch.arange(offset, offset + mul * columns).view(mul, columns))
                offset += mul * columns
        name = prefix + "tp.weight"
        if self.zeros:
            yield name, self.w0, torch.cat(blocks["00"] + blocks["10"])
            yield prefix + "biases", self.bias, torch.arange(self.zeros)
        yield name, self.w01, torch.cat(blocks["01"])
        yield name, self.w11, torch.cat(blocks["11"])

    def finish(self, y0: Tensor, y1: Tensor) -> Features:
        if not self.gated:
            return y0, y1
        gate = SIGMOID * torch.sigmoid(y0[:, self.scalars :])
        return SILU * F.silu(y0[:, : self.scalars]), gate.unsqueeze(1) * y1

    def forward(self, x: Features, attribute: Tensor) -> Features:
        (s, v), a0, a1 = x, attribute[:, :1], attribute[:, 1:].unsqueeze(2)
        dot = (v * a1).sum(1) * (1 / math.sqrt(3))
        y0 = torch.addmm(self.bias, torch.cat([s * a0, dot], 1), self.w0) if self.zeros else s[:, :0]
        y1 = a1 * (s @ self.w01).unsqueeze(1) + a0.unsqueeze(2) * (v @ self.w11)
        return self.finish(y0, y1)

    def node_first(self, graph: Graph, x: Features, extra: Tensor, attribute: Tensor) -> Features:
        """The map of [x_i, x_j, extra] on edges with every product of x taken on the nodes."""
        (s, v), a0, a1 = x, attribute[:, :1], attribute[:, 1:].unsqueeze(2)
        n, m = s.shape[1], v.shape[2]
        w0, w1 = self.w0[: self.inputs], self.w0[self.inputs :] * (1 / math.sqrt(3))
        of_scalar = torch.cat([w0[:n], self.w01[:n], w0[n : 2 * n], self.w01[n : 2 * n]], 1)
        of_vector = torch.cat([w1[:m], self.w11[:m], w1[m:], self.w11[m:]], 1)
        half = of_scalar.shape[1] // 2
        p, q = s @ of_scalar, v @ of_vector
        on_edge = extra @ torch.cat([w0[2 * n :], self.w01[2 * n :]], 1)
        p = graph.at_target(p[:, :half]) + graph.at_source(p[:, half:]) + on_edge
        q = graph.at_target(q[..., :half]) + graph.at_source(q[..., half:])
        y0 = self.bias + a0 * p[:, : self.zeros] + (a1 * q[..., : self.zeros]).sum(1)
        y1 = a1 * p[:, self.zeros :].unsqueeze(1) + a0.unsqueeze(2) * q[..., self.zeros :]
        return self.finish(y0, y1)


# --- SEGNN -----------------------------------------------------------------------------------------------------


def free_branch(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.GELU(), nn.Linear(width, width))


class SegnnLayer(nn.Module):
    def __init__(self, hidden: Widths, branches: bool, lean: bool, node_first: bool) -> None:
        super().__init__()
        self.hidden, self.lean, self.node_first = hidden, lean, node_first
        own, extra = hidden.irreps, "2x0e"
        terms = [(0, hidden.scalars), (1, hidden.vectors)]

        def product(copies: int, more: bool, gated: bool) -> Any:
            if lean:
                return LeanTensorProduct(terms * copies + [(0, 2)] * more, hidden, gated)
            return E3nnTensorProduct("+".join([own] * copies + [extra] * more), hidden, gated)

        self.message_layer_1 = product(2, True, True)
        self.message_layer_2 = product(1, False, True)
        self.update_layer_1 = product(2, False, True)
        self.update_layer_2 = product(1, False, False)
        self.branches = branches
        if branches:
            width = hidden.scalars + 3 * hidden.vectors
            self.lin_noneq1 = free_branch(2 * width, width)
            self.lin_noneq2 = free_branch(width, width)
            self.gammas = nn.ParameterList(nn.Parameter(torch.tensor(1.0)) for _ in range(2))

    def forward(self, x: Tensor, graph: IndexGraph, edge: Tensor, node: Tensor, extra: Tensor) -> Tensor:
        m = torch.cat([graph.at_target(x), graph.at_source(x), extra], 1)
        m = self.message_layer_2(self.message_layer_1(m, edge), edge)
        z = torch.cat([x, graph.sum_at_target(m)], 1)
        y = self.update_layer_1(z, node)
        if self.branches:
            y = y + self.gammas[0] * self.lin_noneq1(z)
        d = self.update_layer_2(y, node)
        if self.branches:
            d = d + self.gammas[1] * self.lin_noneq2(y)
        return x + d

    def flat(self, *parts: Features) -> Tensor:
        return torch.cat([t for s, v in parts for t in (s, v.transpose(1, 2).flatten(1))], 1)

    def add_branch(self, y: Features, gamma: Tensor, free: Tensor) -> Features:
        s, v = (gamma * free).tensor_split([self.hidden.scalars], 1)
        return y[0] + s, y[1] + v.unflatten(1, (-1, 3)).transpose(1, 2)

    def forward_lean(self, x: Features, graph: Graph, edge: Tensor, node: Tensor, extra: Tensor) -> Features:
        s, v = x
        first: Any = self.message_layer_1
        if self.node_first:
            m = first.node_first(graph, x, extra, edge)
        else:
            m0 = torch.cat([graph.at_target(s), graph.at_source(s), extra], 1)
            m = first((m0, torch.cat([graph.at_target(v), graph.at_source(v)], 2)), edge)
        m = self.message_layer_2(m, edge)
        m = graph.sum_at_target(m[0]), graph.sum_at_target(m[1])
        y = self.update_layer_1((torch.cat([s, m[0]], 1), torch.cat([v, m[1]], 2)), node)
        if self.branches:
            y = self.add_branch(y, self.gammas[0], self.lin_noneq1(self.flat(x, m)))
        d = self.update_layer_2(y, node)
        if self.branches:
            d = self.add_branch(d, self.gammas[1], self.lin_noneq2(self.flat(y)))
        return s + d[0], v + d[1]


class Segnn(nn.Module):
    def __init__(self, graph: Graph, hidden: Widths, layers: int, branches: bool, lean: bool, node_first: bool = False) -> None:
        super().__init__()
        self.graph, self.lean = graph, lean
        terms, first = [(0, hidden.scalars), (1, hidden.vectors)], [(1, 2), (0, 1)]
        output = Widths(0, 1)

        def product(irreps: str, terms: list[tuple[int, int]], out: Widths, gated: bool) -> Any:
            return LeanTensorProduct(terms, out, gated) if lean else E3nnTensorProduct(irreps, out, gated)

        self.embedding_layer = product("2x1o+1x0e", first, hidden, False)
        self.layers = nn.ModuleList(SegnnLayer(hidden, branches, lean, node_first) for _ in range(layers))
        self.pre_pool1 = product(hidden.irreps, terms, hidden, True)
        self.pre_pool2 = product(hidden.irreps, terms, output, False)

    def gates(self) -> list[nn.Parameter]:
        return [p for name, p in self.named_parameters() if ".gammas." in name]

    def forward(self, position: Tensor, x: Tensor, edge: Tensor, node: Tensor, extra: Tensor, seen: list[Tensor] | None = None) -> Tensor:
        """Predicted positions; `seen` collects embedding, layers and pre_pool1 in published layout."""
        layers: list[Any] = list(self.layers)
        if self.lean:
            pair = self.embedding_layer((x[:, 6:], x[:, :6].unflatten(1, (2, 3)).transpose(1, 2)), node)
            for layer in layers:
                if seen is not None:
                    seen.append(layer.flat(pair))
                pair = layer.forward_lean(pair, self.graph, edge, node, extra)
            head = self.pre_pool1(pair, node)
            if seen is not None:
                seen += [layers[0].flat(pair), layers[0].flat(head)]
            return position + self.pre_pool2(head, node)[1].squeeze(2)
        h = self.embedding_layer(x, node)
        for layer in layers:
            if seen is not None:
                seen.append(h)
            h = layer(h, self.graph, edge, node, extra)
        head = self.pre_pool1(h, node)
        if seen is not None:
            seen += [h, head]
        return position + self.pre_pool2(head, node)


# --- EGNN ------------------------------------------------------------------------------------------------------


class EgnnLayer(nn.Module):
    def __init__(self, width: int, node_first: bool) -> None:
        super().__init__()
        self.width, self.node_first = width, node_first
        first = nn.Linear(2 * width + 3, width)
        self.edge_mlp = nn.Sequential(first, nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.node_mlp = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width))
        last = nn.Linear(width, 1, bias=False)
        nn.init.xavier_uniform_(last.weight, gain=0.001)
        self.coord_mlp = nn.Sequential(nn.Linear(width, width), nn.SiLU(), last)
        self.coord_mlp_vel = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1))

    def message(self, graph: Graph, h: Tensor, on_edge: Tensor) -> Tensor:
        if not self.node_first:
            return self.edge_mlp(torch.cat([graph.at_target(h), graph.at_source(h), on_edge], 1))
        first: Any = self.edge_mlp[0]
        of_target, of_source, of_edge = first.weight.T.split([self.width, self.width, 3])
        m = graph.at_target(h @ of_target) + graph.at_source(h @ of_source)
        m = m + torch.addmm(first.bias, on_edge, of_edge)
        return self.edge_mlp[1:](m)

    def forward(self, graph: Graph, h: Tensor, x: Tensor, v: Tensor, edge: Tensor) -> tuple[Tensor, Tensor]:
        r = graph.at_target(x) - graph.at_source(x)
        m = self.message(graph, h, torch.cat([r.square().sum(1, keepdim=True), edge], 1))
        shift = (r * self.coord_mlp(m)).clamp(-100, 100)
        x = x + graph.mean_at_target(shift) + self.coord_mlp_vel(h) * v
        return h + self.node_mlp(torch.cat([h, graph.sum_at_target(m)], 1)), x


class Egnn(nn.Module):
    def __init__(self, graph: Graph, width: int, layers: int, node_first: bool = False) -> None:
        super().__init__()
        self.graph, self.count = graph, layers
        self.embedding = nn.Linear(1, width)
        for k in range(layers):
            self.add_module(f"gcl_{k}", EgnnLayer(width, node_first))

    def gates(self) -> list[nn.Parameter]:
        return []

    def forward(self, position: Tensor, velocity: Tensor, speed: Tensor, edge: Tensor, seen: list[Tensor] | None = None) -> Tensor:
        """Predicted positions; `seen` collects h after the embedding, then h and x of every layer."""
        h, x = self.embedding(speed), position
        if seen is not None:
            seen.append(h)
        for k in range(self.count):
            h, x = self.get_submodule(f"gcl_{k}")(self.graph, h, x, velocity, edge)
            if seen is not None:
                seen += [h, x]
        return x


def egnn_inputs(graph: Graph, position: Tensor, velocity: Tensor, charge: Tensor) -> tuple[Tensor, ...]:
    """|v| and edge features [q_i q_j, |x_i − x_j|²] of the input frame, as inputs of their own."""
    r = graph.at_target(position) - graph.at_source(position)
    edge = torch.cat([graph.at_source(charge) * graph.at_target(charge), r.square().sum(1, keepdim=True)], 1)
    return velocity, velocity.norm(dim=1, keepdim=True).detach(), edge.detach()


# --- weights under the published names -------------------------------------------------------------------------


def exchange(model: nn.Module) -> Exchange:
    """Published name, parameter, and where its entries lie in the flattened published parameter."""
    done: set[int] = set()
    for prefix, module in model.named_modules():
        if isinstance(module, LeanTensorProduct):
            done |= {id(p) for p in module.parameters()}
            yield from module.exchange(prefix + ".")
    for name, p in model.named_parameters():
        if id(p) not in done:
            yield name, p, torch.arange(p.numel()).view(p.shape)


def load(model: nn.Module, weights: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, p, index in exchange(model):
            p.copy_(weights[name].flatten()[index])
        for name, buffer in model.named_buffers():
            if name in weights:
                buffer.copy_(weights[name])


def gather(model: nn.Module, gradient: bool = False) -> dict[str, Tensor]:
    """Weights (or gradients; unreached ones zero) under the published names, flattened."""
    pieces: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for name, p, index in exchange(model):
        value = (torch.zeros_like(p) if p.grad is None else p.grad) if gradient else p.detach()
        pieces.setdefault(name, []).append((index.flatten(), value.flatten()))
    out = {}
    for name, parts in pieces.items():
        index, value = (torch.cat(t) for t in zip(*parts))
        out[name] = torch.empty_like(value).index_copy_(0, index, value)
    return out
