// Image references as docker understands them: "busybox" means docker.io/library/busybox:latest.
// First step of every pull and push, and of every image a graph names.
//
//   KILN_ASSIGN_OR_RETURN(Reference ref, Reference::parse("busybox"));
//   ref.name();                      // "docker.io/library/busybox"
//   ref.with_default_tag().str();    // "docker.io/library/busybox:latest"
//
// Grammar: github.com/distribution/reference (the doc comment of its package and normalize rules).
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/status.h"

namespace kiln {

// Immutable value; any thread. `domain` and `path` are never empty after parse().
struct Reference {
  std::string domain;  // "docker.io", "localhost:5000"
  std::string path;    // "library/busybox"
  std::string tag;     // may be empty
  Digest digest;       // may be empty

  // Takes the familiar or the canonical form; tag and digest may both be there. InvalidArgument
  // with docker's wording ("invalid reference format", …) otherwise.
  static Result<Reference> parse(std::string_view text);

  // "docker.io/library/busybox": without tag and digest.
  std::string name() const { return domain + "/" + path; }
  // Everything that is there: "docker.io/library/busybox:1.36@sha256:…".
  std::string str() const;
  // The short form a person would type: "busybox:1.36".
  std::string familiar() const;
  std::string familiar_name() const;

  bool name_only() const { return tag.empty() && digest.empty(); }
  // Adds ":latest" when there is neither tag nor digest.
  Reference with_default_tag() const;
  Reference with_digest(Digest digest) const;
  Reference without_tag() const;
  // What a pull asks for: the digest wins over the tag; "latest" when neither is there.
  std::string object() const;

  auto operator<=>(const Reference&) const = default;
  bool operator==(const Reference&) const = default;
};

}  // namespace kiln
