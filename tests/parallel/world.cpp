#include "tests/parallel/world.hpp"

#include "tether/core/philox.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace tether::test {
namespace {

std::unique_ptr<parallel::Communicator>& the_world() {
    static std::unique_ptr<parallel::Communicator> communicator;
    return communicator;
}

class World : public testing::Environment {
    void SetUp() override { the_world() = parallel::make_communicator(); }
    void TearDown() override { the_world().reset(); }
};

[[maybe_unused]] const auto* const environment = testing::AddGlobalTestEnvironment(new World);

} // namespace

parallel::Communicator& world() { return *the_world(); }

template <class T>
std::vector<T> wild_numbers(std::uint64_t leaf, std::size_t count) {
    RandomStream random(7, Purpose::test, leaf);
    std::vector<T> numbers(count);
    for (T& number : numbers) {
        const auto bits = static_cast<std::int32_t>(random.next());
        const int exponent = static_cast<int>(random.next() % 40U) - 51;
        number = static_cast<T>(std::ldexp(static_cast<double>(bits), exponent));
    }
    return numbers;
}

template std::vector<float> wild_numbers<float>(std::uint64_t leaf, std::size_t count);
template std::vector<double> wild_numbers<double>(std::uint64_t leaf, std::size_t count);

} // namespace tether::test
