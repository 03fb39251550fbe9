// Lists of strings in gRPC metadata. A list with anything but printable ASCII is escaped as a URL
// query and marked by "<key>-encoded: 1".
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "session/internal/call.h"

namespace kiln::session::internal {

void add_list(Metadata& metadata, const std::string& key, const std::vector<std::string>& values);
std::vector<std::string> list_of(const std::multimap<std::string, std::string>& headers, const std::string& key);

}  // namespace kiln::session::internal
