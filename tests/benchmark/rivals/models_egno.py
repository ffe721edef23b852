"""EGNO for motion capture in PyTorch, strict or with the free branches of ACE, written twice.

`published`   the structure of the published code: FFT over time, concatenated message inputs, PyTorch's spectral
              norm and batch norm, index_select and index_add over an edge list.
`node_first`  what somebody would write who wants speed: the convolution over time as two small real matrices
              around the products, the linear part of the first message map on nodes instead of edges.
Rows of node tensors are time-major: row t * nodes + i. Both hold the same weights under the published names.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from models import IndexGraph

BOUND = 100.0  # per component of the mean push on a joint
TIME_FEATURES = 32


def time_embedding(times: int, width: int) -> Tensor:
    half = width // 2
    angle = torch.arange(times).unsqueeze(1) * torch.exp(torch.arange(half) * (-math.log(10000.0) / (half - 1)))
    return torch.cat([angle.sin(), angle.cos()], 1)


def real_spectrum(times: int, modes: int) -> tuple[Tensor, Tensor]:
    """rfft and irfft of the lowest modes as real matrices [2 modes, times] and [times, 2 modes]: (re, im) by mode."""
    phase = 2 * math.pi * torch.arange(modes).unsqueeze(1) * torch.arange(times) / times
    there = torch.stack([phase.cos(), -phase.sin()], 1).flatten(0, 1)
    weight = torch.where((torch.arange(modes) == 0) | (2 * torch.arange(modes) == times), 1.0, 2.0) / times
    return there, (there * weight.repeat_interleave(2).unsqueeze(1)).T.contiguous()


class SpectralConvolution(nn.Module):
    """y = irfft(W_k rfft(x)_k) over the times, for x [times, rows, channels]; W [in, out, mode, re/im]."""

    def __init__(self, channels: int, times: int, modes: int, scale: float, lean: bool) -> None:
        super().__init__()
        self.weights1 = nn.Parameter(scale * torch.rand(channels, channels, modes, 2))
        self.times, self.modes, self.lean = times, modes, lean
        for name, matrix in zip(("there", "back"), real_spectrum(times, modes)):
            self.register_buffer(name, matrix, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if not self.lean:
            spectrum = torch.fft.rfft(x, dim=0)
            out = torch.zeros_like(spectrum)
            out[: self.modes] = torch.einsum("mni,iom->mno", spectrum[: self.modes], torch.view_as_complex(self.weights1))
            return torch.fft.irfft(out, n=self.times, dim=0)
        real, imaginary = self.weights1.permute(3, 2, 0, 1)
        block = torch.cat([torch.cat([real, imaginary], 2), torch.cat([-imaginary, real], 2)], 1)  # [modes, 2 in, 2 out]
        spectrum = torch.tensordot(self.there, x, 1).unflatten(0, (self.modes, 2)).transpose(1, 2).flatten(2)
        out = torch.bmm(spectrum, block).unflatten(2, (2, -1)).transpose(1, 2).flatten(0, 1)
        return torch.tensordot(self.back, out, 1)


class TimeConvolution(nn.Module):
    def __init__(self, channels: int, times: int, modes: int, scale: float, lean: bool) -> None:
        super().__init__()
        self.t_conv = SpectralConvolution(channels, times, modes, scale, lean)


class Perceptron(nn.Module):
    def __init__(self, inputs: int, hidden: int, out: int, last: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, out)]
        self.mlp = nn.Sequential(*layers, *([nn.SiLU()] if last else []))

    def forward(self, x: Tensor) -> Tensor:
        return self.mlp(x)


class MessageNet(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.scalar_net = Perceptron(2 * width + 3, width, width, last=True)


class EgnoLayer(nn.Module):
    def __init__(self, width: int, node_first: bool) -> None:
        super().__init__()
        self.width, self.node_first = width, node_first
        self.edge_message_net = MessageNet(width)
        self.coord_net = Perceptron(width, width, 1)
        self.node_v_net = Perceptron(width, width, 1)
        self.node_net = Perceptron(2 * width, width, width)

    def message(self, graph: IndexGraph, h: Tensor, square: Tensor, edge: Tensor) -> Tensor:
        net = self.edge_message_net.scalar_net
        if not self.node_first:
            return net(torch.cat([square, graph.at_target(h), graph.at_source(h), edge], 1))
        first: nn.Linear = net.mlp[0]  # type: ignore[assignment]
        of_square, of_target, of_source, of_edge = first.weight.T.split([1, self.width, self.width, 2])
        m = graph.at_target(h @ of_target) + graph.at_source(h @ of_source)
        return net.mlp[1:](m + torch.addmm(first.bias, torch.cat([square, edge], 1), torch.cat([of_square, of_edge])))

    def forward(self, graph: IndexGraph, h: Tensor, x: Tensor, v: Tensor, edge: Tensor) -> tuple[Tensor, Tensor]:
        r = graph.at_target(x) - graph.at_source(x)
        m = self.message(graph, h, r.square().sum(1, keepdim=True), edge)
        push = graph.mean_at_target(r * self.coord_net(m)).clamp(-BOUND, BOUND)
        x = x + self.node_v_net(h) * v + push
        return self.node_net(torch.cat([h, graph.sum_at_target(m)], 1)), x


def normalised(inputs: int, out: int) -> nn.Module:
    return spectral_norm(nn.Linear(inputs, out), n_power_iterations=5)


class Egno(nn.Module):
    """`graph`: of all times, rows as above."""

    def __init__(self, graph: IndexGraph, width: int, layers: int, times: int, modes: int, branches: bool, node_first: bool) -> None:
        super().__init__()
        self.graph, self.times, self.branches = graph, times, branches
        self.register_buffer("clock", time_embedding(times, TIME_FEATURES), persistent=False)
        raw = 2 + TIME_FEATURES
        self.embedding = nn.Linear(raw, width)
        scale = 1 / (width * width)
        self.time_conv_modules = nn.ModuleList(TimeConvolution(width, times, modes, scale, node_first) for _ in range(layers))
        self.time_conv_x_modules = nn.ModuleList(TimeConvolution(2, times, modes, 0.1, node_first) for _ in range(layers))
        self.layers = nn.ModuleList(EgnoLayer(width, node_first) for _ in range(layers))
        if branches:
            self.pos_linear_h, self.pos_linear_x = nn.Linear(raw, width), nn.Linear(3, 3)
            chain = [nn.Sequential(nn.BatchNorm1d(width), normalised(width, width)) for _ in range(layers)]
            self.pos_interactions_h = nn.ModuleList(chain)
            maps = [[nn.BatchNorm1d(3), normalised(3, width), nn.SiLU(), nn.BatchNorm1d(width), normalised(width, 3)] for _ in range(layers)]
            self.pos_interactions_x = nn.ModuleList(nn.Sequential(*each) for each in maps)
            self.gammas_h, self.gammas_x = (nn.ParameterList(nn.Parameter(torch.tensor(1.0)) for _ in range(layers)) for _ in "hx")

    def gates(self) -> list[nn.Parameter]:
        return [*self.gammas_h, *self.gammas_x] if self.branches else []

    def forward(
        self, position: Tensor, velocity: Tensor, node: Tensor, edge: Tensor, mean: Tensor, seen: dict[str, Tensor] | None = None
    ) -> Tensor:
        """Positions at all times [times * nodes, 3]; inputs are those of the first frame, `edge` per edge of it."""
        count, times = len(position), self.times

        def repeated(a: Tensor) -> Tensor:
            return a.repeat(times, 1)

        raw = torch.cat([repeated(node), self.clock.repeat_interleave(count, 0)], 1)
        x, v, mean, edge = (repeated(a) for a in (position, velocity, mean, edge))
        h = self.embedding(raw)
        q = self.pos_linear_h(raw) if self.branches else None
        if seen is not None:
            seen["after_embedding"] = h
        for k, layer in enumerate(self.layers):
            h = h + F.leaky_relu(self.time_conv_modules[k].t_conv(h.unflatten(0, (times, count))).flatten(0, 1), 0.01)
            pair = torch.stack([x - mean, v], 2).view(times, 3 * count, 2)
            pair = self.time_conv_x_modules[k].t_conv(pair).reshape(times * count, 3, 2)
            x, v = x + pair[:, :, 0], v + pair[:, :, 1]
            entering = x
            h, x = layer(self.graph, h, x, v, edge)
            if self.branches:
                q = self.pos_interactions_h[k](q)
                h = h + self.gammas_h[k] * q
                x = x + self.gammas_x[k] * self.pos_interactions_x[k](self.pos_linear_x(entering))
            if seen is not None:
                seen[f"layer_{k}/h"], seen[f"layer_{k}/x"] = h, x
        return x


def skeleton_edges(edges: Tensor, joints: int) -> tuple[Tensor, Tensor]:
    """Bones (type 1) and pairs two bones apart (type 2), both directions: [2, edges] (source, target) and types [edges, 1]."""
    bone = torch.zeros(joints, joints, dtype=torch.bool)
    bone[edges[:, 0], edges[:, 1]] = True
    bone |= bone.T.clone()
    two = ((bone.int() @ bone.int()) > 0) & ~bone & ~torch.eye(joints, dtype=torch.bool)
    target, source = (bone | two).nonzero().T
    return torch.stack([source, target]), torch.where(bone[source, target], 1.0, 2.0).unsqueeze(1)


def all_times(edge_index: Tensor, graphs: int, joints: int, times: int) -> IndexGraph:
    """The graph of one skeleton, once per sample and time."""
    shifted = edge_index.unsqueeze(1) + torch.arange(graphs * times).unsqueeze(1) * joints
    return IndexGraph(*shifted.flatten(1))
