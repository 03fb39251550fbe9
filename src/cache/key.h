// What a cached output is called. A key is an id in a graph of keys:
//
//   root key      of an op without inputs, or of a content digest: sha256("<digest>@<output>")
//   derived key   of an op with inputs; reached by links from the keys of each of its inputs
//
// A link says: "input number `input` of the op whose out-key is `out_key`, restricted to
// `selector`, may be this key". A key that every input links to is a key of that op's output.
// This is the model of BuildKit's cache configuration (application/vnd.buildkit.cacheconfig.v0),
// so records travel between the two engines; docs/formats/cache.md describes it.
//
//   KeyId base = root_key(op_digest, 0);
//   KeyId next = derived_key(root_key(run_digest, 0), {{base, ""}});
#pragma once

#include <compare>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"

namespace kiln::cache {

using KeyId = std::string;

// An input's key together with the part of the input that matters ("" = all of it).
struct InputKey {
  KeyId key;
  std::string selector;
  auto operator<=>(const InputKey&) const = default;
  bool operator==(const InputKey&) const = default;
};

// One edge of the key graph, without its two ends.
struct Link {
  int input = 0;
  std::string out_key;  // root_key(op digest, output index)
  std::string selector;
  auto operator<=>(const Link&) const = default;
  bool operator==(const Link&) const = default;
};

// A stored output under a key: `id` means something to the store of outputs only.
struct Record {
  std::string id;
  Time created{};
};

// The key of output `output` of an op without inputs, and the out-key of any op. A digest that
// begins with "random:" gives a key that is only equal to itself.
KeyId root_key(std::string_view op_digest, int output);
// The key of content, however it was made.
KeyId content_key(const Digest& content);
// The name under which a freshly made output is stored: a pure function of the out-key and one key
// an input.
KeyId derived_key(std::string_view out_key, const std::vector<InputKey>& inputs);

}  // namespace kiln::cache
