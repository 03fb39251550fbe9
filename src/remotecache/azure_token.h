// A bearer token for Azure's storage when no key is given: by a client secret, a federated token or the
// machine's identity, in this order, as the Azure SDKs' default chain does.
#pragma once

#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "remotecache/object_store.h"

namespace kiln::remotecache {

// Any thread. Reads AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, AZURE_FEDERATED_TOKEN_FILE,
// AZURE_AUTHORITY_HOST, IDENTITY_ENDPOINT and IDENTITY_HEADER. Tokens are kept until five minutes before
// their end.
class AzureToken {
 public:
  explicit AzureToken(StoreServices services) : services_(std::move(services)) {}
  // Unauthenticated when there is no way to one. May block on the network.
  Result<std::string> get(std::stop_token stop);

 private:
  struct Token {
    std::string text;
    Time expires{};
  };
  Result<std::optional<Token>> from_directory(std::stop_token stop);
  Result<std::optional<Token>> from_machine(std::stop_token stop);
  std::optional<Token> read(std::string_view answer) const;
  std::string env(const std::string& name) const { return services_.environment(name).value_or(""); }

  const StoreServices services_;
  std::mutex mutex_;
  std::optional<Token> token_;
};

}  // namespace kiln::remotecache
