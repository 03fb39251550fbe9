#include "cache/key.h"

#include <fmt/format.h>

namespace kiln::cache {

KeyId root_key(std::string_view op_digest, int output) {
  if (op_digest.starts_with("random:")) return std::string(op_digest);
  return Digest::of(fmt::format("{}@{}", op_digest, output)).str();
}

KeyId content_key(const Digest& content) { return root_key(content.str(), -1); }

KeyId derived_key(std::string_view out_key, const std::vector<InputKey>& inputs) {
  Hasher hasher;
  hasher.update(out_key);
  for (const auto& input : inputs) {
    hasher.update("\n");
    hasher.update(input.key);
    hasher.update(" ");
    hasher.update(input.selector);
  }
  return "k" + std::string(hasher.finish().hex());
}

}  // namespace kiln::cache
