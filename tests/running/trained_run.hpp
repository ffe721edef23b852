// A small real training for tests of what comes after it: 40 simulations, two epochs, a fraction of a
// second. Needs the simulations that lie in the repository.
#pragma once

#include "tether/parallel/communicator.hpp"
#include "tether/run/trainer.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tether::test {

inline run::Job trained_job(const std::vector<std::string>& overrides = {}) {
    const std::string text =
        "name = \"small\"\n"
        "seed = 7\n"
        "[data]\n"
        "set = \"nbody\"\n"
        "file = \"" TETHER_SOURCE_DIR "/data/nbody/charged5_small.h5\"\n"
        "train = 40\nvalidation = 16\ntest = 16\nbatch = 20\n"
        "[model]\n"
        "name = \"segnn\"\nhidden = \"4x0e+4x1o\"\nlayers = 2\n"
        "[method]\n"
        "name = \"ace\"\n"
        "[primal]\n"
        "lr = 1e-3\n"
        "[train]\n"
        "epochs = 2\nevaluate_every = 1\nequivariance_samples = 1\nfinal_equivariance_samples = 2\n"
        "[parallel]\n"
        "lanes = 2\n";
    return run::parse_job_text(text, "small.toml", overrides);
}

// An EGNN, whose free branches have buffers.
inline std::vector<std::string> small_egnn() {
    return {"model.name=egnn", "model.hidden=6", "model.layers=2"};
}

// Trains into `runs` and returns the run folder.
inline std::string train_small(const run::Job& job, const std::string& runs, Index stop_after = 0) {
    const auto alone = parallel::make_self_communicator();
    run::TrainOptions options;
    options.runs = runs;
    options.threads = 1;
    options.stop_after = stop_after;
    const run::TrainResult result = run::train(job, options, *alone);
    EXPECT_EQ(result.code, ExitCode::ok);
    return result.folder;
}

} // namespace tether::test
