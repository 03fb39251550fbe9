// Where keys, links and records are kept: the port RecordStore, its in-memory form (imported
// caches), and the lookup that is the same over any of them.
//
//   auto hits = find_keys(store, out_key, inputs);        // keys that all inputs link to
//   auto records = store.records(hits[0]);
//
// A store can only miss: a broken or unreachable one answers with nothing and logs why. It has no
// way to fail a build. Any thread.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "cache/key.h"

namespace kiln::cache {

struct Backlink {
  KeyId from;
  Link link;
};

// Why a port: the daemon's own store is a database, an imported cache is memory.
class RecordStore {
 public:
  virtual ~RecordStore() = default;
  // Keys that `from` reaches over `link`.
  virtual std::vector<KeyId> targets(const KeyId& from, const Link& link) const = 0;
  // Whether anything (a record or a link from it) is known of the key.
  virtual bool knows(const KeyId& key) const = 0;
  // Stored outputs of the key, best first: newest first.
  virtual std::vector<Record> records(const KeyId& key) const = 0;
  virtual void add_record(const KeyId& key, const Record& record) = 0;
  virtual void add_link(const KeyId& from, const Link& link, const KeyId& to) = 0;
  // Everything that links to the key.
  virtual std::vector<Backlink> backlinks(const KeyId& key) const = 0;
  // The output is gone: its records go, and with them keys that lead nowhere any more.
  virtual void forget(const std::string& record_id) = 0;
};

// Many additions as one write, for stores where that matters. Runs `body` at once elsewhere.
class Batched {
 public:
  virtual ~Batched() = default;
  virtual void batch(const std::function<void()>& body) = 0;
};
void in_batch(RecordStore& store, const std::function<void()>& body);

// Keys that every input links to (each input has alternatives). Without inputs: {out_key} if known.
std::vector<KeyId> find_keys(const RecordStore& store, const std::string& out_key,
                             const std::vector<std::vector<InputKey>>& inputs);

// Links every alternative of every input to `to`; existing links stay.
void link_inputs(RecordStore& store, const std::string& out_key, const std::vector<std::vector<InputKey>>& inputs,
                 const KeyId& to);

// Thread safe; holds everything in memory.
class MemoryRecordStore final : public RecordStore {
 public:
  MemoryRecordStore();
  ~MemoryRecordStore() override;
  std::vector<KeyId> targets(const KeyId& from, const Link& link) const override;
  bool knows(const KeyId& key) const override;
  std::vector<Record> records(const KeyId& key) const override;
  void add_record(const KeyId& key, const Record& record) override;
  void add_link(const KeyId& from, const Link& link, const KeyId& to) override;
  std::vector<Backlink> backlinks(const KeyId& key) const override;
  void forget(const std::string& record_id) override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::cache
