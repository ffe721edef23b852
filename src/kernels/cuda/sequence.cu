// Kernels of sequences of row-wise work.
#include "../functors/sequence.hpp"
#include "kernel.cuh"

namespace tether::kernels {

void add_sequence_kernels(device::Launchers& to) {
    add_kernels(SequenceFunctors<float>{}, to);
    add_kernels(SequenceFunctors<double>{}, to);
    add_kernels(RoundedSequenceFunctors{}, to);
}

} // namespace tether::kernels
