#include "op/file_mode.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <charconv>

namespace kiln::op {
namespace {

constexpr std::uint32_t kUser = S_ISUID | 0700, kGroup = S_ISGID | 0070, kOther = 0007;
constexpr std::uint32_t kAll = kUser | kGroup | kOther;  // without the sticky bit
constexpr std::uint32_t kExecute = 0111;

}  // namespace

// Goes through the text once; a clause is who, then one or more of (operator, permissions).
class ModeChange::Parser {
 public:
  explicit Parser(std::string_view text) : text_(text), rest_(text) {}

  Result<std::vector<Step>> run() {
    if (rest_.empty()) return invalid();
    if (rest_[0] >= '0' && rest_[0] <= '9') return octal();
    for (;;) {
      if (!read_who()) return invalid();
      do {
        const char op = rest_[0];
        if (op != '+' && op != '-' && op != '=') return invalid();
        rest_.remove_prefix(1);
        permissions(op);
      } while (!rest_.empty() && rest_[0] != ',');
      if (rest_.empty()) return std::move(steps_);
      rest_.remove_prefix(1);
    }
  }

 private:
  Status invalid() const {
    return user_error(Code::kInvalidArgument, fmt::format("invalid mode '{}': invalid syntax", text_));
  }

  Result<std::vector<Step>> octal() {
    std::uint32_t mode = 0;
    auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), mode, 8);
    if (error != std::errc() || end != rest_.data() + rest_.size() || mode > 07777) return invalid();
    return std::vector<Step>{{Step::Kind::kClear, 07777}, {Step::Kind::kSet, mode}};
  }

  bool read_who() {
    who_ = 0;
    for (; !rest_.empty(); rest_.remove_prefix(1)) {
      switch (rest_[0]) {
        case 'a': who_ |= kAll; break;
        case 'u': who_ |= kUser; break;
        case 'g': who_ |= kGroup; break;
        case 'o': who_ |= kOther; break;
        default: return true;
      }
    }
    return false;
  }

  void permissions(char op) {
    std::uint32_t bits = 0;
    bool conditional = false, cleared = false;
    const bool special = who_ == 0 || (who_ & ~kOther) != 0;  // set-id and sticky mean nothing to "others"
    auto flush = [&](bool at_end) {
      if (bits != 0 || (at_end && op == '=' && !cleared)) add(op, bits, cleared);
      bits = 0;
      if (conditional) steps_.push_back({Step::Kind::kSetIfExecutable, masked(kExecute)});
      conditional = false;
    };
    for (; !rest_.empty(); rest_.remove_prefix(1)) {
      switch (rest_[0]) {
        case 'r': bits |= 0444; continue;
        case 'w': bits |= 0222; continue;
        case 'x': bits |= kExecute; continue;
        case 'X':
          if (op == '-') {
            bits |= kExecute;
          } else {
            conditional = true;
          }
          continue;
        case 's':
          if (special) bits |= S_ISUID | S_ISGID;
          continue;
        case 't':
          if (special) {
            who_ |= S_ISVTX;
            bits |= S_ISVTX;
          }
          continue;
        case 'u':
        case 'g':
        case 'o':
          flush(false);
          copy(op, rest_[0]);
          cleared = true;
          continue;
        default: break;
      }
      break;
    }
    flush(true);
  }

  std::uint32_t masked(std::uint32_t bits) const { return who_ ? who_ & bits : bits; }

  void add(char op, std::uint32_t bits, bool& cleared) {
    if (op == '=' && !cleared) {
      steps_.push_back({Step::Kind::kClear, who_ ? who_ : kAll});
      cleared = true;
    }
    steps_.push_back({op == '-' ? Step::Kind::kClear : Step::Kind::kSet, masked(bits)});
  }

  void copy(char op, char from) {
    Step step{Step::Kind::kCopy, masked(0777)};
    step.from_shift = from == 'u' ? 6 : from == 'g' ? 3 : 0;
    step.sets = op != '-';
    step.clears = op != '+';
    steps_.push_back(step);
  }

  std::string_view text_;
  std::string_view rest_;
  std::uint32_t who_ = 0;
  std::vector<Step> steps_;
};

Result<ModeChange> ModeChange::parse(std::string_view text) {
  ModeChange change;
  KILN_ASSIGN_OR_RETURN(change.steps_, Parser(text).run());
  return change;
}

std::uint32_t ModeChange::apply(std::uint32_t st_mode) const {
  const bool executable = S_ISDIR(st_mode) || (st_mode & kExecute) != 0;
  std::uint32_t mode = st_mode & 07777;
  for (const Step& step : steps_) {
    switch (step.kind) {
      case Step::Kind::kClear: mode &= ~step.bits; break;
      case Step::Kind::kSet: mode |= step.bits; break;
      case Step::Kind::kSetIfExecutable:
        if (executable) mode |= step.bits;
        break;
      case Step::Kind::kCopy: {
        const std::uint32_t value = mode >> step.from_shift & 7;
        const std::uint32_t everywhere = value << 6 | value << 3 | value;
        if (step.clears) mode &= ~((step.sets ? 0777 : everywhere) & step.bits);
        if (step.sets) mode |= everywhere & step.bits;
      }
    }
  }
  return mode;
}

}  // namespace kiln::op
