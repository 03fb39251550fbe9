#include "daemon/egress.h"

#include "base/quote.h"
#include "daemon/build_bridge.h"

namespace kiln::daemon {

std::function<Result<std::optional<std::string>>(const std::string& url, std::stop_token stop)> egress_rules(
    const std::shared_ptr<BridgeContext>& context) {
  return [weak = std::weak_ptr(context)](const std::string& url,
                                         std::stop_token stop) -> Result<std::optional<std::string>> {
    const std::shared_ptr<BridgeContext> build = weak.lock();
    if (!build) return cancelled("the build has ended");
    graph::Op op;
    op.kind = graph::SourceOp{.identifier = url, .attrs = {}};
    KILN_ASSIGN_OR_RETURN(const bool changed, check_source(*build, op, std::move(stop)));
    if (!changed) return std::optional<std::string>();
    const auto& source = std::get<graph::SourceOp>(op.kind);
    if (!source.attrs.empty()) {
      return user_error(
          Code::kPermissionDenied,
          fmt::format(
              "source policy converted proxy request {} with attrs, but proxy conversion only supports URL updates",
              quote(url)));
    }
    if (source.identifier == url) return std::optional<std::string>();
    return std::optional(source.identifier);
  };
}

}  // namespace kiln::daemon
