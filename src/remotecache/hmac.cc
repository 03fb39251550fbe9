#include "remotecache/hmac.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace kiln::remotecache {

std::string hmac_sha256(std::string_view key, std::string_view text) {
  unsigned char out[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), out, &size);
  return {reinterpret_cast<char*>(out), size};
}

}  // namespace kiln::remotecache
