#include "daemon/gateway.h"

#include <fmt/format.h>

#include "base/id.h"

namespace kiln::daemon {

Gateway::Gateway(frontend::Bridge& bridge, std::shared_ptr<GatewayContainers> containers)
    : bridge_(bridge), containers_(std::move(containers)) {}

Gateway::~Gateway() { close(); }

std::string Gateway::add_ref(frontend::RefPtr ref) {
  if (ref == nullptr) return "";
  std::lock_guard lock(mutex_);
  std::string id = new_id();
  refs_.emplace(id, std::move(ref));
  return id;
}

Result<frontend::RefPtr> Gateway::ref(const std::string& id) {
  if (id.empty()) return frontend::RefPtr();
  std::lock_guard lock(mutex_);
  auto it = refs_.find(id);
  if (it != refs_.end()) return it->second;
  // After the end a ref may be asked for as what it is in the result: by its platform, or, when
  // there is only one, by whatever name.
  if (result_ && result_->ok()) {
    const frontend::SolveResult& result = **result_;
    if (!result.is_map() && result.ref != nullptr) return result.ref;
    auto named = result.refs.find(id);
    if (named == result.refs.end() && result.refs.size() == 1) named = result.refs.begin();
    if (named != result.refs.end()) return named->second;
  }
  return user_error(Code::kNotFound, fmt::format("no such ref: {}", id));
}

Status Gateway::finish(Result<frontend::SolveResult> result) {
  std::lock_guard lock(mutex_);
  if (result_) return user_error(Code::kFailedPrecondition, "the frontend returned before");
  result_ = std::move(result);
  changed_.notify_all();
  return ok();
}

Result<frontend::SolveResult> Gateway::wait(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop, [&] { return result_ || closed_; });
  if (result_) return *result_;
  return cancelled(closed_ ? "the frontend left without a result" : "canceled");
}

bool Gateway::finished() const {
  std::lock_guard lock(mutex_);
  return result_.has_value();
}

void Gateway::close() {
  std::map<std::string, frontend::RefPtr> refs;
  {
    std::unique_lock lock(mutex_);
    closed_ = true;
    changed_.notify_all();
    lock.unlock();
    stop_.request_stop();
    lock.lock();
    changed_.wait(lock, [&] { return calls_ == 0; });
    refs.swap(refs_);
  }
}

bool Gateway::enter() {
  std::lock_guard lock(mutex_);
  if (closed_) return false;
  ++calls_;
  return true;
}

void Gateway::leave() {
  std::lock_guard lock(mutex_);
  --calls_;
  changed_.notify_all();
}

}  // namespace kiln::daemon
