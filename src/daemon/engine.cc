#include "daemon/engine.h"

#include "content/blob_store_file.h"

namespace kiln::daemon {
namespace {

class BareEngine final : public Engine, public BuildRunner {
 public:
  BareEngine(std::unique_ptr<content::FileBlobStore> blobs, std::string id) : blobs_(std::move(blobs)), id_(std::move(id)) {}
  BuildRunner& runner() override { return *this; }
  frontend::WorkerInfo worker() override { return {id_, {}, {Platform::host()}}; }
  std::vector<store::PruneOptions> gc_policy() override { return {}; }
  Result<std::vector<store::Usage>> usage(const std::vector<std::string>&, Duration, std::stop_token) override {
    return std::vector<store::Usage>();
  }
  Status prune(const store::PruneOptions&, const std::function<void(const store::Usage&)>&, std::stop_token) override {
    return ok();
  }
  Status collect(std::stop_token) override { return ok(); }
  content::BlobStore& blobs() override { return *blobs_; }
  Result<SolveResponse> run(RunningBuild&, std::stop_token) override {
    return user_error(Code::kUnimplemented, "builds are not wired yet");
  }

 private:
  std::unique_ptr<content::FileBlobStore> blobs_;
  std::string id_;
};

}  // namespace

Result<std::unique_ptr<Engine>> open_engine(const Config& config, const EngineGround& ground) {
  KILN_ASSIGN_OR_RETURN(auto blobs, content::FileBlobStore::open(config.root + "/content"));
  return std::unique_ptr<Engine>(std::make_unique<BareEngine>(std::move(blobs), ground.worker_id));
}

}  // namespace kiln::daemon
