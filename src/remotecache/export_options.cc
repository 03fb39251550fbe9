#include "remotecache/export_options.h"

#include "base/value.h"
#include "remotecache/target.h"

namespace kiln::remotecache {
namespace {

Status read_compression(const Attrs& attrs, ExportOptions& out) {
  if (auto type = attribute(attrs, "compression"); !type.empty()) {
    KILN_ASSIGN_OR_RETURN(out.layers.compression.type, layer::parse_compression(type));
  }
  if (auto level = attribute(attrs, "compression-level"); !level.empty()) {
    auto value = parse_integer(level);
    if (!value) {
      return user_error(Code::kInvalidArgument, fmt::format("non-integer value {0} specified for compression-level: "
                                                            "strconv.ParseInt: parsing \"{0}\": invalid syntax",
                                                            level));
    }
    out.layers.compression.level = static_cast<int>(*value);
  }
  KILN_ASSIGN_OR_RETURN(out.layers.force_compression, bool_attribute(attrs, "force-compression", false));
  return ok();
}

}  // namespace

Result<ExportOptions> ExportOptions::read(const Attrs& attrs, Compressions compressions) {
  ExportOptions out;
  const std::string mode = attribute(attrs, "mode");
  if (mode == "max") {
    out.mode = Mode::kMax;
  } else if (!mode.empty() && mode != "min") {
    return user_error(Code::kInvalidArgument, fmt::format("unsupported cache export mode: {}", mode));
  }
  KILN_ASSIGN_OR_RETURN(out.ignore_error, bool_attribute(attrs, "ignore-error", false));
  if (compressions == Compressions::kChosen) KILN_RETURN_IF_ERROR(read_compression(attrs, out));
  out.layers.fetch = true;
  return out;
}

}  // namespace kiln::remotecache
