// See count_allocations.hpp. In a file of its own, so that the compiler sees no pair of new and free.
#include "tests/methods/count_allocations.hpp"

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {
std::atomic<long> count{0};
} // namespace

namespace tether::methods::test_support {
long allocations() { return count; }
} // namespace tether::methods::test_support

void* operator new(std::size_t size) {
    ++count;
    if (void* memory = std::malloc(size == 0 ? 1 : size)) {
        return memory;
    }
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
