// The calls of a build without CUDA: none.
#include "tether/device/cuda_calls.hpp"

namespace tether::device {

std::unique_ptr<CudaCalls> make_cuda_calls() { return nullptr; }

} // namespace tether::device
