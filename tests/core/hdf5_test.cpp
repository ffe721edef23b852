// Round trips, published string layouts, and hostile files for core/hdf5.
#include "tether/core/hdf5.hpp"

#include "tests/support/reference.hpp"
#include "tether/core/error.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

namespace tether::hdf5 {
namespace {
namespace fs = std::filesystem;

using Doubles = std::vector<double>;
using Shape = std::vector<Index>;
using Strings = std::vector<std::string>;

std::string message_of(const auto& action, ExitCode code) {
    try {
        action();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), code) << error.what();
        return error.what();
    }
    ADD_FAILURE() << "no error";
    return {};
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

std::vector<char> bytes_of(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void put(const std::string& path, const std::vector<char>& bytes) {
    std::ofstream out(path, std::ios::binary);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

TEST(Hdf5, WhatIsWrittenIsRead) {
    const test::TemporaryFolder folder;
    const std::string path = folder.file("a.h5");
    {
        Writer writer(path);
        writer.write("b/x", Doubles{1.5, -2, 3, 4, 5, 1e300}, {3, 2});
        writer.write("b/f", std::vector<float>{0.25F, 8}, {2});
        writer.write("scalar", Doubles{7}, {});
        writer.write("none", Doubles{}, {0, 3});
        writer.write("a/deep/i", std::vector<Index>{INT64_MIN, INT64_MAX}, {2});
        writer.write("a/i32", std::vector<std::int32_t>{-5}, {1});
        writer.write("names", Strings{"layer0", "", "γ"});
        writer.group("empty/group");
        writer.attribute("/", "title", "a text");
        writer.attribute("b/x", "units", "m");
        writer.attribute("b/x", "units", "km"); // replaces
        writer.attribute("b/x", "scale", 0.5);
        writer.attribute("empty", "count", Index{12});
        EXPECT_FALSE(fs::exists(path));
        writer.close();
    }
    const Reader reader(path);
    EXPECT_EQ(reader.doubles("b/x"), (Doubles{1.5, -2, 3, 4, 5, 1e300}));
    EXPECT_EQ(reader.double_rows("b/x", 1, 2), (Doubles{3, 4, 5, 1e300}));
    EXPECT_EQ(reader.shape("/b/x"), (Shape{3, 2}));
    EXPECT_EQ(reader.doubles("b/f"), (Doubles{0.25, 8}));
    EXPECT_EQ(reader.floats("b/f"), (std::vector<float>{0.25F, 8}));
    EXPECT_EQ(reader.shape("scalar"), Shape{});
    EXPECT_EQ(reader.doubles("scalar"), Doubles{7});
    EXPECT_EQ(reader.shape("none"), (Shape{0, 3}));
    EXPECT_TRUE(reader.doubles("none").empty());
    EXPECT_EQ(reader.integers("a/deep/i"), (std::vector<Index>{INT64_MIN, INT64_MAX}));
    EXPECT_EQ(reader.integers("a/i32"), std::vector<Index>{-5});
    EXPECT_EQ(reader.strings("names"), (Strings{"layer0", "", "γ"}));
    EXPECT_EQ(reader.children(), (Strings{"a", "b", "empty", "names", "none", "scalar"}));
    EXPECT_EQ(reader.datasets("a"), (Strings{"deep/i", "i32"}));
    EXPECT_EQ(reader.datasets().size(), 7U);
    EXPECT_TRUE(reader.has("/"));
    EXPECT_TRUE(reader.has("a/deep"));
    EXPECT_FALSE(reader.has("a/deeper/i"));
    EXPECT_FALSE(reader.is_dataset("a/deep"));
    EXPECT_EQ(reader.text_attribute("/", "title"), "a text");
    EXPECT_EQ(reader.text_attribute("b/x", "units"), "km");
    EXPECT_EQ(reader.number_attribute("b/x", "scale"), 0.5);
    EXPECT_EQ(reader.number_attribute("empty", "count"), 12);
    EXPECT_FALSE(reader.has_attribute("b/x", "title"));
}

// Layouts that our writer does not produce, made with the C API.
TEST(Hdf5, ReadsForeignStringsAndTypes) {
    const test::TemporaryFolder folder;
    const std::string path = folder.file("foreign.h5");
    {
        const Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
        const hsize_t two = 2;
        const Handle space(H5Screate_simple(1, &two, nullptr), H5Sclose);
        const auto fixed = [&](H5T_str_t padding) {
            Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
            H5Tset_size(type.id(), 5);
            H5Tset_strpad(type.id(), padding);
            return type;
        };
        const auto add = [&](const char* name, hid_t type, const void* data) {
            const Handle set(
                H5Dcreate2(file.id(), name, type, space.id(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                H5Dclose);
            ASSERT_GE(H5Dwrite(set.id(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), 0);
        };
        const std::array<char, 11> padded{"ab\0\0\0cdefg"};
        add("nullpad", fixed(H5T_STR_NULLPAD).id(), padded.data());
        add("nullterm", fixed(H5T_STR_NULLTERM).id(), padded.data());
        add("spacepad", fixed(H5T_STR_SPACEPAD).id(), "ab   cdefg");
        const std::array<std::uint64_t, 2> large{1, UINT64_MAX};
        add("large", H5T_NATIVE_UINT64, large.data());
        const std::array<std::int8_t, 2> small{-1, 1};
        add("small", H5T_NATIVE_INT8, small.data());
        const Handle boolean(H5Tenum_create(H5T_NATIVE_INT8), H5Tclose);
        const std::array<std::int8_t, 2> truth{0, 1};
        H5Tenum_insert(boolean.id(), "FALSE", &truth[0]);
        H5Tenum_insert(boolean.id(), "TRUE", &truth[1]);
        add("boolean", boolean.id(), truth.data());
        const Handle type = fixed(H5T_STR_NULLPAD);
        const Handle list(H5Acreate2(file.id(), "list", type.id(), space.id(), H5P_DEFAULT, H5P_DEFAULT),
                          H5Aclose);
        ASSERT_GE(H5Awrite(list.id(), type.id(), padded.data()), 0);
    }
    const Reader reader(path);
    EXPECT_EQ(reader.strings("nullpad"), (Strings{"ab", "cdefg"}));
    EXPECT_EQ(reader.strings("nullterm"), (Strings{"ab", "cdefg"}));
    EXPECT_EQ(reader.strings("spacepad"), (Strings{"ab", "cdefg"}));
    EXPECT_EQ(reader.text_attribute("/", "list"), "ab, cdefg");
    EXPECT_EQ(reader.integers("small"), (std::vector<Index>{-1, 1}));
    EXPECT_EQ(reader.integers("boolean"), (std::vector<Index>{0, 1}));
    EXPECT_EQ(reader.doubles("boolean"), (Doubles{0, 1}));
    EXPECT_TRUE(contains(message_of([&] { (void)reader.integers("large"); }, ExitCode::data), "element 1"));
}

TEST(Hdf5, ErrorsSayFilePathFoundAndExpected) {
    const test::TemporaryFolder folder;
    const std::string path = folder.file("a.h5");
    Writer writer(path);
    writer.write("weight/first", Doubles{1, 2}, {2});
    writer.write("names", Strings{"a"});
    writer.attribute("/", "text", "t");
    writer.attribute("/", "number", 1.0);
    writer.close();
    const Reader reader(path);
    const auto of = [](const auto& action) { return message_of(action, ExitCode::data); };
    EXPECT_TRUE(contains(of([&] { (void)reader.doubles("weight/frist"); }), "holds: first"));
    EXPECT_TRUE(contains(of([&] { (void)reader.doubles("weight/frist"); }), path + ":/weight/frist"));
    EXPECT_TRUE(contains(of([&] { (void)reader.doubles("wieght/first"); }), "missing too"));
    EXPECT_TRUE(contains(of([&] { (void)reader.doubles("weight"); }), "is a group"));
    EXPECT_TRUE(contains(of([&] { (void)reader.doubles("names"); }), "type string; numbers"));
    EXPECT_TRUE(contains(of([&] { (void)reader.integers("weight/first"); }), "floating point; integers"));
    EXPECT_TRUE(contains(of([&] { (void)reader.strings("weight/first"); }), "floating point; strings"));
    EXPECT_TRUE(contains(of([&] { (void)reader.double_rows("weight/first", 1, 2); }), "has 2 rows"));
    EXPECT_TRUE(contains(of([&] { (void)reader.text_attribute("/", "absent"); }), "'absent': missing"));
    EXPECT_TRUE(contains(of([&] { (void)reader.text_attribute("/", "number"); }), "strings were expected"));
    EXPECT_TRUE(contains(of([&] { (void)reader.number_attribute("/", "text"); }), "numbers were expected"));
    EXPECT_TRUE(contains(of([&] { Reader missing(folder.file("b.h5")); }), "no such file"));
    EXPECT_TRUE(contains(of([&] { Reader no_file(folder.path()); }), "is a folder"));
    put(folder.file("text.h5"), std::vector<char>(3000, 'x'));
    EXPECT_TRUE(contains(of([&] { Reader no_hdf5(folder.file("text.h5")); }), "not a readable HDF5"));
}

TEST(Hdf5, AnUnfinishedWriterLeavesNothing) {
    const test::TemporaryFolder folder;
    put(folder.file("a.h5"), {'o', 'l', 'd'});
    {
        Writer writer(folder.file("a.h5"));
        writer.write("x", Doubles{1}, {1});
        EXPECT_TRUE(
            contains(message_of([&] { writer.write("x", Doubles{1}, {1}); }, ExitCode::storage), "already"));
        EXPECT_TRUE(contains(message_of([&] { writer.write("y", Doubles{1}, {2}); }, ExitCode::storage),
                             "2 elements"));
    }
    EXPECT_EQ(bytes_of(folder.file("a.h5")).size(), 3U);
    EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), {}), 1);
    EXPECT_TRUE(contains(message_of([&] { Writer writer(folder.file("no/a.h5")); }, ExitCode::storage),
                         "does not exist"));
}

// A header that declares 8 TB in a file of a few kB, contiguous and compressed.
TEST(Hdf5, DeclaredSizesAreCheckedBeforeAllocation) {
    const test::TemporaryFolder folder;
    const std::string path = folder.file("huge.h5");
    {
        const Handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose);
        const std::array<hsize_t, 2> extent{hsize_t{1} << 20U, hsize_t{1} << 20U};
        const Handle space(H5Screate_simple(2, extent.data(), nullptr), H5Sclose);
        const Handle late(H5Dcreate2(file.id(), "late", H5T_NATIVE_DOUBLE, space.id(), H5P_DEFAULT,
                                     H5P_DEFAULT, H5P_DEFAULT),
                          H5Dclose);
        const Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
        const std::array<hsize_t, 2> chunk{64, 64};
        H5Pset_chunk(creation.id(), 2, chunk.data());
        H5Pset_deflate(creation.id(), 4);
        const Handle chunked(H5Dcreate2(file.id(), "chunked", H5T_NATIVE_DOUBLE, space.id(), H5P_DEFAULT,
                                        creation.id(), H5P_DEFAULT),
                             H5Dclose);
        ASSERT_TRUE(late.valid() && chunked.valid());
        const Handle outside(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
        H5Pset_external(outside.id(), "/etc/hostname", 0, 8);
        const hsize_t one = 1;
        const Handle single(H5Screate_simple(1, &one, nullptr), H5Sclose);
        const Handle external(H5Dcreate2(file.id(), "external", H5T_NATIVE_DOUBLE, single.id(), H5P_DEFAULT,
                                         outside.id(), H5P_DEFAULT),
                              H5Dclose);
        ASSERT_TRUE(external.valid());
    }
    const Reader reader(path);
    EXPECT_EQ(reader.shape("late"), (Shape{1 << 20, 1 << 20}));
    EXPECT_TRUE(contains(message_of([&] { (void)reader.doubles("late"); }, ExitCode::data),
                         "declares 1099511627776"));
    EXPECT_TRUE(contains(message_of([&] { (void)reader.floats("chunked"); }, ExitCode::data), "declares"));
    EXPECT_TRUE(
        contains(message_of([&] { (void)reader.double_rows("late", 0, 1); }, ExitCode::data), "declares"));
    EXPECT_TRUE(
        contains(message_of([&] { (void)reader.doubles("external"); }, ExitCode::data), "outside the file"));
}

// An Error naming the file; HDF5 itself prints nothing.
TEST(Hdf5, ATruncatedFileIsAnErrorAndPrintsNothing) {
    const test::TemporaryFolder folder;
    const std::string path = folder.file("good.h5");
    {
        Writer writer(path);
        writer.write("g/x", Doubles(200, 1.5), {20, 10});
        writer.write("names", Strings{"abc", "defg"});
        writer.attribute("/", "title", "some text");
        writer.close();
    }
    const auto read_all = [](const std::string& file) {
        try {
            const Reader reader(file);
            for (const std::string& name : reader.datasets()) {
                if (name == "names") {
                    (void)reader.strings(name);
                } else {
                    (void)reader.doubles(name);
                }
            }
            (void)reader.text_attribute("/", "title");
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::data);
            EXPECT_TRUE(contains(error.what(), file)) << error.what();
            return false;
        }
        return true;
    };
    const std::vector<char> good = bytes_of(path);
    ASSERT_TRUE(read_all(path));
    testing::internal::CaptureStderr();
    int unreadable = 0;
    for (const double part : {0.0, 0.01, 0.5, 0.9, 0.999}) {
        std::vector<char> cut = good;
        cut.resize(static_cast<std::size_t>(part * static_cast<double>(good.size())));
        put(folder.file("cut.h5"), cut);
        unreadable += read_all(folder.file("cut.h5")) ? 0 : 1;
    }
    EXPECT_EQ(unreadable, 5);
    EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

} // namespace
} // namespace tether::hdf5
