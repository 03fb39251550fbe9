// Why a step had to run: what its cache key was made of when nothing was found under it. Told by the
// solver as plain data, once for each run; the explanation ("the build argument changed") is a view of
// it (history/miss_reason.h), which compares it with what was told of earlier runs.
//
//   class Collector : public event::MissSink { void on(const event::CacheMiss& miss) override; };
//
// Nothing is told of steps that were found, so a build without changes pays nothing.
#pragma once

#include <string>
#include <vector>

#include "base/digest.h"

namespace kiln::event {

// One ingredient of an operation's own digest, in words that a user knows: {"env FOO", "1"},
// {"command", "/bin/sh -c make"}, {"mount /cache", "cache, shared"}.
struct KeyPart {
  std::string name;
  std::string value;
  bool operator==(const KeyPart&) const = default;
};

// A path with enough of its content's digest to see that it changed. A directory stands for its own
// permissions and owner, or, where `whole`, for everything in it.
struct FileSum {
  std::string path;
  std::string sum;
  bool whole = false;
  bool operator==(const FileSum&) const = default;
};

// What one input brought into the key.
struct KeyInput {
  Digest vertex;
  std::string name;
  std::vector<KeyPart> source;    // what a source resolved to; empty for other inputs
  std::string content;            // key of what the step sees of it; "" = its content does not count
  std::vector<std::string> keys;  // by which its definition is known
  std::vector<FileSum> files;     // behind `content`, by path
};

struct CacheMiss {
  Digest vertex;
  std::string name;
  std::string key;  // digest of the operation without its inputs
  std::vector<KeyPart> parts;
  std::vector<KeyInput> inputs;
  bool ignored = false;  // the build asked not to look
  bool lost = false;     // a record was found, but what it stood for is gone
};

// Implementers: called from any thread, several at a time; must not block for long and must not call
// back into the teller.
class MissSink {
 public:
  virtual ~MissSink() = default;
  virtual void on(const CacheMiss& miss) = 0;
};

}  // namespace kiln::event
