#include "base/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>

namespace kiln {
namespace {

std::size_t hex_length(std::string_view algorithm) {
  if (algorithm == "sha256") return 64;
  if (algorithm == "sha384") return 96;
  if (algorithm == "sha512") return 128;
  return 0;
}

const EVP_MD* method_of(std::string_view algorithm) {
  if (algorithm == "sha384") return EVP_sha384();
  if (algorithm == "sha512") return EVP_sha512();
  return EVP_sha256();
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
    return user_error(Code::kInvalidArgument, fmt::format("invalid digest '{}': unsupported algorithm", text));
  }
  if (hex.size() != length || !is_lower_hex(hex)) {
    return user_error(Code::kInvalidArgument,
                      fmt::format("invalid digest '{}': expected {} lower-case hex digits", text, length));
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
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  std::string algorithm;
  ~State() { EVP_MD_CTX_free(context); }
};

Hasher::Hasher(std::string_view algorithm) : state_(std::make_unique<State>()) {
  state_->algorithm = hex_length(algorithm) == 0 ? "sha256" : std::string(algorithm);
  EVP_DigestInit_ex(state_->context, method_of(algorithm), nullptr);
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(std::string_view bytes) { EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()); }

Digest Hasher::finish() {
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(state_->context, raw, &size);
  return Digest::trusted(
      fmt::format("{}:{}", state_->algorithm, hex_encode({reinterpret_cast<const char*>(raw), size})));
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
