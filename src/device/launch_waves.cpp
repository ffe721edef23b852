#include "launch_waves.hpp"

#include <algorithm>

namespace tether::device {
namespace {

// Launches of a wave with one functor.
using Members = std::vector<const Launch*>;

std::vector<Members> members_of_wave(std::span<const BatchedRange> ranges, std::size_t first,
                                     std::size_t last) {
    std::vector<Members> groups;
    for (const BatchedRange& r : ranges) {
        for (std::size_t i = first; i < last; ++i) {
            const Launch& launch = r.list->launches()[r.first + i];
            const auto same = std::ranges::find_if(groups, [&](const Members& m) {
                return m.front()->functor == launch.functor && m.front()->parts == launch.parts;
            });
            if (launch.shape == Launch::Shape::exchange && ranges.size() > 1) {
                continue;
            }
            if (same == groups.end() || launch.shape == Launch::Shape::exchange) {
                groups.push_back({&launch});
            } else {
                same->push_back(&launch);
            }
        }
    }
    return groups;
}

void put(std::vector<std::byte>& bytes, const void* from, std::size_t size) {
    const auto* begin = static_cast<const std::byte*>(from);
    bytes.insert(bytes.end(), begin, begin + size);
}

std::size_t align(std::vector<std::byte>& bytes) {
    bytes.resize((bytes.size() + 15) / 16 * 16);
    return bytes.size();
}

} // namespace

int parts_of_teams(Index teams, Index multiprocessors) {
    int parts = 1;
    while (2 * teams <= multiprocessors && parts < most_parts && teams * parts <= multiprocessors) {
        parts *= 2;
    }
    return parts;
}

LaunchWaves launch_waves(std::span<const BatchedRange> ranges,
                         const std::function<Kernels(const Launch&)>& kernels) {
    check_same_launches(ranges);
    LaunchWaves out;
    const BatchedRange& one = ranges.front();
    for (std::size_t begin = one.first, end = begin; begin < one.last; begin = end) {
        end = one.list->wave_end(begin, one.last);
        std::vector<KernelGroup> wave;
        for (const Members& members : members_of_wave(ranges, begin - one.first, end - one.first)) {
            KernelGroup& group = wave.emplace_back();
            group.first = *members.front();
            group.members = static_cast<unsigned>(members.size());
            if (group.first.shape != Launch::Shape::exchange) {
                group.kernels = kernels(group.first);
            }
            for (const Launch* launch : members) {
                group.most_items = std::max(group.most_items, launch->items);
            }
            if (members.size() > 1) {
                group.functors = align(out.bytes);
                for (const Launch* launch : members) {
                    put(out.bytes, launch->bytes.data(), launch->size);
                }
                group.items = align(out.bytes);
                for (const Launch* launch : members) {
                    put(out.bytes, &launch->items, sizeof(Index));
                }
            }
        }
        if (!wave.empty()) {
            out.waves.push_back(std::move(wave));
        }
    }
    return out;
}

} // namespace tether::device
