// What may be used as a source in one build: the rules of the request, those that frontends add, and
// the client's own verifier. Asked for every source of every graph and for every question of a
// frontend about a source.
//
//   auto rules = std::make_shared<SourceRules>(…);
//   context->rules = rules;   …   rules->rewrite(op, resolve, stop);
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/status.h"
#include "frontend/bridge.h"
#include "graph/op.h"
#include "policy/source_policy.h"
#include "session/session.h"

namespace kiln::daemon {

// Answers the verifier's questions about a source, past the rules.
using ResolveUnchecked = std::function<Result<frontend::SourceMeta>(
    const graph::SourceOp& source, const std::optional<Platform>& platform, const frontend::ResolveOptions& options)>;

// Any thread.
class SourceRules {
 public:
  // `verifier_session` may be empty: nobody is asked.
  SourceRules(session::SessionGroup sessions, std::string verifier_session)
      : sessions_(std::move(sessions)), verifier_session_(std::move(verifier_session)) {}

  // A serialised moby.buildkit.v1.sourcepolicy.Policy; its rules go after those that are there.
  Status add(const std::string& policy);
  bool asks_client() const { return !verifier_session_.empty(); }
  // Decides about the op and may change it; gives whether it did. Ops of other kinds pass. Blocks on
  // the client when there is a verifier.
  Result<bool> rewrite(graph::Op& op, const ResolveUnchecked& resolve, std::stop_token stop) const;

 private:
  session::SessionGroup sessions_;
  std::string verifier_session_;
  mutable std::mutex mutex_;
  std::vector<policy::Rule> rules_;
  std::vector<std::string> added_;  // what was added, to add each once
  std::shared_ptr<const policy::SourcePolicy> policy_ = std::make_shared<policy::SourcePolicy>();
};

}  // namespace kiln::daemon
