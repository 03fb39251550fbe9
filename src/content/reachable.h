// An optional ability of a BlobProvider whose far end may leave (a client): whoever holds a promise of bytes
// asks before relying on it.
//
//   auto* far = dynamic_cast<content::Reachable*>(provider.get());
//   if (far != nullptr && !far->reachable()) …  // as if the blob did not exist
#pragma once

namespace kiln::content {

// Any thread. An implementer answers at once, from what it knows, without asking anybody.
class Reachable {
 public:
  virtual ~Reachable() = default;
  virtual bool reachable() const = 0;
};

}  // namespace kiln::content
