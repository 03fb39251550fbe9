// Where trees come from that no step makes: images, layouts of the client, git, http, the client's
// own files. A source turns an identifier with attributes into a key (what exactly is meant now) and
// then into a tree. Op/source_op.h wraps it for the solver; this room knows no solver.
//
//   Sources sources; sources.add(std::make_shared<ImageSource>(…));
//   KILN_ASSIGN_OR_RETURN(auto fetch, sources.open(source_op, platform));
//   KILN_ASSIGN_OR_RETURN(Key key, fetch->key(0, asker));      // resolves: "sha256:…"
//   KILN_ASSIGN_OR_RETURN(store::TreeRef tree, fetch->tree(asker));
//
// Key texts are BuildKit's own, so that cache records travel (docs/formats/cache.md).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/platform.h"
#include "base/status.h"
#include "event/event.h"
#include "graph/op.h"
#include "session/session.h"
#include "store/tree.h"

namespace kiln::source {

// On whose behalf a call is made. Valid during the call; `sessions` may be copied and kept.
struct Asker {
  std::stop_token stop;
  event::Reporter& reporter;
  session::SessionGroup sessions;
  // The same reporter for what happens later (a lazy layer's download); may be null.
  std::shared_ptr<event::Reporter> lasting_reporter;
};

// What a source resolved to. The digest of a cache key is sha256("buildkit.source.v0:" + text); a
// text that begins with "session:" never hits from another build.
struct Key {
  std::string text;
  bool last = true;  // false: key(index + 1) names the same in a coarser way
  std::string pin;   // digest or commit, for provenance
};

// One use of a source by one step: resolved once, fetched at most once. Calls come one at a time,
// from any thread.
class Fetch {
 public:
  virtual ~Fetch() = default;
  // Index 0 first. Blocking, cancellable. Later calls repeat the first answer; an error other than
  // Cancelled is final.
  virtual Result<Key> key(int index, const Asker& asker) = 0;
  // The tree that the key stands for; nullptr is the empty tree. key(0) was called before. Blocking,
  // cancellable.
  virtual Result<store::TreeRef> tree(const Asker& asker) = 0;
};

// The port. Any thread. An implementer guarantees: equal keys mean interchangeable trees, and two
// uses at once of the same identifier do the work once.
class Source {
 public:
  virtual ~Source() = default;
  // What stands before "://" in its identifiers.
  virtual std::vector<std::string> schemes() const = 0;
  // Reads identifier and attributes; InvalidArgument when they make no sense. Unknown attributes are
  // ignored. Does not block.
  virtual Result<std::unique_ptr<Fetch>> open(const graph::SourceOp& op, const std::optional<Platform>& platform) = 0;
};

// All sources of a daemon, by scheme. Filled at start, then any thread.
class Sources {
 public:
  void add(std::shared_ptr<Source> source);
  // InvalidArgument for an unknown scheme.
  Result<std::unique_ptr<Fetch>> open(const graph::SourceOp& op, const std::optional<Platform>& platform) const;

 private:
  std::map<std::string, std::shared_ptr<Source>, std::less<>> by_scheme_;
};

// "docker-image://x" → {"docker-image", "x"}; InvalidArgument without "://".
Result<std::pair<std::string_view, std::string_view>> split_identifier(std::string_view identifier);

// The digest of the solver's cache map for a key.
std::string cache_digest(const Key& key);

}  // namespace kiln::source
