// Private to src/ops: a bilinear map as its kernels walk it.
#pragma once

#include "tether/core/error.hpp"
#include "tether/kernels/bilinear.hpp"
#include "tether/kernels/bilinear_numbers.hpp"
#include "tether/ops/bilinear.hpp"

#include <algorithm>
#include <map>
#include <type_traits>
#include <vector>

namespace tether::ops {

// Rows that are worked on together: their sums and factors stay in the first-level cache.
inline constexpr Index rows_at_once = 8;

// The map as tables that a kernel walks: entries grouped by output block.
class BilinearTables {
public:
    // Output columns that no term reaches get a block without entries, so that every column is written.
    explicit BilinearTables(const BilinearMap& map) {
        std::map<Index, std::vector<BilinearTerm>> by_column;
        for (const BilinearTerm& t : map.terms) {
            by_column[t.out_column].push_back(t);
        }
        Index next = 0;
        const auto empty_until = [&](Index column) {
            if (column > next) {
                const auto e = static_cast<Index>(entries_.size());
                blocks_.push_back({next, column - next, e, e});
            }
        };
        for (const auto& [column, terms] : by_column) {
            check(column >= next, "bilinear: output blocks overlap at column {}", column);
            empty_until(column);
            const auto first = static_cast<Index>(entries_.size());
            for (const BilinearTerm& t : terms) {
                check(t.length == terms.front().length, "bilinear: blocks of different length at column {}",
                      column);
                entries_.push_back({t.x_column, factor_of(t)});
            }
            next = column + terms.front().length;
            blocks_.push_back({column, terms.front().length, first, static_cast<Index>(entries_.size())});
        }
        empty_until(map.columns);
        for (const auto& f : double_) {
            single_.push_back({f.attribute, static_cast<float>(f.coefficient)});
        }
    }

    template <class T>
    [[nodiscard]] kernels::BilinearTable<T> of() const {
        const auto table = [&](const kernels::BilinearFactor<T>* factors) {
            return kernels::BilinearTable<T>{blocks_.data(), static_cast<Index>(blocks_.size()),
                                             entries_.data(), factors, static_cast<Index>(double_.size())};
        };
        if constexpr (std::is_same_v<T, float>) {
            return table(single_.data());
        } else {
            return table(double_.data());
        }
    }
    // The same in a device's memory, by number.
    template <class T>
    [[nodiscard]] kernels::BilinearNumberTable<T> on_device(DeviceMemory& memory) const {
        std::vector<std::int32_t> block_of;
        std::vector<std::int32_t> begin{0};
        std::vector<kernels::BilinearNumberTerm<T>> terms;
        for (const kernels::BilinearBlock& block : blocks_) {
            block_of.resize(static_cast<std::size_t>(block.column + block.length),
                            static_cast<std::int32_t>(begin.size() - 1));
            for (Index e = block.first; e < block.last; ++e) {
                const kernels::BilinearEntry& entry = entries_[static_cast<std::size_t>(e)];
                const auto& factor = double_[static_cast<std::size_t>(entry.factor)];
                terms.push_back({static_cast<std::int32_t>(entry.column - block.column),
                                 static_cast<std::int32_t>(factor.attribute),
                                 static_cast<T>(factor.coefficient)});
            }
            begin.push_back(static_cast<std::int32_t>(terms.size()));
        }
        return {memory.constants(std::span<const std::int32_t>(block_of)),
                memory.constants(std::span<const std::int32_t>(begin)),
                memory.constants(std::span<const kernels::BilinearNumberTerm<T>>(terms))};
    }
    [[nodiscard]] Index factors() const { return static_cast<Index>(double_.size()); }
    // Multiplications and additions of one row.
    [[nodiscard]] double flop() const {
        double per_row = 0;
        for (const auto& b : blocks_) {
            per_row += 2.0 * static_cast<double>(b.length * (b.last - b.first));
        }
        return per_row;
    }

private:
    Index factor_of(const BilinearTerm& t) {
        for (std::size_t f = 0; f < double_.size(); ++f) {
            if (double_[f].attribute == t.attribute && double_[f].coefficient == t.coefficient) {
                return static_cast<Index>(f);
            }
        }
        double_.push_back({t.attribute, t.coefficient});
        return static_cast<Index>(double_.size()) - 1;
    }

    std::vector<kernels::BilinearBlock> blocks_;
    std::vector<kernels::BilinearEntry> entries_;
    std::vector<kernels::BilinearFactor<double>> double_;
    std::vector<kernels::BilinearFactor<float>> single_;
};

} // namespace tether::ops
