// A sweep file beside a job file and data in a temporary folder.
#pragma once

#include "tests/support/reference.hpp"
#include "tether/core/error.hpp"
#include "tether/run/sweep_manifest.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace tether::run::test {

struct SweepFolder {
    tether::test::TemporaryFolder folder;
    std::string file = folder.file("some.toml");

    explicit SweepFolder(const std::string& text = "base = \"job.toml\"\nseeds = [1, 2]\n") {
        std::ofstream(folder.file("job.toml"))
            << "name = \"small\"\n"
               "[data]\nset = \"nbody\"\nfile = \"" TETHER_SOURCE_DIR "/data/nbody/charged5_small.h5\"\n"
               "train = 40\nvalidation = 16\ntest = 16\nbatch = 20\n"
               "[model]\nname = \"segnn\"\nhidden = \"4x0e+4x1o\"\nlayers = 2\n"
               "[method]\nname = \"ace\"\n"
               "[train]\nepochs = 2\nevaluate_every = 1\n";
        write(text);
    }
    void write(const std::string& text) const { std::ofstream(file) << text; }
    [[nodiscard]] std::string out() const { return folder.file("sweep"); }
    [[nodiscard]] Manifest frozen(Index bench_steps = 0) const {
        EXPECT_TRUE(freeze(read_sweep(file), out(), bench_steps));
        return Manifest::read(out());
    }
};

// The message of the Error that `action` must end in, with that code.
template <class Action>
std::string error_of(ExitCode code, const Action& action) {
    try {
        action();
        ADD_FAILURE() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), code) << error.what();
        return error.what();
    }
    return {};
}

} // namespace tether::run::test
