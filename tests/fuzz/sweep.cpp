// A sweep file with the overrides of its runs. Its base is looked for beside it, in the temporary folder:
// "." is one that exists.
#include "tether/run/sweep.hpp"
#include "tests/fuzz/target.hpp"

namespace tether::fuzz {

void read_sweep(Bytes input);

void read_sweep(Bytes input) {
    const InputFile file(input);
    const run::Sweep sweep = run::read_sweep(file.path());
    promised(!sweep.runs.empty() && static_cast<Index>(sweep.runs.size()) <= sweep.max_runs,
             "as many runs as allowed");
    for (std::size_t i = 0; i < sweep.runs.size() && i < 16; ++i) {
        promised(!sweep.runs[i].description().empty(), "a run says what it is");
        promised(sweep.runs[i].overrides().size() == sweep.runs[i].changes.size(), "all changes are set");
    }
}

} // namespace tether::fuzz
