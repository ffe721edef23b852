// .npy files: round trips of both coordinate orders, lying headers, random damage.
#include "tether/data/generator_import.hpp"

#include "tests/data/support.hpp"
#include "tests/support/reference.hpp"
#include "tether/core/philox.hpp"
#include "tether/data/npy.hpp"

#include <cstdint>
#include <fstream>

namespace tether::data {
namespace {

std::string npy_bytes(const std::string& header, const std::string& payload, char version = 1) {
    std::string text = header;
    text.append(118 - header.size() % 64, ' ');
    text.back() = '\n';
    std::string out("\x93NUMPY", 6);
    out += {version, '\0'};
    const auto size = static_cast<std::uint32_t>(text.size());
    out.append(reinterpret_cast<const char*>(&size), version == 1 ? 2 : 4);
    return out + text + payload;
}

std::string dictionary(const std::string& type, const std::string& shape,
                       const std::string& order = "False") {
    return "{'descr': '" + type + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }";
}

template <class T>
std::string raw(const std::vector<T>& values) {
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

void put(const std::string& path, const std::string& bytes) {
    std::ofstream out(path, std::ios::binary);
    out << bytes;
}

TEST(Npy, ReadsNumbers) {
    const test::TemporaryFolder folder;
    const std::string path = folder.file("a.npy");
    put(path, npy_bytes(dictionary("<f8", "(2, 3)"), raw<double>({1, 2, 3, 4, 5, 6.5})));
    EXPECT_EQ(read_npy(path).shape, (std::vector<Index>{2, 3}));
    EXPECT_EQ(read_npy(path).values, (std::vector<double>{1, 2, 3, 4, 5, 6.5}));
    put(path, npy_bytes(dictionary("<f4", "(2,)"), raw<float>({0.5F, -1}), 2));
    EXPECT_EQ(read_npy(path).values, (std::vector<double>{0.5, -1}));
    put(path, npy_bytes(dictionary("<i8", "()"), raw<std::int64_t>({-7}), 3));
    EXPECT_EQ(read_npy(path).values, (std::vector<double>{-7}));
    EXPECT_TRUE(read_npy(path).shape.empty());
    put(path, npy_bytes(dictionary("|u1", "(3,)"), raw<std::uint8_t>({0, 200, 1})));
    EXPECT_EQ(read_npy(path).values, (std::vector<double>{0, 200, 1}));
    put(path, npy_bytes(dictionary("<i4", "(0, 5)"), ""));
    EXPECT_TRUE(read_npy(path).values.empty());
}

TEST(Npy, HeadersThatLieAreRefused) {
    const test::TemporaryFolder folder;
    const std::string path = folder.file("a.npy");
    const auto expect = [&](const std::string& bytes, const std::string& part) {
        put(path, bytes);
        const std::string message = error_of([&] { (void)read_npy(path); });
        EXPECT_TRUE(contains(message, part) && contains(message, path)) << message;
    };
    const std::string six = raw<double>({1, 2, 3, 4, 5, 6});
    expect("", "not a .npy file");
    expect("something else entirely", "not a .npy file");
    expect(npy_bytes(dictionary("<f8", "(2, 3)"), six, 9), "version 9");
    expect(npy_bytes(dictionary("<f8", "(2, 4)"), six), "that is 64 bytes, but holds 48");
    expect(npy_bytes(dictionary("<f8", "(2, 2)"), six), "that is 32 bytes, but holds 48");
    expect(npy_bytes(dictionary("<f8", "(1000000000, 1000000000)"), six), "but holds 48");
    expect(npy_bytes(dictionary("<f8", "(4611686018427387904, 4611686018427387904)"), six), "can be counted");
    expect(npy_bytes(dictionary("<f8", "(99999999999999999999,)"), six),
           "'99999999999999999999,' in the shape");
    expect(npy_bytes(dictionary("<f8", "(-1, 6)"), six), "'-1, 6' in the shape");
    expect(npy_bytes(dictionary("<f8", "(2, x)"), six), "'x' in the shape");
    expect(npy_bytes(dictionary("<f8", "[2, 3]"), six), "not a tuple");
    expect(npy_bytes(dictionary("<f8", "(2, 3)", "True"), six), "Fortran order");
    expect(npy_bytes(dictionary(">f8", "(2, 3)"), six), "holds type '>f8'");
    expect(npy_bytes(dictionary("|O", "(6,)"), six), "holds type '|O'");
    expect(npy_bytes("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (6,), }", six), "records");
    expect(npy_bytes("{'fortran_order': False, 'shape': (6,), }", six), "no key 'descr'");
    std::string longer = npy_bytes(dictionary("<f8", "(6,)"), "");
    longer[8] = '\xff';
    longer[9] = '\xff';
    expect(longer, "declares a header of 65535 bytes");
    EXPECT_TRUE(contains(error_of([&] { (void)read_npy(folder.file("none.npy")); }), "none.npy"));
    EXPECT_TRUE(contains(error_of([&] { (void)read_npy(folder.path()); }), folder.path()));
}

TEST(Npy, SurvivesRandomDamage) {
    const test::TemporaryFolder folder;
    const std::string path = folder.file("a.npy");
    const std::string good = npy_bytes(dictionary("<f8", "(2, 3)"), raw<double>({1, 2, 3, 4, 5, 6}));
    RandomStream random(1, Purpose::test);
    int refused = 0;
    for (int i = 0; i < 500; ++i) {
        std::string bad = good;
        bad[random.below(90)] = static_cast<char>(random.next());
        if (i % 4 == 0) {
            bad.resize(random.below(bad.size()));
        }
        put(path, bad);
        try {
            const NpyArray array = read_npy(path);
            Index count = 1;
            for (const Index n : array.shape) {
                count *= n;
            }
            EXPECT_EQ(std::ssize(array.values), count);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), ExitCode::data);
            ++refused;
        }
    }
    EXPECT_GT(refused, 125);
}

class Import : public testing::Test {
protected:
    // Value of a coordinate tells where it is; components_first: [.., 3, bodies].
    void write_set(const std::string& suffix, bool components_first, Index bodies = 4, Index frames = 3) {
        Index simulation = 0;
        for (const char* part : {"train", "valid", "test"}) {
            const Index count = simulation == 0 ? 2 : 1;
            std::vector<double> loc, vel, charge;
            for (Index i = 0; i < count; ++i, ++simulation) {
                for (Index f = 0; f < frames; ++f) {
                    for (Index k = 0; k < 3 * bodies; ++k) {
                        const Index body = components_first ? k % bodies : k / 3;
                        const Index axis = components_first ? k / bodies : k % 3;
                        loc.push_back(static_cast<double>(1000 * simulation + 100 * f + 10 * body + axis));
                        vel.push_back(-loc.back());
                    }
                }
                for (Index b = 0; b < bodies; ++b) {
                    charge.push_back(b % 2 == 0 ? 1 : -1);
                }
            }
            const std::string shape =
                fmt::format("({}, {}, {}, {})", count, frames, components_first ? 3 : bodies,
                            components_first ? bodies : 3);
            put(path("loc", part, suffix), npy_bytes(dictionary("<f8", shape), raw(loc)));
            put(path("vel", part, suffix), npy_bytes(dictionary("<f8", shape), raw(vel)));
            put(path("charges", part, suffix),
                npy_bytes(dictionary("<f8", fmt::format("({}, {}, 1)", count, bodies)), raw(charge)));
        }
    }
    [[nodiscard]] std::string path(const char* quantity, const char* part, const std::string& suffix) const {
        return folder_.file(std::string(quantity) + "_" + part + suffix + ".npy");
    }
    test::TemporaryFolder folder_;
};

TEST_F(Import, BothOrdersOfCoordinates) {
    for (const bool components_first : {true, false}) {
        write_set("_charged4", components_first);
        const Trajectories t = import_generator_files({folder_.path(), "", {0, 2}, {}});
        EXPECT_EQ(t.system, "charged");
        EXPECT_EQ(t.simulations, 4);
        EXPECT_EQ(t.bodies, 4);
        EXPECT_EQ(t.split, (std::vector<std::int32_t>{0, 0, 1, 2}));
        EXPECT_EQ(t.charge.size(), 16U);
        for (std::size_t i = 0; i < t.position.size(); ++i) {
            const std::size_t simulation = i / 24;
            const std::size_t frame = i / 12 % 2;
            const double expected =
                static_cast<double>(1000 * simulation + 200 * frame + 10 * (i / 3 % 4) + i % 3);
            ASSERT_EQ(t.position[i], expected);
            ASSERT_EQ(t.velocity[i], -expected);
        }
        EXPECT_EQ(import_generator_files({folder_.path(), "charged4", {}, {}}).frames,
                  (std::vector<Index>{0, 1, 2}));
    }
}

TEST_F(Import, SaysWhatIsWrong) {
    const auto message = [&](const GeneratorFiles& files, ExitCode code = ExitCode::data) {
        return error_of([&] { (void)import_generator_files(files); }, code);
    };
    const GeneratorFiles all{folder_.path(), "", {}, {}};
    EXPECT_TRUE(contains(message(all), "holds no loc_train*.npy"));
    EXPECT_TRUE(contains(message({folder_.file("none"), "", {}, {}}), "no such folder"));
    write_set("_charged4", true);
    EXPECT_TRUE(
        contains(message({folder_.path(), "", {30, 40}, {}}), "has 3 frames; more than 40 were expected"));
    EXPECT_TRUE(contains(message({folder_.path(), "charged", {}, {}}, ExitCode::usage), "_charged4"));
    put(path("charges", "valid", "_charged4"), npy_bytes(dictionary("<f8", "(1,)"), raw<double>({1})));
    EXPECT_TRUE(contains(message(all), "charges_valid_charged4.npy: has shape (1); (1, 4, 1) was expected"));
    put(path("vel", "train", "_charged4"), npy_bytes(dictionary("<f8", "(1,)"), raw<double>({1})));
    EXPECT_TRUE(contains(message(all), "vel_train_charged4.npy: has shape (1); (2, 3, 3, 4)"));
    put(path("loc", "train", "_charged4"),
        npy_bytes(dictionary("<f8", "(1, 1, 2, 2)"), raw<double>({1, 1, 1, 1})));
    EXPECT_TRUE(contains(message(all), "[simulations, frames, 3, bodies]"));
    write_set("_charged4", true, 3);
    EXPECT_TRUE(contains(message(all), "cannot be told apart"));
    write_set("_other", true);
    EXPECT_TRUE(contains(message(all, ExitCode::usage), "several data sets"));
}

} // namespace
} // namespace tether::data
