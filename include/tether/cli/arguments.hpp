// The arguments of one command, against its Usage: flags with and without a value, repeated flags,
// positional arguments, --help. A misspelt flag is answered with the nearest one. All errors are
// Error(usage).
#pragma once

#include "tether/core/types.hpp"

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tether::cli {

struct Flag {
    std::string name;                    // "--runs"
    std::string value = {};              // what the help calls its value: "DIR"; empty: a switch
    std::string meaning = {};            // one line, with the default where there is one
    bool repeated = false;               // may be given several times
    std::vector<std::string> words = {}; // allowed values; empty: any
};

struct Usage {
    std::string command;          // "train"
    std::string meaning;          // one or more sentences
    std::string positional = {};  // "JOB.toml", "RUN..."; empty: none
    Index least = 0, most = 0;    // number of positional arguments; most < 0: any number
    std::vector<Flag> flags = {}; // --help comes by itself
    std::string example = {};     // a whole command line
};

[[nodiscard]] std::string help_text(const Usage& usage);

class Arguments {
public:
    // Both "--flag value" and "--flag=value"; after "--" everything is positional.
    // With --help among the arguments the help is printed to stdout, help_shown() is true and nothing
    // else is checked: the command then returns 0.
    Arguments(const Usage& usage, std::span<const std::string> arguments);

    [[nodiscard]] bool help_shown() const { return help_shown_; }
    [[nodiscard]] const std::vector<std::string>& positional() const { return positional_; }

    // Asking for a flag that the Usage does not have is a std::logic_error.
    [[nodiscard]] bool has(const std::string& flag) const;
    [[nodiscard]] std::optional<std::string> value(const std::string& flag) const;
    [[nodiscard]] std::string value_or(const std::string& flag, const std::string& standard) const;
    [[nodiscard]] std::vector<std::string> values(const std::string& flag) const; // of a repeated flag
    // low and high are inclusive.
    [[nodiscard]] std::optional<Index> integer(const std::string& flag, Index low, Index high) const;
    [[nodiscard]] Index integer_or(const std::string& flag, Index standard, Index low, Index high) const;
    [[nodiscard]] std::optional<double> real(const std::string& flag, double low, double high) const;

private:
    [[nodiscard]] const Flag& known(const std::string& flag) const;
    void read_flag(std::span<const std::string> arguments, std::size_t& at);
    void check_positional() const;

    Usage usage_;
    bool help_shown_ = false;
    std::vector<std::string> positional_;
    std::map<std::string, std::vector<std::string>> given_;
};

} // namespace tether::cli
