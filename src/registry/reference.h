// Image references as docker understands them: "busybox" means docker.io/library/busybox:latest.
// First step of every pull and push.
//
//   KILN_ASSIGN_OR_RETURN(Reference ref, Reference::parse("busybox"));
//   ref.name();                      // "docker.io/library/busybox"
//   ref.with_default_tag().str();    // "docker.io/library/busybox:latest"
//
// Grammar: github.com/distribution/reference (the doc comment of its package and normalize rules).
#pragma once

#include <string>
#include <string_view>

#include "base/reference.h"

namespace kiln::registry {

using kiln::Reference;

// localhost, 127.0.0.0/8 or ::1, with or without port: hosts that speak plain HTTP by default.
bool is_loopback_host(std::string_view host);
// Where a domain's registry really answers: docker.io → registry-1.docker.io.
std::string api_host(std::string_view domain);

}  // namespace kiln::registry
