#include "functors/row_steps.hpp"

#include <algorithm>
#include <cstring>
#include <unordered_map>

namespace tether::kernels {
namespace {

template <class T>
const std::unordered_map<std::type_index, std::int32_t>& kinds() {
    static const auto table = [] {
        std::unordered_map<std::type_index, std::int32_t> t;
        std::int32_t kind = 0;
        for_each_functor(StepFunctors<T>{}, [&]<class F>() { t[typeid(F)] = kind++; });
        return t;
    }();
    return table;
}

} // namespace

template <class T>
std::optional<RowStep> row_step(const device::Launch& launch) {
    const auto found = kinds<T>().find(launch.functor);
    if (launch.row_items == 0 || found == kinds<T>().end()) {
        return std::nullopt;
    }
    RowStep step;
    step.kind = found->second;
    step.row_items = static_cast<std::int32_t>(launch.row_items);
    std::memcpy(step.functor, launch.bytes.data(), launch.size);
    return step;
}

template <class T>
bool is_product(const device::Launch& launch) {
    if constexpr (std::is_same_v<T, float>) {
        if (launch.functor == typeid(BlockProduct<T, ProductPrecision::tf32>) ||
            launch.functor == typeid(BlockProduct<T, ProductPrecision::bf16>)) {
            return true;
        }
    }
    return launch.functor == typeid(BlockProduct<T>);
}

template <class T>
void append_product_then(device::LaunchList& list, const device::Launch& product, const RowStep* steps,
                         Index count) {
    const auto append = [&]<ProductPrecision precision>() {
        if (product.functor == typeid(BlockProduct<T, precision>)) {
            list.team(product.items,
                      ProductThen<T, precision>{
                          device::detail::functor_of<BlockProduct<T, precision>>(product), steps, count});
        }
    };
    if constexpr (std::is_same_v<T, float>) {
        append.template operator()<ProductPrecision::tf32>();
        append.template operator()<ProductPrecision::bf16>();
    }
    append.template operator()<ProductPrecision::exact>();
}

template bool is_product<float>(const device::Launch&);
template bool is_product<double>(const device::Launch&);
template void append_product_then<float>(device::LaunchList&, const device::Launch&, const RowStep*, Index);
template void append_product_then<double>(device::LaunchList&, const device::Launch&, const RowStep*, Index);
template std::optional<RowStep> row_step<float>(const device::Launch&);
template std::optional<RowStep> row_step<double>(const device::Launch&);

} // namespace tether::kernels
