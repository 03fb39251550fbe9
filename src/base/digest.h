// Content digests: "sha256:<64 hex>". A Digest is a value; the empty Digest means "none".
//
//   Digest d = Digest::of(bytes);
//   Hasher h; h.update(chunk); Digest d2 = h.finish();
//
// Format: OCI image-spec, descriptor.md, section Digests. sha256, sha384 and sha512 parse; new ones
// are made with sha256.
#pragma once

#include <compare>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kiln {

// Immutable value; any thread.
class Digest {
 public:
  Digest() = default;
  // Takes "algorithm:hex"; InvalidArgument when the form or the length is wrong.
  static Result<Digest> parse(std::string_view text);
  // sha256 of the bytes.
  static Digest of(std::string_view bytes);
  // For text already known to be valid (from our own database, or just made). Not checked.
  static Digest trusted(std::string text);

  const std::string& str() const { return text_; }
  std::string_view algorithm() const;  // "sha256"
  std::string_view hex() const;        // without the algorithm
  bool empty() const { return text_.empty(); }

  auto operator<=>(const Digest&) const = default;
  bool operator==(const Digest&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const Digest& d) {
    return H::combine(std::move(h), d.text_);
  }

 private:
  std::string text_;
};

// Streaming sha256 (or "sha384", "sha512"). One thread at a time. finish() may be called once.
class Hasher {
 public:
  explicit Hasher(std::string_view algorithm = "sha256");
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void update(std::string_view bytes);
  Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string hex_encode(std::string_view bytes);

}  // namespace kiln

template <>
struct std::hash<kiln::Digest> {
  std::size_t operator()(const kiln::Digest& d) const noexcept { return std::hash<std::string>()(d.str()); }
};
