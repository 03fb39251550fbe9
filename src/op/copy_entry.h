// Copies one entry with everything below it, as `cp -a` with the options of a CopyAction: files of
// many small ones by several threads, hard links within the copy, holes, devices and fifos kept.
//
//   KILN_RETURN_IF_ERROR(copy_entry({source_root, "src"}, {target_root, "app"}, action, attributes, stop));
#pragma once

#include <stop_token>
#include <string>

#include "base/status.h"
#include "graph/op.h"
#include "op/copied_attributes.h"

namespace kiln::op {

// A place below the root of a tree: free of links, relative, "" for the root itself.
struct TreePlace {
  int root = -1;  // an open directory
  std::string path;
};

// The target's parent exists. Blocking, cancellable; errors in Go's words with paths as seen inside the
// trees.
Status copy_entry(const TreePlace& source, const TreePlace& target, const graph::CopyAction& action,
                  const CopiedAttributes& attributes, std::stop_token stop);

}  // namespace kiln::op
