// One connection of a step to its proxy: requests are read, decided about, sent on, and their answers
// passed back while their digest is taken. CONNECT makes us the server that the step wanted.
//
//   serve_connection(std::move(socket), ground);
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "host/fd.h"
#include "host/wake.h"
#include "sandbox/proxy/authority.h"
#include "sandbox/proxy/capture.h"

namespace kiln::sandbox::proxy {

// Whether a step may fetch an address: itself (nothing), or another one instead. An error forbids it.
// Any thread; may block, and ends when stopped.
using Decide = std::function<Result<std::optional<std::string>>(const std::string& url, std::stop_token stop)>;

// What all connections of one step share; outlives them.
struct ExchangeGround {
  std::shared_ptr<Authority> authority;
  std::shared_ptr<Capture> capture;
  Decide decide;  // null: everything is allowed
  int egress_namespace = -1;
  std::shared_ptr<const host::Wake> stopped;
  std::stop_token stop;
};

// Returns when either side is done or the session is stopped. Blocks.
void serve_connection(host::Fd client, const ExchangeGround& ground);

}  // namespace kiln::sandbox::proxy
