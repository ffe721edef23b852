// A motion of a small skeleton: root, a bone that turns, a rigid one, one with two channels.
#include "tests/fuzz/target.hpp"
#include "tether/data/skeleton.hpp"

namespace {

const tether::data::Skeleton& skeleton() {
    static const tether::data::Skeleton small = [] {
        constexpr std::string_view text =
            ":root\norder TX TY TZ RX RY RZ\naxis XYZ\nposition 0 0 0\norientation 0 0 0\n:bonedata\n"
            "begin\nid 1\nname upper\ndirection 1 0 0\nlength 2\naxis 0 0 20 XYZ\ndof rz\nend\n"
            "begin\nid 2\nname lower\ndirection 0 1 0\nlength 3\naxis 0 0 0 XYZ\nend\n"
            "begin\nid 3\nname hand\ndirection 0 0 1\nlength 1\naxis 5 0 0 ZYX\ndof rx rz\nend\n"
            ":hierarchy\nbegin\nroot upper\nupper lower\nlower hand\nend\n";
        const tether::fuzz::InputFile file({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
        return tether::data::read_asf(file.path());
    }();
    return small;
}

} // namespace

namespace tether::fuzz {

void read_amc(Bytes input);

void read_amc(Bytes input) {
    const InputFile file(input);
    const auto positions = data::read_amc(file.path(), skeleton());
    promised(!positions.empty() && positions.size() % (3 * skeleton().bones.size()) == 0,
             "whole frames of all bones");
}

} // namespace tether::fuzz
