// Network namespaces made ahead of time and used again, so that a step need not wait for its own.
// What a namespace holds is the business of a maker; the pool only counts.
//
//   class BridgeMaker : public RoomMaker { … };
//   std::shared_ptr<Network> network = make_network_pool(std::move(maker), {.size = 4});
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "host/fd.h"
#include "sandbox/network.h"

namespace kiln::sandbox {

// A namespace that is set up. Destroying it takes everything down that was made for it.
class NetworkRoom {
 public:
  virtual ~NetworkRoom() = default;
  host::Fd ns;
  std::string interface;  // its end on the host's side, for counting; may be empty
};

// Makes rooms; any thread, several at once. Destroyed after its last room.
class RoomMaker {
 public:
  virtual ~RoomMaker() = default;
  // `hostname` is empty for rooms that are used by many. Cancelled when stopped.
  virtual Result<std::unique_ptr<NetworkRoom>> make(const std::string& hostname, std::stop_token stop) = 0;
};

struct NetworkPoolOptions {
  int size = 0;         // kept ready from the start; 0: only once they are asked for
  int size_in_use = 4;  // kept ready once a step has come
};

// A thread of its own fills the pool and takes down what is not used again; leases keep the pool
// alive. Rooms asked for by name or fresh are made for the one who asks and not used again.
// `first` is a room of the maker's that is there already; may be null.
std::shared_ptr<Network> make_network_pool(std::unique_ptr<RoomMaker> maker, NetworkPoolOptions options,
                                           std::unique_ptr<NetworkRoom> first = nullptr);

// What the host's end of a pair has counted, turned round: the container's view.
std::optional<NetworkSample> read_counters(const std::string& interface);

}  // namespace kiln::sandbox
