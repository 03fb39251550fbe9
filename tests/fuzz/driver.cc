// Runs a fuzz target without libFuzzer: over every file of a corpus (a folder, or one input), and, when asked, over
// mutations of them. What crashes is written to crash-input in the working directory.
//
//   kiln_fuzz_X CORPUS                      each file once
//   kiln_fuzz_X --seconds N [--seed S] CORPUS   then mutations for N seconds
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t kInputMax = 1 << 16;
constexpr unsigned kHangSeconds = 20;
std::string current;

void keep_input(int number) {
  int fd = ::open("crash-input", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd >= 0) (void)!::write(fd, current.data(), current.size());
  ::signal(number, SIG_DFL);
  ::raise(number);
}

void run(std::string input) {
  current = std::move(input);
  ::alarm(kHangSeconds);
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(current.data()), current.size());
}

// A file, or all files of a folder.
void read_inputs(const std::filesystem::path& place, std::vector<std::string>& into) {
  if (std::filesystem::is_directory(place)) {
    for (const auto& file : std::filesystem::recursive_directory_iterator(place)) {
      if (file.is_regular_file()) read_inputs(file.path(), into);
    }
    return;
  }
  std::ifstream in(place, std::ios::binary);
  if (in) into.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

// A few small changes: bytes flipped, set to edges, cut, repeated, or taken from another input.
std::string mutate(std::string text, const std::string& other, std::mt19937_64& random) {
  auto below = [&](std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(random() % n); };
  for (std::size_t round = 1 + below(6); round > 0; --round) {
    std::size_t at = below(text.size() + 1);
    switch (below(7)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        break;
      case 1:
        if (at < text.size()) text[at] = "\0\xff\x7f\x80 /.\n\"{[0-9"[below(15)];
        break;
      case 2: text.erase(at, 1 + below(8)); break;
      case 3: text.resize(at); break;
      case 4: text.insert(at, text.substr(below(text.size() + 1), below(64))); break;
      case 5: text.insert(at, other.substr(below(other.size() + 1), below(256))); break;
      default: text.insert(at, 1 + below(4), static_cast<char>(random()));
    }
    if (text.size() > kInputMax) text.resize(kInputMax);
  }
  return text;
}

}  // namespace

int main(int count, char** words) {
  long seconds = 0;
  unsigned long long seed = 1;
  std::vector<std::string> corpus;
  for (int i = 1; i < count; ++i) {
    std::string word = words[i];
    if (word == "--seconds" && i + 1 < count) {
      seconds = std::atol(words[++i]);
    } else if (word == "--seed" && i + 1 < count) {
      seed = std::strtoull(words[++i], nullptr, 10);
    } else {
      read_inputs(word, corpus);
    }
  }
  if (corpus.empty()) {
    std::fprintf(stderr, "no corpus\n");
    return 1;
  }
  for (int number : {SIGSEGV, SIGABRT, SIGALRM, SIGBUS, SIGFPE, SIGILL}) ::signal(number, keep_input);
  run("");
  for (const std::string& input : corpus) run(input);
  std::mt19937_64 random(seed);
  unsigned long long runs = 0;
  for (const std::time_t end = std::time(nullptr) + seconds; seconds > 0 && std::time(nullptr) < end; ++runs) {
    std::string text = mutate(corpus[random() % corpus.size()], corpus[random() % corpus.size()], random);
    // Some of the mutated live on, so that changes add up.
    if (runs % 64 == 0 && corpus.size() < 4096) corpus.push_back(text);
    run(std::move(text));
  }
  std::printf("%zu inputs, %llu mutations\n", corpus.size(), runs);
  return 0;
}
