// All lists of functors (launchers.hpp). Another list: here, and a file of src/kernels/cuda.
#include "functors/elementwise.hpp"
#include "functors/graphs.hpp"
#include "functors/methods.hpp"
#include "functors/norms.hpp"
#include "functors/products.hpp"
#include "functors/row_program.hpp"
#include "functors/tensor_products.hpp"
#include "functors/update.hpp"

#include "tether/kernels/launchers.hpp"

namespace tether::kernels {
namespace {

template <class... Lists>
std::set<std::type_index> types_of(Lists... lists) {
    std::set<std::type_index> types;
    (for_each_functor(lists, [&]<class F>() { types.insert(typeid(F)); }), ...);
    return types;
}

} // namespace

std::set<std::type_index> listed_functors() {
    std::set<std::type_index> all;
    const auto add = [&]<class T>() {
        all.merge(types_of(ElementwiseFunctors<T>{}, ActivationFunctors<T>{}, ProductFunctors<T>{},
                           SumFunctors<T>{}, UpdateFunctors<T>{}, CriticFunctors<T>{}, MethodFunctors<T>{},
                           TensorProductFunctors<T>{}, NormFunctors<T>{}, GraphFunctors<T>{},
                           ProductThenFunctors<T>{}, RowProgramFunctors<T>{}));
    };
    add.template operator()<float>();
    add.template operator()<double>();
    all.merge(types_of(RoundedProductFunctors{}, RoundedProductThenFunctors{}));
    return all;
}

} // namespace tether::kernels
