// A run file, all its tables, and the peek at its state.
#include "tests/fuzz/target.hpp"
#include "tether/run/run_file_reader.hpp"

namespace tether::fuzz {

void read_run_file(Bytes input);

void read_run_file(Bytes input) {
    const InputFile file(input);
    (void)run::peek_state(file.path(), run::Patience::none);
    const run::RunFileReader reader(file.path(), run::Patience::none);
    for (const char* name : {"job", "git_commit", "status"}) {
        if (reader.has_attribute(name)) {
            (void)reader.text(name);
        }
    }
    for (const std::string& table : reader.tables()) {
        promised(reader.rows(table) >= 0, "a table has rows or none");
        for (const std::string& column : reader.columns(table)) {
            (void)reader.units(table, column);
            const auto values = reader.numbers(table, column);
            promised(std::ssize(values) == reader.rows(table) * reader.width(table, column),
                     "as many values as rows");
        }
    }
}

} // namespace tether::fuzz
