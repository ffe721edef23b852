#include "src/data/text_lines.hpp"

#include "tether/core/error.hpp"

#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>

namespace tether::data {

TextLines::TextLines(const std::string& path) : path_(path) {
    std::error_code problem;
    const auto size = std::filesystem::file_size(path, problem);
    check(!problem, ExitCode::data, "{}: {}", path, problem.message());
    constexpr std::uintmax_t most = std::uintmax_t{1} << 32U;
    check(size < most, ExitCode::data, "{}: has {} bytes; text of less than {} was expected", path, size,
          most);
    text_.resize(size);
    std::ifstream file(path, std::ios::binary);
    file.read(text_.data(), static_cast<std::streamsize>(size));
    check(file.good() || size == 0, ExitCode::data, "{}: cannot be read", path);
}

bool TextLines::next() {
    if (repeat_) {
        repeat_ = false;
        return !words_.empty();
    }
    constexpr std::string_view blank = " \t\r\v\f";
    words_.clear();
    while (words_.empty() && position_ < text_.size()) {
        const std::size_t end = std::min(text_.find('\n', position_), text_.size());
        std::string_view line = std::string_view(text_).substr(position_, end - position_);
        position_ = end + 1;
        ++line_;
        line = line.substr(0, line.find('#'));
        for (std::size_t at = line.find_first_not_of(blank); at != std::string_view::npos;
             at = line.find_first_not_of(blank, at)) {
            const std::size_t stop = std::min(line.find_first_of(blank, at), line.size());
            words_.push_back(line.substr(at, stop - at));
            at = stop;
        }
    }
    return !words_.empty();
}

std::string TextLines::place() const { return path_ + ":" + std::to_string(line_); }

double TextLines::number(std::size_t i) const {
    std::string_view word = words_.at(i);
    if (word.size() > 1 && word[0] == '+' && word[1] != '-') {
        word.remove_prefix(1);
    }
    double value = 0;
    const auto [end, problem] = std::from_chars(word.data(), word.data() + word.size(), value);
    check(problem == std::errc{} && end == word.data() + word.size() && std::isfinite(value), ExitCode::data,
          "{}: '{}' (word {}); a finite number was expected", place(), words_[i], i + 1);
    return value;
}

void TextLines::expect_words(std::size_t count, std::string_view meaning) const {
    check(words_.size() == count, ExitCode::data, "{}: '{}' has {} words; {} were expected: {}", place(),
          words_.front(), words_.size(), count, meaning);
}

} // namespace tether::data
