// See arena.hpp.
#include "tether/program/arena.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace tether {
namespace {

// First-fit allocation of arena intervals in node order.
class Intervals {
public:
    Index take(Index size) {
        for (auto it = free_.begin(); it != free_.end(); ++it) {
            if (it->second >= size) {
                const Index at = it->first;
                const Index left = it->second - size;
                free_.erase(it);
                if (left > 0) {
                    free_[at + size] = left;
                }
                return at;
            }
        }
        const Index at = end_;
        end_ += size;
        return at;
    }
    void give(Index at, Index size) {
        auto next = free_.lower_bound(at);
        if (next != free_.end() && at + size == next->first) {
            size += next->second;
            next = free_.erase(next);
        }
        if (next != free_.begin()) {
            auto before = std::prev(next);
            if (before->first + before->second == at) {
                before->second += size;
                return;
            }
        }
        free_[at] = size;
    }
    [[nodiscard]] Index end() const { return end_; }

private:
    std::map<Index, Index> free_;
    Index end_ = 0;
};

} // namespace

Index assign_places(const Program& program, const std::vector<std::vector<std::size_t>>& units,
                    const std::function<bool(std::size_t)>& wanted, const std::vector<Index>& size,
                    std::vector<Index>& place, std::vector<std::vector<int>>* dies_after) {
    std::vector<std::size_t> last(program.values.size(), 0);
    const auto each = [&](std::size_t unit, auto&& f) {
        for (const std::size_t n : units[unit]) {
            for (const auto* list : {&program.nodes[n].in, &program.nodes[n].out}) {
                for (const Value v : *list) {
                    if (v.valid() && program.info(v).kind == ValueKind::intermediate &&
                        wanted(static_cast<std::size_t>(v.id))) {
                        f(static_cast<std::size_t>(v.id));
                    }
                }
            }
        }
    };
    for (std::size_t u = 0; u < units.size(); ++u) {
        each(u, [&](std::size_t v) { last[v] = u; });
    }
    for (const auto& [name, v] : program.outputs) {
        last[static_cast<std::size_t>(v.id)] = units.size();
    }
    if (dies_after != nullptr) {
        dies_after->assign(units.size(), {});
    }
    Intervals intervals;
    for (std::size_t u = 0; u < units.size(); ++u) {
        each(u, [&](std::size_t v) {
            if (place[v] < 0) {
                place[v] = intervals.take(size[v]);
            }
        });
        std::vector<int> ends;
        each(u, [&](std::size_t v) {
            if (last[v] == u && std::ranges::find(ends, static_cast<int>(v)) == ends.end()) {
                ends.push_back(static_cast<int>(v));
            }
        });
        for (const int v : ends) {
            intervals.give(place[static_cast<std::size_t>(v)], size[static_cast<std::size_t>(v)]);
        }
        if (dies_after != nullptr) {
            (*dies_after)[u] = std::move(ends);
        }
    }
    return intervals.end();
}

} // namespace tether
