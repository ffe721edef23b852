// How often this test program has asked for memory so far.
#pragma once

namespace tether::methods::test_support {

[[nodiscard]] long allocations();

} // namespace tether::methods::test_support
