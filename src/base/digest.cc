#include "base/digest.h"

#include <fmt/format.h>
// The plain functions, which a newer OpenSSL calls old: its new ones look for a provider at every use and read the
// machine's configuration at the first, which takes longer than hashing a small message and than a client's start.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

#include <variant>

namespace kiln {
namespace {

std::size_t hex_length(std::string_view algorithm) {
  if (algorithm == "sha256") return 64;
  if (algorithm == "sha384") return 96;
  if (algorithm == "sha512") return 128;
  return 0;
}

bool is_lower_hex(std::string_view text) {
  for (char c : text) {
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return true;
}

}  // namespace

Result<Digest> Digest::parse(std::string_view text) {
  auto colon = text.find(':');
  if (colon == std::string_view::npos) {
    return user_error(Code::kInvalidArgument, fmt::format("invalid digest '{}': no algorithm", text));
  }
  std::size_t length = hex_length(text.substr(0, colon));
  std::string_view hex = text.substr(colon + 1);
  if (length == 0) {
    return user_error(Code::kInvalidArgument, fmt::format("invalid digest '{}': unsupported digest algorithm", text));
  }
  if (hex.size() != length || !is_lower_hex(hex)) {
    return user_error(
        Code::kInvalidArgument,
        fmt::format("invalid digest '{}': {}; expected {} lower-case hex digits", text,
                    hex.size() == length ? "invalid checksum digest format" : "invalid checksum digest length",
                    length));
  }
  return trusted(std::string(text));
}

Digest Digest::of(std::string_view bytes) {
  Hasher hasher;
  hasher.update(bytes);
  return hasher.finish();
}

Digest Digest::trusted(std::string text) {
  Digest out;
  out.text_ = std::move(text);
  return out;
}

std::string_view Digest::algorithm() const { return std::string_view(text_).substr(0, text_.find(':')); }

std::string_view Digest::hex() const {
  auto colon = text_.find(':');
  if (colon == std::string::npos) return {};
  return std::string_view(text_).substr(colon + 1);
}

struct Hasher::State {
  std::string algorithm;
  std::variant<SHA256_CTX, SHA512_CTX> context;
};

Hasher::Hasher(std::string_view algorithm) : state_(std::make_unique<State>()) {
  state_->algorithm = hex_length(algorithm) == 0 ? "sha256" : std::string(algorithm);
  if (state_->algorithm == "sha256") {
    SHA256_Init(&state_->context.emplace<SHA256_CTX>());
  } else if (state_->algorithm == "sha384") {
    SHA384_Init(&state_->context.emplace<SHA512_CTX>());
  } else {
    SHA512_Init(&state_->context.emplace<SHA512_CTX>());
  }
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(std::string_view bytes) {
  if (auto* narrow = std::get_if<SHA256_CTX>(&state_->context)) {
    SHA256_Update(narrow, bytes.data(), bytes.size());
  } else {
    SHA512_Update(&std::get<SHA512_CTX>(state_->context), bytes.data(), bytes.size());
  }
}

Digest Hasher::finish() {
  unsigned char raw[SHA512_DIGEST_LENGTH];
  if (auto* narrow = std::get_if<SHA256_CTX>(&state_->context)) {
    SHA256_Final(raw, narrow);
  } else {
    SHA512_Final(raw, &std::get<SHA512_CTX>(state_->context));
  }
  std::string_view bytes(reinterpret_cast<const char*>(raw), hex_length(state_->algorithm) / 2);
  return Digest::trusted(fmt::format("{}:{}", state_->algorithm, hex_encode(bytes)));
}

std::string hex_encode(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (unsigned char c : bytes) {
    out.push_back(kDigits[c >> 4]);
    out.push_back(kDigits[c & 15]);
  }
  return out;
}

}  // namespace kiln
