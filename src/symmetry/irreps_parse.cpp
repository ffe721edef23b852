// Reads lists of irreps, one character at a time:
//   list = [term {"+" term}],  term = [number "x"] number ("e" | "o" | "y"), blanks anywhere between.
// The text may come from a hostile file: numbers saturate, and messages quote a short, printable part.
#include "tether/core/error.hpp"
#include "tether/symmetry/irreps.hpp"

#include <algorithm>

namespace tether::symmetry {
namespace {

class IrrepsText {
public:
    explicit IrrepsText(std::string_view text) : text_(text) {}

    std::vector<Term> list() {
        std::vector<Term> terms;
        skip_blanks();
        if (at_end()) {
            return terms;
        }
        Index columns = 0;
        for (;;) {
            const std::size_t start = at_;
            terms.push_back(term());
            const Index room = Irreps::max_dim - columns;
            if (terms.back().mul > room / terms.back().ir.dim()) {
                stop(start, fmt::format("at most {} columns in all", Irreps::max_dim));
            }
            columns += terms.back().dim();
            if (at_end()) {
                return terms;
            }
            if (peek() != '+') {
                stop(at_, "'+' or the end");
            }
            if (static_cast<Index>(terms.size()) == Irreps::max_terms) {
                stop(at_, fmt::format("at most {} terms", Irreps::max_terms));
            }
            take();
        }
    }

private:
    Term term() {
        Term term;
        const std::size_t start = at_;
        Index value = number("a multiplicity or a degree");
        std::size_t degree_at = start;
        bool with_multiplicity = false;
        if (!at_end() && peek() == 'x') {
            take();
            term.mul = value;
            with_multiplicity = true;
            degree_at = at_;
            value = number("a degree");
        }
        if (at_end() || (peek() != 'e' && peek() != 'o' && peek() != 'y')) {
            stop(at_, with_multiplicity ? "parity e or o" : "'x' or parity e or o");
        }
        if (value > Irreps::max_l) {
            stop(degree_at, fmt::format("a degree of at most {}", Irreps::max_l));
        }
        term.ir.l = static_cast<int>(value);
        const char letter = take();
        const bool odd = letter == 'o' || (letter == 'y' && term.ir.l % 2 == 1);
        term.ir.parity = odd ? -1 : 1;
        return term;
    }

    Index number(std::string_view what) {
        skip_blanks();
        const std::size_t start = at_;
        Index value = 0;
        while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
            value = std::min<Index>(10 * value + (text_[at_] - '0'), Irreps::max_dim + 1);
            ++at_;
        }
        if (at_ == start) {
            stop(at_, fmt::format("{} (a whole number)", what));
        }
        skip_blanks();
        return value;
    }

    [[nodiscard]] bool at_end() const { return at_ == text_.size(); }
    [[nodiscard]] char peek() const { return text_[at_]; }
    char take() {
        const char letter = text_[at_++];
        skip_blanks();
        return letter;
    }
    void skip_blanks() {
        while (at_ < text_.size() && (text_[at_] == ' ' || (text_[at_] >= '\t' && text_[at_] <= '\r'))) {
            ++at_;
        }
    }

    static std::string printable(std::string_view text) {
        std::string out;
        for (const char letter : text) {
            if (letter >= ' ' && letter <= '~') {
                out += letter;
            } else {
                out += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(letter)));
            }
        }
        return out;
    }

    [[noreturn]] void stop(std::size_t position, std::string_view expected) const {
        constexpr std::size_t shown = 60;
        const std::string found = position < text_.size()
                                      ? fmt::format("'{}'", printable(text_.substr(position, 12)))
                                      : std::string("the end");
        fail(ExitCode::usage, "irreps \"{}{}\", position {}: found {}, expected {}",
             printable(text_.substr(0, shown)), text_.size() > shown ? "..." : "", position + 1, found,
             expected);
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

} // namespace

Irreps Irreps::parse(std::string_view text) { return Irreps(IrrepsText(text).list()); }

} // namespace tether::symmetry
