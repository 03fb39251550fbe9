#include "sandbox/proxy/authority.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <chrono>
#include <map>
#include <mutex>

namespace kiln::sandbox::proxy {
namespace {

using Clock = std::chrono::steady_clock;
constexpr long kHour = 60 * 60;
constexpr long kAuthorityLifetime = 10L * 365 * 24 * kHour;
constexpr long kLeafLifetime = 24 * kHour;
constexpr auto kLeafUse = std::chrono::hours(23);
constexpr std::size_t kLeavesMax = 1024;

template <typename T, void (*Free)(T*)>
struct Freed {
  void operator()(T* value) const { Free(value); }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509, X509_free>>;

Status failed(const char* what) {
  const char* reason = ::ERR_reason_error_string(::ERR_get_error());
  return engine_error(fmt::format("{} for the proxy: {}", what, reason == nullptr ? "unknown" : reason));
}

// A certificate with what all have: serial number, subject, validity and key.
Result<Certificate> draft(const std::string& name, EVP_PKEY* key, long lifetime) {
  Certificate made(::X509_new());
  unsigned char serial[16];
  if (!made || ::RAND_bytes(serial, sizeof serial) != 1) return failed("make a certificate");
  serial[0] &= 0x7f;
  BIGNUM* number = ::BN_bin2bn(serial, sizeof serial, nullptr);
  const bool numbered =
      number != nullptr && ::BN_to_ASN1_INTEGER(number, ::X509_get_serialNumber(made.get())) != nullptr;
  ::BN_free(number);
  const std::string common = name.substr(0, 64);  // the field holds no more
  const bool fine = numbered && ::X509_set_version(made.get(), 2) == 1 &&
                    ::X509_gmtime_adj(::X509_getm_notBefore(made.get()), -kHour) != nullptr &&
                    ::X509_gmtime_adj(::X509_getm_notAfter(made.get()), lifetime) != nullptr &&
                    ::X509_set_pubkey(made.get(), key) == 1 &&
                    ::X509_NAME_add_entry_by_txt(::X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8,
                                                 reinterpret_cast<const unsigned char*>(common.data()),
                                                 static_cast<int>(common.size()), -1, 0) == 1;
  if (!fine) return failed("make a certificate");
  return made;
}

bool extend(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  ::X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = ::X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  if (extension == nullptr) return false;
  const bool added = ::X509_add_ext(certificate, extension, -1) == 1;
  ::X509_EXTENSION_free(extension);
  return added;
}

// Names in the configuration syntax of extensions must not carry its own signs.
bool is_safe_name(const std::string& host) {
  return !host.empty() && host.size() <= 253 && host.find_first_of(",;:\n\r\\\"'= ") == std::string::npos;
}

bool is_address(const std::string& host) {
  unsigned char buffer[16];
  return ::inet_pton(AF_INET, host.c_str(), buffer) == 1 || ::inet_pton(AF_INET6, host.c_str(), buffer) == 1;
}

Result<std::string> to_pem(X509* certificate) {
  BIO* memory = ::BIO_new(::BIO_s_mem());
  if (memory == nullptr || ::PEM_write_bio_X509(memory, certificate) != 1) return failed("write a certificate");
  char* text = nullptr;
  const long size = BIO_get_mem_data(memory, &text);
  std::string out(text, static_cast<std::size_t>(size));
  ::BIO_free(memory);
  return out;
}

class RsaAuthority final : public Authority {
 public:
  Status open() {
    key_.reset(::EVP_RSA_gen(2048));
    leaf_key_.reset(::EVP_RSA_gen(2048));
    if (!key_ || !leaf_key_) return failed("make keys");
    KILN_ASSIGN_OR_RETURN(own_, draft("BuildKit exec proxy", key_.get(), kAuthorityLifetime));
    X509* own = own_.get();
    const bool fine = ::X509_set_issuer_name(own, ::X509_get_subject_name(own)) == 1 &&
                      extend(own, own, NID_basic_constraints, "critical,CA:TRUE") &&
                      extend(own, own, NID_key_usage, "critical,keyCertSign,digitalSignature") &&
                      extend(own, own, NID_subject_key_identifier, "hash") &&
                      ::X509_sign(own, key_.get(), ::EVP_sha256()) > 0;
    if (!fine) return failed("sign a certificate");
    KILN_ASSIGN_OR_RETURN(pem_, to_pem(own));
    return ok();
  }

  const std::string& certificate() const override { return pem_; }

  Result<std::shared_ptr<ssl_ctx_st>> server_context(const std::string& host) override {
    std::lock_guard lock(mutex_);
    const auto now = Clock::now();
    if (auto known = leaves_.find(host); known != leaves_.end() && now < known->second.until)
      return known->second.context;
    KILN_ASSIGN_OR_RETURN(std::shared_ptr<ssl_ctx_st> context, make_context(host));
    if (leaves_.size() >= kLeavesMax) leaves_.clear();
    leaves_[host] = {context, now + kLeafUse};
    return context;
  }

 private:
  struct Leaf {
    std::shared_ptr<ssl_ctx_st> context;
    Clock::time_point until;
  };

  Result<std::shared_ptr<ssl_ctx_st>> make_context(const std::string& host) {
    const bool address = is_address(host);
    if (!address && !is_safe_name(host))
      return user_error(Code::kInvalidArgument, fmt::format("'{}' is no name of a server", host));
    KILN_ASSIGN_OR_RETURN(const Certificate leaf, draft(host, leaf_key_.get(), kLeafLifetime));
    const bool fine = ::X509_set_issuer_name(leaf.get(), ::X509_get_subject_name(own_.get())) == 1 &&
                      extend(leaf.get(), own_.get(), NID_basic_constraints, "critical,CA:FALSE") &&
                      extend(leaf.get(), own_.get(), NID_key_usage, "critical,digitalSignature,keyEncipherment") &&
                      extend(leaf.get(), own_.get(), NID_ext_key_usage, "serverAuth") &&
                      extend(leaf.get(), own_.get(), NID_authority_key_identifier, "keyid") &&
                      extend(leaf.get(), own_.get(), NID_subject_alt_name, (address ? "IP:" : "DNS:") + host) &&
                      ::X509_sign(leaf.get(), key_.get(), ::EVP_sha256()) > 0;
    if (!fine) return failed("sign a certificate");
    std::shared_ptr<ssl_ctx_st> context(::SSL_CTX_new(::TLS_server_method()), ::SSL_CTX_free);
    if (!context || ::SSL_CTX_use_certificate(context.get(), leaf.get()) != 1 ||
        ::SSL_CTX_use_PrivateKey(context.get(), leaf_key_.get()) != 1) {
      return failed("set up TLS");
    }
    ::SSL_CTX_set_options(context.get(), SSL_OP_IGNORE_UNEXPECTED_EOF);
    return context;
  }

  Key key_, leaf_key_;
  Certificate own_;
  std::string pem_;
  std::mutex mutex_;
  std::map<std::string, Leaf> leaves_;
};

}  // namespace

Result<std::shared_ptr<Authority>> Authority::make() {
  auto made = std::make_shared<RsaAuthority>();
  KILN_RETURN_IF_ERROR(made->open());
  return std::shared_ptr<Authority>(std::move(made));
}

}  // namespace kiln::sandbox::proxy
