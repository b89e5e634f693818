#include "tests/tcp/script.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace gannet::test::tcp {
namespace {

using Words = std::vector<std::string>;

/// Thrown by the reader, caught in parse_script: what is wrong with the line.
struct Fault {
  std::string text;
};

[[nodiscard]] std::size_t has_time(const Words& words) {
  return !words.empty() && words.front().starts_with("+") ? 1 : 0;
}

/// Blanks part words; commas and the two ends of an option list are words of their own.
Words words_of(std::string_view line) {
  Words words;
  std::string word;
  const auto end = [&] {
    if (!word.empty()) words.push_back(word);
    word.clear();
  };
  bool in_options = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '#') break;
    if (c == ' ' || c == '\t') {
      end();
    } else if (c == '<' && word.empty() && !line.substr(i).starts_with("<=") && words.size() > has_time(words)) {
      // The first < of a line is its direction; a later one opens options.
      words.emplace_back("<");
      in_options = true;
    } else if (in_options && (c == ',' || c == '>')) {
      end();
      words.emplace_back(1, c);
      if (c == '>') in_options = false;
    } else {
      word += c;
    }
  }
  end();
  return words;
}

class LineReader {
 public:
  explicit LineReader(Words words) : words_(std::move(words)) {}

  [[nodiscard]] bool done() const { return at_ >= words_.size(); }
  [[nodiscard]] const std::string& peek() const {
    if (done()) throw Fault{"the line ends too soon"};
    return words_[at_];
  }
  std::string next() {
    std::string word = peek();
    ++at_;
    return word;
  }
  bool accept(std::string_view word) {
    if (done() || words_[at_] != word) return false;
    ++at_;
    return true;
  }
  void expect(std::string_view word) {
    if (!accept(word)) throw Fault{"expected \"" + std::string(word) + "\""};
  }
  std::uint32_t value() {
    std::uint32_t value = 0;
    const std::string word = next();
    if (!parse_number(word, value)) throw Fault{"\"" + word + "\" is no number"};
    return value;
  }
  Number number() {
    const std::string word = next();
    Number number;
    if (word == "*") {
      number.kind = Number::Kind::kAny;
    } else if (word == "last") {
      number.kind = Number::Kind::kLast;
    } else if (word.starts_with("$")) {
      number.kind = Number::Kind::kName;
      number.name = word.substr(1);
    } else if (word.starts_with(">=") || word.starts_with("<=")) {
      number.kind = word[0] == '>' ? Number::Kind::kAtLeast : Number::Kind::kAtMost;
      if (!parse_number(std::string_view(word).substr(2), number.value)) throw Fault{"\"" + word + "\" is no number"};
    } else if (!parse_number(word, number.value)) {
      throw Fault{"\"" + word + "\" is no number"};
    }
    return number;
  }
  Words rest() {
    Words rest(words_.begin() + static_cast<std::ptrdiff_t>(at_), words_.end());
    at_ = words_.size();
    return rest;
  }

 private:
  Words words_;
  std::size_t at_ = 0;
};

Frame hex_bytes(std::string_view text) {
  Frame bytes;
  if (text.size() % 2 != 0) throw Fault{"half a byte"};
  for (std::size_t i = 0; i < text.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::strtoul(std::string(text.substr(i, 2)).c_str(), nullptr, 16)));
  return bytes;
}

SackBlock sack_block(const std::string& word) {
  const std::size_t colon = word.find(':');
  SackBlock block;
  if (colon == std::string::npos || !parse_number(word.substr(0, colon), block.first) ||
      !parse_number(word.substr(colon + 1), block.last))
    throw Fault{"a SACK block is FIRST:LAST"};
  return block;
}

OptionWords read_option_words(LineReader& line) {
  OptionWords options;
  while (!line.accept(">")) {
    if (line.accept(",")) continue;
    const std::string word = line.next();
    if (word == "mss") {
      options.mss = line.number();
    } else if (word == "ws") {
      options.window_scale = line.number();
    } else if (word == "sackOK") {
      options.sack_permitted = true;
    } else if (word == "ts") {
      options.ts_value = line.number();
      options.ts_echo = line.number();
    } else if (word == "sack") {
      while (line.peek() != "," && line.peek() != ">") options.sacks.push_back(sack_block(line.next()));
    } else if (word == "raw") {
      options.raw = hex_bytes(line.next());
    } else {
      throw Fault{"\"" + word + "\" is no option"};
    }
  }
  return options;
}

std::uint8_t flags_of(const std::string& word) {
  constexpr std::string_view kLetters = "SFRPAUEW";
  constexpr std::uint8_t kBits[] = {kSyn, kFin, kRst, kPsh, kAck, kUrg, kEce, kCwr};
  std::uint8_t flags = 0;
  if (word == ".") return 0;
  for (const char c : word) {
    const std::size_t at = kLetters.find(c);
    if (at == std::string_view::npos) throw Fault{"\"" + word + "\" are no flags"};
    flags |= kBits[at];
  }
  return flags;
}

std::uint8_t ecn_of(const std::string& word) {
  if (word == "not") return 0;
  if (word == "ect1") return 1;
  if (word == "ect0") return 2;
  if (word == "ce") return 3;
  throw Fault{"ecn is not, ect0, ect1 or ce"};
}

/// All fields behind the flags.
void read_fields(LineReader& line, SegmentWords& out) {
  while (!line.done()) {
    const std::string word = line.next();
    if (word == "seq") {
      out.seq = line.number();
    } else if (word == "ack") {
      out.ack = line.number();
    } else if (word == "win") {
      out.window = line.number();
    } else if (word == "data") {
      out.data = line.value();
    } else if (word == "at") {
      out.data_at = line.value();
    } else if (word == "other") {
      out.salt = 0x55;
    } else if (word == "urg") {
      out.urgent = static_cast<std::uint16_t>(line.value());
    } else if (word == "ecn") {
      out.ecn = ecn_of(line.next());
    } else if (word == "nopush") {
      out.any_psh = false;
    } else if (word == "rtt") {
      if (!parse_time(line.next(), out.rtt_ns)) throw Fault{"rtt TIME"};
    } else if (word == "badsum") {
      out.bad_checksum = true;
    } else if (word == "words") {
      out.header_words = static_cast<std::uint8_t>(line.value());
    } else if (word == "<") {
      out.options = read_option_words(line);
    } else {
      throw Fault{"\"" + word + "\" is no field of a segment"};
    }
  }
}

void read_peer(LineReader& line, SegmentWords& out) {
  if (line.done() || !line.peek().starts_with("@")) return;
  const std::string word = line.next();
  if (!parse_number(std::string_view(word).substr(1), out.peer)) throw Fault{"a peer is @NUMBER"};
}

SegmentWords read_segment(LineReader& line, bool in) {
  SegmentWords segment;
  read_peer(line, segment);
  segment.flags = flags_of(line.next());
  if (segment.has_psh()) segment.any_psh = false;
  read_fields(line, segment);
  if (!segment.seq) throw Fault{"a segment has a seq"};
  if (!in && (segment.flags & kAck) != 0 && !segment.ack) throw Fault{"a segment with A has an ack"};
  return segment;
}

void read_time(LineReader& line, Step& step) {
  if (line.done() || !line.peek().starts_with("+")) return;
  const std::string word = line.next().substr(1);
  const std::size_t dots = word.find("..");
  const bool right = dots == std::string::npos ? parse_time(word, step.from_ns)
                                               : parse_time(word.substr(0, dots), step.from_ns) &&
                                                     parse_time(word.substr(dots + 2), step.to_ns);
  if (!right) throw Fault{"\"+" + word + "\" is no time"};
  step.range = dots != std::string::npos;
  if (!step.range) step.to_ns = step.from_ns;
  if (step.to_ns < step.from_ns) throw Fault{"a range of times runs backwards"};
}

Step read_step(LineReader& line) {
  Step step;
  read_time(line, step);
  const std::string word = line.next();
  if (word == "<" || word == ">") {
    step.kind = word == "<" ? Step::Kind::kIn : Step::Kind::kOut;
    if (step.kind == Step::Kind::kIn && line.accept("icmp")) {
      step.kind = Step::Kind::kIcmp;
      step.words = line.rest();
    } else {
      step.segment = read_segment(line, step.kind == Step::Kind::kIn);
    }
  } else if (word == "open") {
    step.kind = Step::Kind::kOpen;
    read_peer(line, step.segment);
    read_fields(line, step.segment);
  } else if (word == "silence" || word == "app" || word == "event" || word == "noevent" || word == "flood" ||
             word == "peer" || word == "count") {
    step.kind = word == "silence"   ? Step::Kind::kSilence
                : word == "app"     ? Step::Kind::kApp
                : word == "event"   ? Step::Kind::kEvent
                : word == "noevent" ? Step::Kind::kNoEvent
                : word == "flood"   ? Step::Kind::kFlood
                : word == "peer"    ? Step::Kind::kWho
                                    : Step::Kind::kCount;
    step.words = line.rest();
  } else {
    throw Fault{"\"" + word + "\" begins no line"};
  }
  if (step.range && step.kind != Step::Kind::kOut) throw Fault{"only what is sent has a range of times"};
  return step;
}

void read_line(const std::string& text, std::size_t number, Script& out) {
  LineReader line(words_of(text));
  if (line.done()) return;
  if (line.accept("config")) {
    const std::string key = line.next();
    out.settings.push_back({number, key, line.next()});
  } else {
    out.steps.push_back(read_step(line));
    out.steps.back().line = number;
    out.steps.back().text = text;
  }
  if (!line.done()) throw Fault{"\"" + line.next() + "\" is too much"};
}

}  // namespace

bool parse_number(std::string_view text, std::uint32_t& out) {
  std::uint32_t sum = 0;
  std::stringstream terms{std::string(text)};
  std::string term;
  if (text.empty() || text.back() == '+') return false;
  while (std::getline(terms, term, '+')) {
    std::uint32_t product = 1;
    std::stringstream factors(term);
    std::string factor;
    if (term.empty() || term.back() == '*') return false;
    while (std::getline(factors, factor, '*')) {
      if (factor.empty() || !std::all_of(factor.begin(), factor.end(), [](char c) { return c >= '0' && c <= '9'; }))
        return false;
      product *= static_cast<std::uint32_t>(std::strtoull(factor.c_str(), nullptr, 10));
    }
    sum += product;
  }
  out = sum;
  return true;
}

bool parse_time(std::string_view text, MonotonicNs& out) {
  const std::string word(text);
  char* end = nullptr;
  const double value = std::strtod(word.c_str(), &end);
  const std::string unit(end);
  const double scale = unit.empty() || unit == "s" ? 1e9
                       : unit == "ms"              ? 1e6
                       : unit == "us"              ? 1e3
                       : unit == "m"               ? 60e9
                       : unit == "h"               ? 3600e9
                                                   : 0;
  if (end == word.c_str() || scale == 0 || value < 0) return false;
  out = static_cast<MonotonicNs>(value * scale + 0.5);
  return true;
}

std::string parse_script(std::string_view text, Script& out) {
  std::stringstream lines{std::string(text)};
  std::string line;
  for (std::size_t number = 1; std::getline(lines, line); ++number) {
    if (number == 1) {
      if (!line.starts_with("# RFC ") || line.find(" section ") == std::string::npos ||
          line.find(": ") == std::string::npos)
        return "line 1: a script begins with \"# RFC NUMBER section SECTION: what it proves\"";
      out.proves = line.substr(2);
      continue;
    }
    try {
      read_line(line, number, out);
    } catch (const Fault& fault) {
      return "line " + std::to_string(number) + ": " + fault.text + "\n    " + line;
    }
  }
  return out.steps.empty() ? "a script without a step" : "";
}

}  // namespace gannet::test::tcp
