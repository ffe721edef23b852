// Weights for a small network with sites.
#include "tether/run/weights.hpp"
#include "tests/fuzz/target.hpp"
#include "tether/run/setup.hpp"

#include <cmath>

namespace {
using namespace tether;

struct Small {
    run::Job job = run::parse_job_text("[data]\nset = \"nbody\"\nfile = \"none.h5\"\n"
                                       "[model]\nname = \"egnn\"\nhidden = 2\nlayers = 1\n"
                                       "[method]\nname = \"ace\"\n",
                                       "small.toml");
    std::unique_ptr<methods::Method> method = methods::make_method(job.method_settings());
    std::unique_ptr<run::Network> network = run::make_network(job, *method);
};

} // namespace

namespace tether::fuzz {

void read_weights(Bytes input);

void read_weights(Bytes input) {
    static const Small small;
    const InputFile file(input);
    const run::NetworkNumbers numbers = run::read_weights(file.path(), small.job, *small.network);
    promised(std::ssize(numbers.gates) == small.network->sites(), "a gate for every site");
    for (const double x : numbers.trained) {
        promised(std::isfinite(x), "finite parameters");
    }
}

} // namespace tether::fuzz
