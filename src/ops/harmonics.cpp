#include "tether/ops/harmonics.hpp"

#include "tether/core/error.hpp"

#include <algorithm>
#include <memory>

namespace tether::ops {
namespace {

using kernels::Normalisation;

class HarmonicsBackward : public OpOf<HarmonicsBackward> {
public:
    HarmonicsBackward(int lmax, Normalisation n) : lmax_(lmax), normalisation_(n) {}
    [[nodiscard]] std::string_view name() const override { return "spherical_harmonics_backward"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        std::fill_n(r.out(0), r.out_rows(0) * 3, T(0));
        for (Index row = 0; row < r.out_rows(0); ++row) {
            kernels::spherical_harmonics_backward(r.in(0) + row * 3, lmax_, normalisation_,
                                                  r.in(1) + row * r.in_columns(1), r.out(0) + row * 3);
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.each_row(r.output(0),
                   kernels::HarmonicsBackwardRow<T>{r.in(0), r.in(1), lmax_, normalisation_, r.out(0)});
    }

private:
    int lmax_;
    Normalisation normalisation_;
};

class Harmonics : public OpOf<Harmonics> {
public:
    Harmonics(int lmax, Normalisation n) : lmax_(lmax), normalisation_(n) {}
    [[nodiscard]] std::string_view name() const override { return "spherical_harmonics"; }
    [[nodiscard]] Tiling tiling() const override { return Tiling::rows; }
    template <class T>
    void execute(Run<T>& r) const {
        for (Index row = 0; row < r.out_rows(0); ++row) {
            kernels::spherical_harmonics(r.in(0) + row * 3, lmax_, normalisation_,
                                         r.out(0) + row * r.out_columns(0));
        }
    }
    template <class T>
    void record(DeviceRun<T>& r) const {
        r.each_row(r.output(0), kernels::HarmonicsRow<T>{r.in(0), lmax_, normalisation_, r.out(0)});
    }
    void reverse(Reverse& r) const override {
        r.add(0, r.builder().append(std::make_shared<HarmonicsBackward>(lmax_, normalisation_),
                                    {r.in(0), r.gradient(0)}, r.builder().info(r.in(0)).extent, 3));
    }

private:
    int lmax_;
    Normalisation normalisation_;
};

} // namespace

Value spherical_harmonics(Builder& b, Value vectors, int lmax, Normalisation normalisation) {
    check(b.info(vectors).columns == 3, "spherical_harmonics: {} columns, expected 3",
          b.info(vectors).columns);
    check(lmax >= 0 && lmax <= 6, "spherical_harmonics: degree {}, expected 0 to 6", lmax);
    return b.append(std::make_shared<Harmonics>(lmax, normalisation), {vectors}, b.info(vectors).extent,
                    Index{lmax + 1} * (lmax + 1));
}

} // namespace tether::ops
