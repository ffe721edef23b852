// Words of a text file line by line, with the place for messages ("file:line"). '#' starts a comment.
#pragma once

#include "tether/core/types.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace tether::data {

class TextLines {
public:
    explicit TextLines(const std::string& path); // throws Error(data)

    // Goes to the next line that holds words; false at the end of the file.
    bool next();
    // The next call of next() gives this line again.
    void again() { repeat_ = true; }
    [[nodiscard]] const std::vector<std::string_view>& words() const { return words_; }
    [[nodiscard]] Index line() const { return line_; }
    [[nodiscard]] std::string place() const; // of the current line
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] bool ends_with_newline() const { return text_.empty() || text_.back() == '\n'; }

    // Word number i as a finite number.
    [[nodiscard]] double number(std::size_t i) const;
    // The line must have this many words.
    void expect_words(std::size_t count, std::string_view meaning) const;

private:
    std::string path_, text_;
    std::size_t position_ = 0;
    Index line_ = 0;
    bool repeat_ = false;
    std::vector<std::string_view> words_;
};

} // namespace tether::data
