// Row-wise functors that may be steps of others (tether/kernels/row_steps.hpp), and products that elementwise
// ones follow.
#pragma once

#include "elementwise.hpp"
#include "graphs.hpp"
#include "norms.hpp"
#include "products.hpp"
#include "tensor_products.hpp"

#include "tether/kernels/row_steps.hpp"

#include <type_traits>

namespace tether::kernels {

template <class F>
struct IsByRows : std::false_type {};
template <class G>
struct IsByRows<PerFlat<G>> : std::true_type {};
template <class G>
struct IsByRows<PerNumber<G>> : std::true_type {};
template <class G>
struct IsByRows<PerRow<G>> : std::true_type {};

// The functors of all lists that go by rows.
template <class Found, class... Lists>
struct ByRowsOf {
    using type = Found;
};
template <class... Found, class F, class... Others, class... Lists>
struct ByRowsOf<Functors<Found...>, Functors<F, Others...>, Lists...>
    : ByRowsOf<std::conditional_t<IsByRows<F>::value, Functors<Found..., F>, Functors<Found...>>,
               Functors<Others...>, Lists...> {};
template <class... Found, class... Lists>
struct ByRowsOf<Functors<Found...>, Functors<>, Lists...> : ByRowsOf<Functors<Found...>, Lists...> {};

template <class T>
using StepFunctors = typename ByRowsOf<Functors<>, ElementwiseFunctors<T>, ActivationFunctors<T>,
                                       GraphFunctors<T>, TensorProductFunctors<T>, NormFunctors<T>>::type;

template <class F>
struct IsElementwise : std::false_type {};
template <class G>
struct IsElementwise<PerFlat<G>> : std::true_type {};

// Calls call(f) with the functor of a step, if it is one of these.
template <class... F, class Call>
TETHER_HD void with_functor(Functors<F...>, const RowStep& step, const Call& call) {
    std::int32_t kind = 0;
    ((step.kind == kind++ ? call(*reinterpret_cast<const F*>(step.functor)) : void()), ...);
}

// Step of one number of a value, for steps that are elementwise.
struct StepOfNumber {
    Index i;
    template <class F>
    TETHER_HD void operator()(const F& f) const {
        if constexpr (IsElementwise<F>::value) {
            f(i);
        }
    }
};

// A product, each number of whose result goes through elementwise steps as soon as it is there.
template <class T, ProductPrecision precision = ProductPrecision::exact>
struct ProductThen {
    using Product = BlockProduct<T, precision>;
    static constexpr int threads = Product::threads;
    using Shared = typename Product::Shared;
    using Local = typename Product::Local;

    Product product;
    const RowStep* steps;
    Index count;

    TETHER_HD Index phases(Index block) const { return product.phases(block); }
    TETHER_HD void phase(Index p, Index block, int thread, Shared& shared, Local& local) const {
        product.phase(p, block, thread, shared, local, Then{steps, count});
    }

private:
    struct Then {
        const RowStep* steps;
        Index count;
        TETHER_HD void operator()(Index i) const {
            for (Index s = 0; s < count; ++s) {
                with_functor(StepFunctors<T>{}, steps[s], StepOfNumber{i});
            }
        }
    };
};

template <class T>
using ProductThenFunctors = Functors<ProductThen<T>>;

using RoundedProductThenFunctors =
    Functors<ProductThen<float, ProductPrecision::tf32>, ProductThen<float, ProductPrecision::bf16>>;

} // namespace tether::kernels
