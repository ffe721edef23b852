// The kernels of a build without CUDA: none.
#include "tether/kernels/launchers.hpp"

namespace tether::kernels {

const device::Launchers& launchers() {
    static const device::Launchers none;
    return none;
}

} // namespace tether::kernels
