// A Bridge that looks every image up once: the platforms of a build and its stages mostly name the
// same bases. Everything else goes straight through.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "frontend/bridge.h"

namespace kiln::frontend::dockerfile {

// Any thread. Whoever asks for what another is asking for waits for that answer; errors are kept too.
class ResolveCache final : public Bridge {
 public:
  explicit ResolveCache(Bridge& bridge) : bridge_(bridge) {}
  const BuildOptions& options() const override { return bridge_.options(); }
  Result<std::map<std::string, graph::Definition>> inputs(std::stop_token stop) override {
    return bridge_.inputs(stop);
  }
  Result<SolveResult> solve(const SolveRequest& request, std::stop_token stop) override {
    return bridge_.solve(request, stop);
  }
  Result<ImageConfig> resolve_image_config(const std::string& ref, const ResolveOptions& options,
                                           std::stop_token stop) override;
  Result<SourceMeta> resolve_source(const graph::SourceOp& source, const std::optional<Platform>& platform,
                                    const ResolveOptions& options, std::stop_token stop) override {
    return bridge_.resolve_source(source, platform, options, stop);
  }
  Status warn(const Warning& warning) override { return bridge_.warn(warning); }

 private:
  struct Entry {
    std::mutex asking;
    std::optional<Result<ImageConfig>> answer;
  };
  Bridge& bridge_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
};

}  // namespace kiln::frontend::dockerfile
