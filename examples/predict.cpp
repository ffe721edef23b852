// Ten lines with tether as a library: load the best checkpoint of a run, predict one test sample.
// Usage: example_predict RUN [SAMPLE]
#include "tether/run/stored_run.hpp"

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) try {
    const tether::run::StoredRun run(argc > 1 ? argv[1] : "runs");
    const tether::data::GraphSet set = run.open_data();
    const std::vector<tether::Index>& test = set.samples(tether::data::Split::test);
    const tether::Index sample = test.at(argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 0);
    const std::vector<double> prediction = run.predict(set, {sample});
    const auto columns = static_cast<std::size_t>(run.network().target_columns());
    for (std::size_t i = 0; i < prediction.size(); ++i) {
        std::printf("%12.6f%s", prediction[i], (i + 1) % columns == 0 ? "\n" : " ");
    }
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
