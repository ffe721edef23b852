// The N-body task: from a frame to a later one. Node fields position, velocity, charge (gravity: the
// masses, all 1; four bodies: the masses) of frame_in and target (position at frame_out). Charged
// systems and those of four bodies are fully connected; gravity has directed edges from each body's
// nearest neighbours.
#pragma once

#include "tether/data/graph_set.hpp"

namespace tether::data {

struct NBodyOptions {
    Index train = 0; // samples of each split, the first ones; 0: all
    Index validation = 0;
    Index test = 0;
    Index out_of_distribution = 0;
    Index frame_in = 30;
    Index frame_out = 40;
    Index neighbours = 6; // gravity
};

// Any file in the layout of trajectories.hpp: the published set, the published simulators' own output,
// files of `tether data nbody|gravity|import`. Throws Error(data).
[[nodiscard]] GraphSet open_nbody(const std::string& path, const NBodyOptions& options);

// Directed edges to each node of the last graph of the set from its `neighbours` nearest others by
// position [nodes, 3]; equal distances in order of number. Fewer where the graph has fewer nodes.
void connect_nearest(GraphSet& set, std::span<const double> position, Index neighbours);

} // namespace tether::data
