// ASF and AMC files: forward kinematics against the stored positions, and what is said about bad files.
#include "tether/data/skeleton.hpp"

#include "tests/data/support.hpp"
#include "tests/support/reference.hpp"
#include "tether/core/hdf5.hpp"
#include "tether/core/log.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>

namespace tether::data {
namespace {

std::string fixture(const std::string& name) { return TETHER_SOURCE_DIR "/tests/reference/mocap/" + name; }

std::string content(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

// A small creature: root, a bone that turns about z, one that is rigid on it.
constexpr const char* small_asf =
    ":version 1.10\n:name small # comment\n:units\n  mass 1.0\n  length 0.5\n"
    "  angle deg\n:documentation\n  free : text\n:root\n  order TX TY TZ RX RY RZ\n"
    "  axis XYZ\n  position 0 0 0\n  orientation 0 0 0\n:bonedata\n  begin\n"
    "    id 1\n    name upper\n    direction 1 0 0\n    length 2\n"
    "    axis 0 0 0 XYZ\n    dof rz\n    limits (-1 1)\n  end\n  begin\n    id 2\n"
    "    name lower\n    direction 0 1 0\n    length 3\n    axis 0 0 0 XYZ\n"
    "  end\n:hierarchy\n  begin\n    root upper\n    upper lower\n  end\n";
constexpr const char* small_amc = ":FULLY-SPECIFIED\n:DEGREES\n1\nroot 1 2 3 0 0 0\nupper 90\n2\n"
                                  "root 1 2 3 0 90 0\nupper 0\n";

class Written {
public:
    std::string write(const std::string& name, const std::string& text) {
        std::ofstream(folder_.file(name)) << text;
        return folder_.file(name);
    }
    // The message for a file of which one piece of text is replaced.
    std::string asf_error(const std::string& from, const std::string& to) {
        return error_of([&] { (void)read_asf(write("a.asf", replaced(small_asf, from, to))); });
    }
    std::string amc_error(const std::string& from, const std::string& to) {
        const Skeleton skeleton = read_asf(write("s.asf", small_asf));
        return error_of([&] { (void)read_amc(write("m.amc", replaced(small_amc, from, to)), skeleton); });
    }
    static std::string replaced(std::string text, const std::string& from, const std::string& to) {
        const std::size_t at = text.find(from);
        EXPECT_NE(at, std::string::npos) << from;
        return text.replace(at, from.size(), to);
    }

private:
    test::TemporaryFolder folder_;
};

TEST(Skeleton, ParityWithTheStoredPositions) {
    const Skeleton skeleton = read_asf(fixture("35.asf"));
    ASSERT_EQ(skeleton.bones.size(), 31U);
    EXPECT_NEAR(skeleton.length_unit_cm, 5.6444, 5e-5);
    const std::vector<double> found = read_amc(fixture("35_01.amc"), skeleton);
    ASSERT_EQ(found.size(), 120U * 31 * 3);
    const hdf5::Reader stored(TETHER_SOURCE_DIR "/data/mocap/walk_subject35.h5");
    EXPECT_EQ(stored.strings("trial_name")[0], "35_01");
    EXPECT_LT(test::disagreement(found, stored.double_rows("xyz", 0, 120)), 1e-6);
    const std::vector<std::string> names = stored.strings("joint_name");
    const std::vector<Index> parents = stored.integers("parent");
    for (std::size_t b = 0; b < 31; ++b) {
        EXPECT_EQ(skeleton.bones[b].name, names[b]);
        EXPECT_EQ(skeleton.bones[b].parent, parents[b]);
    }
}

TEST(Skeleton, ASmallOneByHand) {
    Written w;
    const Skeleton skeleton = read_asf(w.write("a.asf", small_asf));
    EXPECT_NEAR(skeleton.length_unit_cm, 5.08, 1e-12);
    const std::vector<double> x = read_amc(w.write("a.amc", small_amc), skeleton);
    // Frame 1: upper turned by 90 degrees about z; frame 2: the root by 90 degrees about y.
    const std::vector<double> expected{1, 2, 3, 1, 4, 3, -2, 4, 3, 1, 2, 3, 1, 2, 1, 1, 5, 1};
    ASSERT_EQ(x.size(), expected.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
        EXPECT_NEAR(x[i], expected[i], 1e-12) << i;
    }
    // Windows line ends, radians, a bone listed before the one it hangs on.
    std::string windows;
    for (const char c : std::string(small_asf)) {
        windows += c == '\n' ? std::string("\r\n") : std::string(1, c);
    }
    EXPECT_EQ(read_asf(w.write("b.asf", windows)).bones.size(), 3U);
    const std::string swapped = Written::replaced(
        Written::replaced(small_asf, "root upper\n    upper lower", "root lower\n    lower upper"), "rz",
        "rz");
    const Skeleton other = read_asf(w.write("c.asf", swapped));
    EXPECT_EQ(other.outwards, (std::vector<std::int32_t>{0, 2, 1}));
    const std::string radians = Written::replaced(
        Written::replaced(Written::replaced(small_amc, ":DEGREES", ":RADIANS"), "90", "1.5707963267948966"),
        "90", "1.5707963267948966");
    const std::vector<double> y = read_amc(w.write("r.amc", radians), skeleton);
    for (std::size_t i = 0; i < x.size(); ++i) {
        EXPECT_NEAR(y[i], expected[i], 1e-12) << i;
    }
}

TEST(Skeleton, BonesKeepTheirLengthAndTheRootTurnsAll) {
    const Skeleton skeleton = read_asf(fixture("35.asf"));
    const std::vector<double> x = read_amc(fixture("35_01.amc"), skeleton);
    for (std::size_t frame = 0; frame < 120; frame += 17) {
        for (std::size_t b = 1; b < skeleton.bones.size(); ++b) {
            const double* at = x.data() + (frame * 31 + b) * 3;
            const double* from =
                x.data() + (frame * 31 + static_cast<std::size_t>(skeleton.bones[b].parent)) * 3;
            EXPECT_NEAR(std::hypot(at[0] - from[0], at[1] - from[1], at[2] - from[2]),
                        skeleton.bones[b].length, 2e-5);
        }
    }
}

TEST(Skeleton, BadSkeletons) {
    Written w;
    const auto said = [&](const std::string& from, const std::string& to, const std::string& expected) {
        const std::string message = w.asf_error(from, to);
        EXPECT_TRUE(contains(message, expected)) << message;
    };
    said("length 2", "length two", "a.asf:19: 'two' (word 2); a finite number was expected");
    said("length 2", "length nan", "a.asf:19: 'nan'");
    said("length 2", "length -2", "a.asf:19: length -2; 0 or more was expected");
    said("length 2\n", "", "a.asf:15: bone 'upper' has no length");
    said("direction 1 0 0", "direction 1 0", "a.asf:18: 'direction' has 3 words; 4 were expected");
    said("direction 1 0 0", "direction 2 0 0", "a.asf:18: direction of length 2; 1 was expected");
    said("axis 0 0 0 XYZ\n    dof", "axis 0 0 0 XYX\n    dof", "a.asf:20: axis order 'XYX'");
    said("dof rz", "dof rz rq", "a.asf:21: channel 'rq'; one of rx, ry, rz");
    said("dof rz", "dof rz rz", "a.asf:21: channel 'rz' appears twice");
    said("dof rz", "dof tx", "can turn only");
    said("dof rz", "dofs rz", "a bone has no key 'dofs' (did you mean 'dof'?)");
    said("name lower", "name upper", "there are two bones 'upper'");
    said("    upper lower\n", "", "bone 'lower' is missing in :hierarchy");
    said("upper lower\n", "upper lowr\n", "a.asf:34: no bone is called 'lowr' (did you mean 'lower'?)");
    said("root upper", "lower upper", "do not hang on the root");
    said("upper lower\n", "upper lower\n    root lower\n", "'lower' hangs on 'upper' already");
    said("upper lower\n", "upper root\n", "'root' hangs on 'upper', but it is the root");
    said("TX TY TZ RX RY RZ", "", "the root has no channels");
    said(":bonedata", ":bonedat", "no section is called ':bonedat' (did you mean 'bonedata'?)");
    said("  end\n:hierarchy", ":hierarchy", "this bone has no 'end'");
    said("angle deg", "angle degrees", "deg or rad was expected");
    EXPECT_TRUE(contains(error_of([] { (void)read_asf("/no/such.asf"); }), "/no/such.asf: No such file"));
    EXPECT_TRUE(contains(error_of([&] { (void)read_asf(w.write("e.asf", "")); }), "has no section ':root'"));
}

TEST(Skeleton, BadMotions) {
    Written w;
    const auto said = [&](const std::string& from, const std::string& to, const std::string& expected) {
        const std::string message = w.amc_error(from, to);
        EXPECT_TRUE(contains(message, expected)) << message;
    };
    said("upper 90\n", "", "m.amc:5: frame 1 lacks bone 'upper'");
    said("upper 0\n", "", "m.amc:7: frame 2 lacks bone 'upper' (the file ends here: is it truncated?)");
    said("upper 90", "upper 90 1", "m.amc:5: frame 1: bone 'upper' has 2 numbers;");
    said("upper 90", "upper", "m.amc:5: frame 1: bone 'upper' has 0 numbers;");
    said("upper 90", "lower 90", "has 0 channels for it");
    said("upper 90", "uper 90", "has no bone 'uper' (did you mean 'upper'?)");
    said("upper 90", "upper 9x0", "m.amc:5: '9x0' (word 2); a finite number was expected");
    said("upper 90", "upper inf", "m.amc:5: 'inf'");
    said("upper 90", "upper 1e999", "m.amc:5: '1e999'");
    said("upper 90", "upper 90\nupper 90", "m.amc:6: frame 1 has bone 'upper' twice");
    said("\n2\n", "\n3\n", "m.amc:6: frame 3 follows frame 1");
    said("\n1\n", "\n", "the number of the first frame was expected");
    said(":DEGREES", ":GRADIANS", "m.amc:2: ':GRADIANS'");
    const Skeleton skeleton = read_asf(w.write("s.asf", small_asf));
    EXPECT_TRUE(contains(error_of([&] { (void)read_amc(w.write("e.amc", ":DEGREES\n"), skeleton); }),
                         "holds no frames"));
}

// Cut at a line's end, a file is refused unless the last frame is whole; cut within the last number, it is
// read with a warning.
TEST(Skeleton, WarnsOfALastLineThatDoesNotEnd) {
    Written w;
    const Skeleton skeleton = read_asf(fixture("35.asf"));
    const std::string whole = content(fixture("35_01.amc"));
    const std::string two = whole.substr(0, whole.find("\n3\n") + 1);
    const std::size_t second = two.find("\n2\n") + 1;
    int refused = 0;
    for (std::size_t end = two.find('\n', second + 2); end + 1 < two.size(); end = two.find('\n', end + 1)) {
        EXPECT_TRUE(
            contains(error_of([&] { (void)read_amc(w.write("cut.amc", two.substr(0, end + 1)), skeleton); }),
                     "frame 2 lacks bone"));
        ++refused;
    }
    EXPECT_EQ(refused, 28); // all lines of the frame but the last
    EXPECT_EQ(read_amc(w.write("one.amc", two.substr(0, second)), skeleton).size(), 31 * 3U);
    const long before = log::warning_count();
    EXPECT_EQ(read_amc(w.write("cut.amc", two.substr(0, two.size() - 2)), skeleton).size(), 31 * 6U);
    EXPECT_EQ(log::warning_count(), before + 1);
}

} // namespace
} // namespace tether::data
