// Package URLs of images: the names of an image inside attestations.
//
// Format: https://github.com/package-url/purl-spec (type "docker").
#pragma once

#include <string>
#include <string_view>

#include "base/platform.h"
#include "base/status.h"

namespace kiln::exporter::internal {

// "pkg:docker/library/x@latest?platform=linux%2Famd64". InvalidArgument when `name` is no reference.
Result<std::string> image_purl(std::string_view name, const Platform& platform);

}  // namespace kiln::exporter::internal
