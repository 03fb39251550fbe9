#include "daemon/tls_files.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>

#include "daemon/config.h"
#include "host/fs.h"

namespace kiln::daemon {
namespace {

using Bio = std::unique_ptr<BIO, decltype(&::BIO_free)>;
using Certificate = std::unique_ptr<X509, decltype(&::X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&::EVP_PKEY_free)>;

Bio reader(const std::string& text) {
  return {::BIO_new_mem_buf(text.data(), static_cast<int>(text.size())), ::BIO_free};
}

// A key with a password has nobody here to ask for it.
int no_password(char*, int, int, void*) { return -1; }

Certificate first_certificate(const std::string& text) {
  const Bio from = reader(text);
  Certificate out(::PEM_read_bio_X509(from.get(), nullptr, no_password, nullptr), ::X509_free);
  ::ERR_clear_error();
  return out;
}

Status wrong(const std::string& path, std::string_view why) {
  return user_error(Code::kInvalidArgument, fmt::format("TLS file '{}': {}", path, why));
}

}  // namespace

Result<TlsFiles> read_tls_files(const TlsConfig& tls) {
  if (tls.cert.empty() || tls.key.empty()) {
    return user_error(Code::kInvalidArgument, "you must specify key and cert file if one is specified");
  }
  TlsFiles out;
  KILN_ASSIGN_OR_RETURN(out.cert, host::read_file(tls.cert));
  KILN_ASSIGN_OR_RETURN(out.key, host::read_file(tls.key));
  const Certificate certificate = first_certificate(out.cert);
  if (!certificate) return wrong(tls.cert, "there is no certificate (PEM) in it");
  const Bio from = reader(out.key);
  const Key key(::PEM_read_bio_PrivateKey(from.get(), nullptr, no_password, nullptr), ::EVP_PKEY_free);
  ::ERR_clear_error();
  if (!key) return wrong(tls.key, "there is no private key (PEM, without password) in it");
  const bool belong = ::X509_check_private_key(certificate.get(), key.get()) == 1;
  ::ERR_clear_error();
  if (!belong) return wrong(tls.key, fmt::format("it is not the key of the certificate in '{}'", tls.cert));
  if (tls.ca.empty()) return out;
  KILN_ASSIGN_OR_RETURN(out.ca, host::read_file(tls.ca));
  if (!first_certificate(out.ca)) return wrong(tls.ca, "there is no certificate (PEM) in it");
  return out;
}

}  // namespace kiln::daemon
