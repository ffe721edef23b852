// A small valid job as text, and helpers to read variations of it.
#pragma once

#include "tether/core/error.hpp"
#include "tether/run/job.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace tether::run::test {

inline const std::string small_job = "name = \"small\"\n"
                                     "seed = 7\n"
                                     "[data]\n"
                                     "set = \"nbody\"\n"
                                     "file = \"data.h5\"\n"
                                     "[model]\n"
                                     "name = \"segnn\"\n"
                                     "[method]\n"
                                     "name = \"ace\"\n"
                                     "[train]\n"
                                     "epochs = 3\n";

inline Job parse(const std::string& text, const std::vector<std::string>& overrides = {}) {
    return parse_job_text(text, "a.toml", overrides);
}

inline Job with(const std::vector<std::string>& overrides) { return parse(small_job, overrides); }

// The message of the Error(usage) that reading must end in.
inline std::string message(const std::string& text, const std::vector<std::string>& overrides = {}) {
    try {
        const Job job = parse(text, overrides);
        ADD_FAILURE() << "read without an error:\n" << job.resolved();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::usage);
        return error.what();
    }
    return {};
}

inline std::string message_with(const std::vector<std::string>& overrides) {
    return message(small_job, overrides);
}

inline testing::AssertionResult contains(const std::string& text, const std::vector<std::string>& parts) {
    for (const std::string& part : parts) {
        if (text.find(part) == std::string::npos) {
            return testing::AssertionFailure() << "'" << part << "' is not in: " << text;
        }
    }
    return testing::AssertionSuccess();
}

} // namespace tether::run::test
