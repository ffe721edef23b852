// The calls of a build without NCCL: none.
#include "tether/parallel/nccl_calls.hpp"

namespace tether::parallel {

std::unique_ptr<NcclCalls> make_nccl_calls() { return nullptr; }

} // namespace tether::parallel
