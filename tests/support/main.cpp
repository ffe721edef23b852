// Main of every test program: a warning that a test did not announce fails it.
#include "tether/core/log.hpp"

#include <gtest/gtest.h>

namespace {

class NoWarnings : public testing::EmptyTestEventListener {
    void OnTestStart(const testing::TestInfo&) override { before_ = tether::log::warning_count(); }
    void OnTestEnd(const testing::TestInfo& info) override {
        const std::string name = info.name();
        const bool announced = name.find("Warns") != std::string::npos;
        if (!announced && tether::log::warning_count() != before_) {
            ADD_FAILURE() << "a warning was logged (a test that expects one has Warns in its name)";
        }
    }
    long before_ = 0;
};

} // namespace

int main(int argc, char** argv) {
    testing::InitGoogleTest(&argc, argv);
    testing::UnitTest::GetInstance()->listeners().Append(new NoWarnings); // owned by googletest
    return RUN_ALL_TESTS();
}
