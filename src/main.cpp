// The program `tether`. Everything is in cli/command.hpp; here only what must come before all else.
#include "tether/cli/command.hpp"
#include "tether/run/provenance.hpp"

#include <hdf5.h>

#include <string>
#include <vector>

int main(int argc, char** argv) {
    tether::run::require_instruction_set();
    // All files are closed where they are used. What HDF5 could not close (a full disk) it would try
    // again at exit, and crash.
    H5dont_atexit();
    const std::vector<std::string> arguments(argv + (argc > 0 ? 1 : 0), argv + argc);
    return tether::cli::dispatch(arguments);
}
