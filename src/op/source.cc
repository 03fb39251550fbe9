// The op of a source vertex: its keys are what the source resolves to, running it fetches the tree.
#include <mutex>

#include "op/key_parts.h"
#include "op/op_factory.h"
#include "op/tree_output.h"
#include "source/pins.h"
#include "source/source.h"

namespace kiln::op {
namespace {

class SourceOp final : public solve::Op {
 public:
  SourceOp(VertexPtr vertex, const OpPorts& ports, std::unique_ptr<source::Fetch> fetch)
      : vertex_(std::move(vertex)), ports_(ports), fetch_(std::move(fetch)) {}

  Result<solve::CacheMap> cache_map(int index, solve::RunContext& context) override {
    KILN_ASSIGN_OR_RETURN(source::Key key, fetch_->key(index, asker(context)));
    if (ports_.pins != nullptr && !key.pin.empty()) ports_.pins->set(vertex_->digest, key.pin);
    {
      std::lock_guard lock(mutex_);
      if (!key.pin.empty()) pin_ = key.pin;
    }
    return solve::CacheMap{.digest = source::cache_digest(key),
                           .inputs = {},
                           .last = key.last,
                           .lasting = !key.text.starts_with("session:")};
  }

  bool quick_cache_map() const override { return false; }

  std::vector<event::KeyPart> key_parts() const override {
    std::lock_guard lock(mutex_);
    return source_parts(std::get<graph::SourceOp>(vertex_->op.kind), vertex_->op.platform, pin_);
  }

  Result<Digest> content_key(int, const solve::OutputRef&, solve::RunContext&) override {
    return engine_error("a source has no inputs");
  }

  Result<std::vector<solve::OutputRef>> run(const std::vector<solve::OutputRef>&, solve::RunContext& context) override {
    KILN_ASSIGN_OR_RETURN(store::TreeRef tree, fetch_->tree(asker(context)));
    return std::vector<solve::OutputRef>{make_output(std::move(tree))};
  }

 private:
  source::Asker asker(solve::RunContext& context) const {
    return {.stop = context.stop,
            .reporter = context.reporter,
            .sessions = sessions_of(ports_, context),
            .lasting_reporter = context.lasting_reporter};
  }

  VertexPtr vertex_;
  OpPorts ports_;
  std::unique_ptr<source::Fetch> fetch_;
  mutable std::mutex mutex_;
  std::string pin_;  // what it resolved to last
};

}  // namespace

Result<std::unique_ptr<solve::Op>> make_source_op(VertexPtr vertex, const OpPorts& ports) {
  const auto* op = std::get_if<graph::SourceOp>(&vertex->op.kind);
  if (op == nullptr || ports.sources == nullptr) return engine_error("no sources for a source vertex");
  KILN_ASSIGN_OR_RETURN(auto fetch, ports.sources->open(*op, vertex->op.platform));
  return std::unique_ptr<solve::Op>(std::make_unique<SourceOp>(std::move(vertex), ports, std::move(fetch)));
}

}  // namespace kiln::op
