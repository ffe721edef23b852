// The penalty of `schedule` (methods.md 2) on linear maps y = W x + b, from second moments of their inputs:
//   B_a = W A_a - A'_a W,  LD = sum over rows s and a of |B_a x_s + c_a|²,  NM = sum over s of |W x_s + b|²,
//   R = kappa (sqrt(sum of LD over sites) + sqrt(sum of NM over sites)),
// A_a and A'_a the generators on input and output (exact form, c_a = 0). The released form puts other
// sparse matrices in their place and c_a = b - A'_a b. With G = sum x xᵀ, m = sum x, n rows:
//   P_a = B_a G + c_a mᵀ,  dLD/dW = 2 sum_a (P_a A_aᵀ - A'_aᵀ P_a),  dLD/dc_a = 2 (B_a m + n c_a).
// The derivative of a root at 0 is taken as 0. Cost once per step: W G, and (W A_a) G of which what is zero
// by symmetry or read by nobody is left out; P_a = (W A_a) G - A'_a (W G) + c_a mᵀ.
#pragma once

#include "tether/ops/gram.hpp"
#include "tether/program/device_run.hpp"
#include "tether/program/run.hpp"
#include "tether/symmetry/representation.hpp"

#include <array>
#include <span>
#include <vector>

namespace tether::methods {

enum class Bracket : unsigned char { exact, released };

// Constants of one map. Columns of W, x and y lie as the representations say.
class BracketSite {
public:
    BracketSite(const std::vector<symmetry::Representation>& in, const symmetry::Representation& out,
                Bracket bracket);

    [[nodiscard]] Index in() const { return layout_.width(); }
    [[nodiscard]] Index out() const { return out_; }
    [[nodiscard]] const ops::GramLayout& layout() const { return layout_; }

    // A_a and A'_a, entry by entry; whether c_a is more than 0.
    struct Entries {
        std::vector<symmetry::SparseEntry> in, out;
    };
    [[nodiscard]] Entries entries(std::size_t a) const;
    [[nodiscard]] bool bias_in_bracket() const { return bias_in_bracket_; }

    struct Sums {
        double lie = 0, size = 0; // LD, NM
    };
    // `moments`: in the layout of ops::gram. `bias` may be null. Writes the gradients of LD and NM with
    // respect to W [out x in] and b [out] to four arrays; grows `scratch`.
    template <class T>
    struct Gradients {
        T *lie_weight, *lie_bias, *size_weight, *size_bias;
    };
    template <class T>
    Sums evaluate(const T* weight, const T* bias, const T* moments, const Gradients<T>& to,
                  std::vector<T>& scratch) const;

private:
    static constexpr std::size_t most_ranges = 16; // more of them cost more than the zeros they find

    struct Diagonal { // entries (row + k, column + k), k < count, of one value
        Index row, column, count;
        double value;
    };
    [[nodiscard]] static std::vector<Diagonal> diagonals(const std::vector<symmetry::SparseEntry>& entries);
    struct Pair { // A_a and A'_a
        std::vector<Diagonal> in, out;
        std::vector<bool> row_active;   // rows of A'_a with entries
        std::vector<bool> range_active; // ranges of columns in which A_a has entries
    };
    struct Range {
        Index first, count;
    };
    // to = W A_a, and to -= A'_a x for x of W's shape.
    template <class T>
    void times_in(const Pair& pair, const T* weight, T* to) const;
    template <class T>
    void subtract_out(const Pair& pair, const T* x, T* to) const;
    void find_ranges();

    Index out_;
    ops::GramLayout layout_;
    bool bias_in_bracket_;
    std::array<Pair, 3> pairs_;
    std::vector<Range> ranges_; // of columns of W with the same zeros in all A_a
};

// The whole penalty: adds its gradient to those of W and b and returns R. `parallel`: whoever runs parts at
// the same time (program/run.hpp), or null; the numbers are the same.
template <class T>
struct BracketTerm {
    const BracketSite* site;
    const T *weight, *bias, *moments;
    T *weight_gradient, *bias_gradient;
};
template <class T>
[[nodiscard]] double add_bracket_penalty(double kappa, std::span<const BracketTerm<T>> terms,
                                         const Parallel* parallel = nullptr);

// The same on a device: kappa times `gate` where it is not null; R to `penalty` where that is not null.
template <class T>
void record_bracket_penalty(DeviceRun<T>& r, double kappa, const T* gate,
                            std::span<const BracketTerm<T>> terms, T* penalty);

} // namespace tether::methods
