// Sums over rows on a device, in one fixed order for any number of devices: within a lane, `groups` threads
// take every groups-th row and are added as a balanced tree; lanes by the balanced tree of core/fixed_tree.
#pragma once

#include "tether/core/host_device.hpp"
#include "tether/kernels/batch_rows.hpp"
#include "tether/kernels/parts.hpp"

namespace tether::kernels {

// partial[lane * columns + c] = sum over the rows of the lane of leaf(row, c), in Sum. One block per lane and
// `Width` columns.
template <class Sum, class Leaf, int Width>
struct LaneSums {
    static constexpr int threads = 256;
    static constexpr int groups = threads / Width;
    struct Shared {
        Sum sum[threads];
    };
    struct Local {};

    LaneRows rows;
    Index columns;
    Leaf leaf;
    Sum* partial;

    [[nodiscard]] Index blocks() const { return rows.lanes * ((columns + Width - 1) / Width); }
    TETHER_HD Index phases(Index) const {
        Index levels = 1; // the rows, then the tree
        for (int g = groups; g > 1; g /= 2) {
            ++levels;
        }
        return levels + 1;
    }
    TETHER_HD void phase(Index p, Index block, int thread, Shared& shared, Local&) const {
        const Index tiles = (columns + Width - 1) / Width;
        const Index lane = block / tiles;
        const Index column = block % tiles * Width + thread % Width;
        const int group = thread / Width;
        if (p == 0) {
            Sum sum = 0;
            if (column < columns) {
                for (Index row = rows.first(lane) + group; row < rows.last(lane); row += groups) {
                    sum += leaf(row, column);
                }
            }
            shared.sum[thread] = sum;
            return;
        }
        const int stride = p < 31 ? groups >> p : 0; // groups / 2, ..., 1, then 0
        if (stride > 0) {
            if (group < stride) {
                shared.sum[thread] += shared.sum[thread + stride * Width];
            }
        } else if (group == 0 && column < columns) {
            partial[lane * columns + column] = shared.sum[thread];
        }
    }
};

// Sums over rows of numbers that lie in memory, many of them in one launch: columns of x, or of x · y.
template <class T>
struct LaneSumPiece {
    LaneRows rows;
    const T *x, *y; // first column; y may be null
    Index stride, columns;
    int width; // threads side by side, a power of two, at least `columns`
    T* partial;
    Index at, lane_stride; // sums of lane l: from partial + l · lane_stride + at on
};

// One block per piece and lane.
template <class T>
struct LaneSumPieces {
    static constexpr int threads = 256;
    struct Shared {
        T sum[threads];
    };
    struct Local {};
    const LaneSumPiece<T>* pieces;
    Index lanes;

    TETHER_HD Index phases(Index block) const {
        Index levels = 2; // the rows, the tree, the end
        for (int g = threads / pieces[block / lanes].width; g > 1; g /= 2) {
            ++levels;
        }
        return levels;
    }
    TETHER_HD void phase(Index p, Index block, int thread, Shared& shared, Local&) const {
        const LaneSumPiece<T>& piece = pieces[block / lanes];
        const Index lane = block % lanes;
        const int column = thread % piece.width;
        const int group = thread / piece.width;
        const int groups = threads / piece.width;
        if (p == 0) {
            T sum = 0;
            for (Index row = piece.rows.first(lane) + group;
                 column < piece.columns && row < piece.rows.last(lane); row += groups) {
                const Index at = row * piece.stride + column;
                sum += piece.y == nullptr ? piece.x[at] : piece.x[at] * piece.y[at];
            }
            shared.sum[thread] = sum;
            return;
        }
        const int stride = p < 31 ? groups >> p : 0; // groups / 2, ..., 1, then 0
        if (stride > 0) {
            if (group < stride) {
                shared.sum[thread] += shared.sum[thread + stride * piece.width];
            }
        } else if (group == 0 && column < piece.columns) {
            piece.partial[lane * piece.lane_stride + piece.at + column] = shared.sum[thread];
        }
    }
};

// The balanced tree over leaf(lane), as core/fixed_tree adds lanes; lanes is a power of two.
template <class Sum, class Leaf>
TETHER_HD Sum tree_of_lanes(Index lanes, const Leaf& leaf) {
    Sum level[32];
    Sum sum = 0;
    for (Index lane = 0; lane < lanes; ++lane) {
        sum = leaf(lane);
        int at = 0;
        for (Index bits = lane; (bits & 1) != 0; bits >>= 1) {
            sum = level[at++] + sum;
        }
        level[at] = sum;
    }
    return sum;
}

// The same over numbers that lie `stride` apart.
template <class Sum>
TETHER_HD Sum tree_over_lanes(const Sum* leaf, Index lanes, Index stride) {
    return tree_of_lanes<Sum>(lanes, [&](Index lane) { return leaf[lane * stride]; });
}

// put(column, total over the lanes) for every column.
template <class Sum, class Put>
struct LaneTotals {
    const Sum* partial;
    Index lanes, columns;
    Put put;
    TETHER_HD void operator()(Index c) const { put(c, tree_over_lanes(partial + c, lanes, columns)); }
};

// Where elements [first, ...) of a list of totals come from and go to: rows of `columns`, `stride` apart.
template <class T>
struct TotalPlace {
    const T* partial; // element 0 of lane 0
    Index lane_stride, first, columns, stride;
    T* out;
};

// The totals of many sums in one launch.
template <class T>
struct PlacedTotals {
    const TotalPlace<T>* places; // ascending in first
    Index place_count, lanes;
    TETHER_HD void operator()(Index i) const {
        const TotalPlace<T>& place =
            places[part_at(place_count, i, [&](Index p) { return places[p].first; })];
        const Index e = i - place.first;
        place.out[e / place.columns * place.stride + e % place.columns] =
            tree_over_lanes(place.partial + e, lanes, place.lane_stride);
    }
};

} // namespace tether::kernels
