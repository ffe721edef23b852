// The checks of the doctor find what is there and what is wrong, with advice for each failure.
#include "tests/support/reference.hpp"

#include "tether/cli/doctor_command.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>

namespace tether::cli {
namespace fs = std::filesystem;

namespace {

int doctor(const std::vector<std::string>& arguments, std::string& out) {
    testing::internal::CaptureStdout();
    const int code = doctor_command(arguments);
    out = testing::internal::GetCapturedStdout();
    return code;
}

} // namespace

TEST(Doctor, all_well_in_a_fresh_folder) {
    const test::TemporaryFolder folder;
    const std::string jobs = std::string(TETHER_SOURCE_DIR) + "/jobs";
    std::string out;
    const int code = doctor({"--folder", folder.path(), "--jobs", jobs, "--no-launch"}, out);

    for (const char* check :
         {"instruction set", "MPI", "CUDA", "HDF5", "file locking", "disk", "job files"}) {
        EXPECT_NE(out.find(check), std::string::npos) << check;
    }
    EXPECT_EQ(out.find("failed"), std::string::npos) << out;
    EXPECT_EQ(code, 0);
    EXPECT_TRUE(fs::is_empty(folder.path())); // leaves nothing behind
}

TEST(Doctor, devices_and_what_connects_them) {
    device::Survey survey;
    const auto text_of = [&](const std::string& nccl) {
        std::string text;
        for (const Finding& f : check_devices(survey, nccl)) {
            EXPECT_NE(f.health, Health::failed);
            text += f.check + ": " + f.found + " -> " + f.advice + "\n";
        }
        return text;
    };
    EXPECT_NE(text_of("").find("no CUDA and no NCCL"), std::string::npos);
    survey.built = true;
    survey.runtime = 13000;
    survey.missing = "there is no NVIDIA driver on this machine";
    EXPECT_NE(text_of("2.28.9").find("built for CUDA 13.0, no driver -> there is no NVIDIA driver"),
              std::string::npos);
    survey.driver = 12040;
    survey.missing = "";
    for (int d = 0; d < 3; ++d) {
        survey.devices.push_back({d, "NVIDIA H200", "GPU-" + std::to_string(d), 9, 0, 132, 141'000'000'000});
    }
    std::string text = text_of("2.28.9");
    for (const char* part :
         {"the driver runs up to 12.4", "device 2: NVIDIA H200, 141 GB, 132 multiprocessors",
          "every device reads the memory", "NCCL: 2.28.9"}) {
        EXPECT_NE(text.find(part), std::string::npos) << part << " in\n" << text;
    }
    survey.no_peer_access = {{0, 2}};
    text = text_of("");
    EXPECT_NE(text.find("1 pair(s) of devices have none, such as 0 and 2"), std::string::npos) << text;
    EXPECT_NE(text.find("this build has no NCCL"), std::string::npos) << text;
}

TEST(Doctor, json_has_one_row_per_check) {
    const test::TemporaryFolder folder;
    std::string out;
    (void)doctor({"--folder", folder.path(), "--no-launch", "--json"}, out);
    const nlohmann::json rows = nlohmann::json::parse(out);

    ASSERT_GE(rows.size(), 6U);
    for (const auto& row : rows) {
        EXPECT_TRUE(row.contains("check") && row.contains("status") && row.contains("found"));
    }
}

TEST(Doctor, a_missing_folder_fails_with_advice) {
    const std::string folder = "/no/such/folder";
    for (const Finding& finding : {check_hdf5(folder), check_locking(folder), check_disk(folder, 1)}) {
        EXPECT_EQ(finding.health, Health::failed) << finding.check;
        EXPECT_FALSE(finding.advice.empty()) << finding.check;
        EXPECT_NE(finding.found.find(folder), std::string::npos) << finding.found;
    }
    std::string out;
    EXPECT_EQ(doctor({"--folder", folder, "--no-launch"}, out), static_cast<int>(ExitCode::storage));
}

TEST(Doctor, little_space_fails) {
    EXPECT_EQ(check_disk("/", 1e12).health, Health::failed);
    EXPECT_EQ(check_disk("/", 0).health, Health::ok);
}

TEST(Doctor, a_bad_job_file_is_named_with_its_line) {
    const test::TemporaryFolder folder;
    std::ofstream(folder.file("bad.toml")) << "seed = 1\nsed = 2\n";
    fs::create_directory(folder.file("sweeps"));
    std::ofstream(folder.file("sweeps/not_a_job.toml")) << "base = 1\n";

    const std::vector<Finding> findings = check_jobs(folder.path());
    ASSERT_EQ(findings.size(), 1U);
    EXPECT_EQ(findings[0].health, Health::failed);
    EXPECT_NE(findings[0].found.find("bad.toml:2"), std::string::npos) << findings[0].found;
    EXPECT_EQ(findings[0].code, ExitCode::usage);
    EXPECT_EQ(check_jobs("").front().health, Health::absent);
    EXPECT_EQ(check_jobs(folder.file("none")).front().health, Health::failed);
}

TEST(Doctor, a_program_that_is_not_ours_fails_the_launch) {
    const Finding finding = check_mpi_launch("/bin/true");

    EXPECT_NE(finding.health, Health::ok); // absent where there is no mpirun
    EXPECT_FALSE(finding.advice.empty());
}

} // namespace tether::cli
