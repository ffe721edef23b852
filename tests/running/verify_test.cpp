// Every model and trajectory of the reference folders that this build knows, through `tether verify`'s
// own function, in both precisions; and what happens to files that cannot be used.
#include "tests/support/reference.hpp"
#include "tether/core/error.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/run/verify.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace tether::run {
namespace {

bool is_kind(const std::string& path, const std::string& kind) {
    const hdf5::Reader data(path);
    return data.has_attribute("/", "kind") && data.text_attribute("/", "kind") == kind;
}

void expect_agreement(const std::string& folder, const std::string& kind) {
    int compared = 0;
    for (const std::string& path : test::reference_files(folder)) {
        if (!is_kind(path, kind)) {
            continue;
        }
        const VerifyResult result = verify_file(path);
        ++compared;
        for (const PrecisionResult* r : {&result.float64, &result.float32}) {
            EXPECT_TRUE(r->agrees()) << path << (r == &result.float64 ? ", float64: " : ", float32: ")
                                     << (r->worst() == nullptr ? std::string("nothing compared")
                                                               : r->worst()->name)
                                     << " by " << (r->worst() == nullptr ? 0.0 : r->worst()->disagreement);
        }
        EXPECT_TRUE(result.agrees()) << path;
    }
    if (compared == 0) {
        GTEST_SKIP() << "no files of kind " << kind << " in reference/" << folder;
    }
}

TEST(Verify, parity_segnn_models) { expect_agreement("segnn", "model"); }
TEST(Verify, parity_segnn_trajectories) { expect_agreement("segnn", "trajectory"); }
TEST(Verify, parity_egnn_models) { expect_agreement("egnn", "model"); }
TEST(Verify, parity_egno_models) { expect_agreement("egno", "model"); }
TEST(Verify, parity_egno_trajectories) { expect_agreement("egno", "trajectory"); }
TEST(Verify, parity_transformer_models) { expect_agreement("transformer", "model"); }

std::string message_of(const std::string& path) {
    try {
        (void)verify_file(path);
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), ExitCode::data) << error.what();
        EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << "no file in: " << error.what();
        return error.what();
    }
    return "accepted";
}

TEST(Verify, operations_are_sent_to_the_parity_tests) {
    for (const std::string& path : test::reference_files("segnn")) {
        if (is_kind(path, "operation")) {
            EXPECT_NE(message_of(path).find("kind operation"), std::string::npos);
            return;
        }
    }
    GTEST_SKIP() << "no file of kind operation in reference/segnn";
}

TEST(Verify, files_that_are_no_parity_files) {
    const test::TemporaryFolder folder;
    EXPECT_NE(message_of(folder.file("missing.h5")), "accepted");
    const std::string text = folder.file("text.h5");
    std::ofstream(text) << "not HDF5";
    EXPECT_NE(message_of(text), "accepted");
    const std::string other = folder.file("other.h5");
    {
        hdf5::Writer w(other);
        w.attribute("/", "title", "no kind");
        w.close();
    }
    EXPECT_NE(message_of(other).find("kind"), std::string::npos);
    const std::string broken = folder.file("settings.h5");
    {
        hdf5::Writer w(broken);
        w.attribute("/", "kind", "model");
        w.attribute("/", "model", "segnn");
        w.attribute("/", "settings", "{\"layers\": ");
        w.close();
    }
    EXPECT_NE(message_of(broken).find("JSON"), std::string::npos);
    const std::string unknown = folder.file("unknown.h5");
    {
        hdf5::Writer w(unknown);
        w.attribute("/", "kind", "model");
        w.attribute("/", "model", "perceptron");
        w.attribute("/", "settings", "{}");
        w.close();
    }
    EXPECT_NE(message_of(unknown).find("perceptron"), std::string::npos);
}

TEST(Verify, a_wrong_number_is_found) {
    // One weight of a model file is moved a little.
    for (const std::string& path : test::reference_files("segnn")) {
        if (!is_kind(path, "model") || !hdf5::Reader(path).has("/weight/embedding_layer.biases")) {
            continue;
        }
        const test::TemporaryFolder folder;
        const std::string copy = folder.file("copy.h5");
        std::filesystem::copy_file(path, copy);
        std::filesystem::permissions(copy, std::filesystem::perms::owner_all);
        {
            std::vector<double> values = hdf5::Reader(path).doubles("/weight/embedding_layer.biases");
            values.front() += 1e-3;
            const hdf5::Handle file(H5Fopen(copy.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
            const hdf5::Handle data(H5Dopen2(file.id(), "/weight/embedding_layer.biases", H5P_DEFAULT),
                                    H5Dclose);
            ASSERT_GE(H5Dwrite(data.id(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
                      0);
        }
        const VerifyResult result = verify_file(copy);
        EXPECT_FALSE(result.agrees());
        ASSERT_NE(result.float64.worst(), nullptr);
        EXPECT_GT(result.float64.worst()->disagreement, 1e-7);
        return;
    }
    GTEST_SKIP() << "no model with /weight in reference/segnn";
}

} // namespace
} // namespace tether::run
