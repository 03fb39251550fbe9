// Configurations of images straight from their registries, with this user's logins and without a daemon: for
// `kiln explain --with-images`, which then shows the steps that ONBUILD triggers of base images add, and the
// environment that they bring.
//
//   ImageLookup lookup(call.environment);
//   KILN_ASSIGN_OR_RETURN(frontend::ImageConfig image, lookup.config("busybox", platform, stop));
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "base/platform.h"
#include "base/status.h"
#include "client/progress.h"
#include "frontend/bridge.h"

namespace kiln::client {

// Any thread. Holds connections to registries while it lives.
class ImageLookup {
 public:
  explicit ImageLookup(const EnvironmentLookup& environment);
  ~ImageLookup();

  // Takes a reference as it stands in FROM and the platform wanted; gives the image's configuration and the digest of
  // its manifest or index. NotFound for an image or a platform that is not there; errors of the registry as they are.
  // Blocking, cancellable.
  Result<frontend::ImageConfig> config(const std::string& ref, const Platform& platform, std::stop_token stop);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::client
