#include "tether/cli/arguments.hpp"

#include "tether/cli/launch.hpp"
#include "tether/core/error.hpp"
#include "tether/core/text.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>

namespace tether::cli {
namespace {

template <class T>
T number(const std::string& flag, const std::string& text, T low, T high, const char* kind) {
    T value{};
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    const bool good = error == std::errc{} && stop == end && value >= low && value <= high;
    check(good, "{}: found '{}', expected {} {} .. {}", flag, text, kind, low, high);
    return value;
}

bool is_flag(const std::string& text) { return text.size() > 1 && text[0] == '-'; }

} // namespace

std::string help_text(const Usage& usage) {
    std::string line = "usage: tether " + usage.command;
    if (!usage.positional.empty()) {
        line += " " + usage.positional;
    }
    std::string flags;
    for (const Flag& flag : usage.flags) {
        const std::string form = flag.name + (flag.value.empty() ? "" : " " + flag.value);
        line += " [" + form + "]" + (flag.repeated ? "..." : "");
        flags += fmt::format("  {:<26} {}\n", form, flag.meaning);
    }
    flags += fmt::format("  {:<26} {}\n", "--help", "this text");
    return line + "\n\n" + usage.meaning + "\n\n" + flags + "\nexample: " + usage.example + "\n";
}

Arguments::Arguments(const Usage& usage, std::span<const std::string> arguments) : usage_(usage) {
    for (const std::string& argument : arguments) {
        if (argument == "--") {
            break;
        }
        if (argument == "--help" || argument == "-h") {
            help_shown_ = true;
            if (speaks()) {
                fmt::print("{}", help_text(usage_));
            }
            return;
        }
    }
    bool flags = true;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        if (flags && arguments[i] == "--") {
            flags = false;
        } else if (flags && is_flag(arguments[i])) {
            read_flag(arguments, i);
        } else {
            positional_.push_back(arguments[i]);
        }
    }
    check_positional();
}

void Arguments::read_flag(std::span<const std::string> arguments, std::size_t& at) {
    const std::string& text = arguments[at];
    const std::size_t equals = text.find('=');
    const std::string name = text.substr(0, equals);
    const auto flag = std::ranges::find(usage_.flags, name, &Flag::name);
    if (flag == usage_.flags.end()) {
        std::vector<std::string> names{"--help"};
        std::ranges::transform(usage_.flags, std::back_inserter(names), &Flag::name);
        fail(ExitCode::usage, "tether {}: unknown flag {}{}", usage_.command, name, hint(name, names));
    }
    std::vector<std::string>& given = given_[name];
    check(flag->repeated || given.empty(), "tether {}: {} is given twice", usage_.command, name);
    if (flag->value.empty()) {
        check(equals == std::string::npos, "tether {}: {} takes no value", usage_.command, name);
        given.emplace_back();
        return;
    }
    std::string value;
    if (equals != std::string::npos) {
        value = text.substr(equals + 1);
    } else {
        // A value may begin with one dash (a negative number), a forgotten one shows as the next flag.
        const bool there = at + 1 < arguments.size() && !arguments[at + 1].starts_with("--");
        check(there, "tether {}: {} needs a value: {} {}", usage_.command, name, name, flag->value);
        value = arguments[++at];
    }
    if (!flag->words.empty() && std::ranges::find(flag->words, value) == flag->words.end()) {
        const std::string near = nearest_name(value, flag->words);
        fail(ExitCode::usage, "tether {}: {}: found '{}', expected one of {}{}", usage_.command, name, value,
             join(flag->words, ", "), near.empty() ? "" : " (did you mean '" + near + "'?)");
    }
    given.push_back(value);
}

void Arguments::check_positional() const {
    const auto count = static_cast<Index>(positional_.size());
    check(count >= usage_.least, "tether {}: missing {} (see tether {} --help)", usage_.command,
          usage_.positional, usage_.command);
    if (usage_.most >= 0 && count > usage_.most) {
        fail(ExitCode::usage, "tether {}: unexpected argument '{}' (see tether {} --help)", usage_.command,
             positional_[static_cast<std::size_t>(usage_.most)], usage_.command);
    }
}

const Flag& Arguments::known(const std::string& flag) const {
    const auto found = std::ranges::find(usage_.flags, flag, &Flag::name);
    if (found == usage_.flags.end()) {
        throw std::logic_error("command '" + usage_.command + "' has no flag " + flag);
    }
    return *found;
}

bool Arguments::has(const std::string& flag) const { return given_.contains(known(flag).name); }

std::optional<std::string> Arguments::value(const std::string& flag) const {
    return has(flag) ? std::optional(given_.at(flag).back()) : std::nullopt;
}

std::string Arguments::value_or(const std::string& flag, const std::string& standard) const {
    return value(flag).value_or(standard);
}

std::vector<std::string> Arguments::values(const std::string& flag) const {
    return has(flag) ? given_.at(flag) : std::vector<std::string>{};
}

std::optional<Index> Arguments::integer(const std::string& flag, Index low, Index high) const {
    const auto text = value(flag);
    return text ? std::optional(number<Index>(flag, *text, low, high, "integer")) : std::nullopt;
}

Index Arguments::integer_or(const std::string& flag, Index standard, Index low, Index high) const {
    return integer(flag, low, high).value_or(standard);
}

std::optional<double> Arguments::real(const std::string& flag, double low, double high) const {
    const auto text = value(flag);
    return text ? std::optional(number<double>(flag, *text, low, high, "real")) : std::nullopt;
}

} // namespace tether::cli
