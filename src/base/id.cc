#include "base/id.h"

#include <openssl/rand.h>
#include <sys/random.h>

namespace kiln {

std::string random_bytes(std::size_t count) {
  std::string out(count, '\0');
  std::size_t have = 0;
  while (have < count) {
    ssize_t n = getrandom(out.data() + have, count - have, 0);
    if (n > 0) have += static_cast<std::size_t>(n);
  }
  return out;
}

std::string new_id() {
  static constexpr char kDigits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  std::string raw = random_bytes(25);
  std::string out;
  out.reserve(25);
  for (unsigned char c : raw) out.push_back(kDigits[c % 36]);
  return out;
}

}  // namespace kiln
