// A certificate authority of the daemon's own, by whose leaves the proxy reads what steps send under
// TLS. Its key never leaves the process, and it is trusted by steps alone that run behind the proxy.
//
//   KILN_ASSIGN_OR_RETURN(auto authority, Authority::make());
//   KILN_ASSIGN_OR_RETURN(auto context, authority->server_context("example.com"));
#pragma once

#include <memory>
#include <string>

#include "base/status.h"

struct ssl_ctx_st;

namespace kiln::sandbox::proxy {

// Any thread.
class Authority {
 public:
  // Makes keys: some tens of milliseconds.
  static Result<std::shared_ptr<Authority>> make();
  virtual ~Authority() = default;
  // The certificate to be trusted, PEM.
  virtual const std::string& certificate() const = 0;
  // For a server that claims to be `host`, a name or an address. Leaves live for a day, renewed before
  // their end, and are remembered.
  virtual Result<std::shared_ptr<ssl_ctx_st>> server_context(const std::string& host) = 0;
};

}  // namespace kiln::sandbox::proxy
