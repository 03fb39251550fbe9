// Who asked for what in a build: its frontend calls as a tree, each with what it looked at. When a
// result is there, its provenance is captured from the call that made it.
//
//   auto root = RequestScope::of_build({"", opts, inputs}, producers);
//   auto call = root->call({"dockerfile.v0", opts, inputs});  // a frontend begins
//   call->add_image(…);  call->add_graph(graph);              // while it runs
//   call->produced(*graph);                                    // one of its results
//   Capture capture = call->capture(wanted, pins, steps);
//
// Stands beside BuildBridge (a scope a bridge) and feeds provenance.h.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/platform.h"
#include "daemon/provenance.h"
#include "graph/vertex.h"
#include "source/pins.h"

namespace kiln::daemon {

// Graphs that frontends of this daemon made, as long as the build that asked lives: a graph given
// as an input elsewhere is known by its head again. One a daemon; any thread.
class Producers {
 public:
  std::uint64_t add(const Digest& head, std::shared_ptr<const RequestDescription> made_by);
  void remove(std::uint64_t id);
  // Null when nobody made it, or when two different requests did.
  std::shared_ptr<const RequestDescription> find(const Digest& head) const;

 private:
  mutable std::mutex mutex_;
  std::uint64_t next_ = 0;
  std::map<std::uint64_t, std::pair<Digest, std::shared_ptr<const RequestDescription>>> entries_;
};

// A frontend and what it is given.
struct FrontendCall {
  std::string frontend;  // "" = none: the client itself
  std::map<std::string, std::string> opts;
  std::map<std::string, graph::Definition> inputs;
};

// A frontend image named "dockerfile.v0" means the frontend that is built in, unless a named context
// says otherwise.
FrontendCall settled_call(FrontendCall asked);

// One result among all of a build.
struct WantedCapture {
  std::shared_ptr<const graph::Graph> graph;
  std::set<const graph::Graph*> results;      // the graphs of all results
  std::map<std::string, Platform> platforms;  // of the results, by their ids
  std::string id;                             // of this one; "" = the only one
};

// Any thread. A scope lives as long as a ref made in it; the scope of the build ends its producers.
class RequestScope {
 public:
  // The client's own; what is made here directly is nobody's request.
  static std::shared_ptr<RequestScope> of_build(const FrontendCall& asked, std::shared_ptr<Producers> producers);
  ~RequestScope();
  RequestScope(const RequestScope&) = delete;
  RequestScope& operator=(const RequestScope&) = delete;

  // A frontend called from here. The caller keeps this scope alive meanwhile.
  std::shared_ptr<RequestScope> call(const FrontendCall& asked);
  // An image whose configuration was asked for.
  void add_image(ImageMaterial image);
  // A graph of which an output was solved.
  void add_graph(std::shared_ptr<const graph::Graph> graph);
  // A graph that is a result of this scope's frontend, solved or not.
  void produced(const graph::Graph& graph);

  // Its own materials, those of everything else solved here and below (but for other results), and the
  // images looked at; of an image looked up for every platform, the one of this result.
  Capture capture(const WantedCapture& wanted, const source::Pins& pins, const op::StepRecords* steps) const;

 private:
  RequestScope(std::shared_ptr<Producers> producers, std::shared_ptr<const RequestDescription> request)
      : producers_(std::move(producers)), request_(std::move(request)) {}
  std::shared_ptr<const RequestDescription> describe(const FrontendCall& asked) const;
  void collect(const WantedCapture& wanted, const source::Pins& pins, const op::StepRecords* steps, Capture& out,
               std::vector<ImageMaterial>& images) const;

  std::shared_ptr<Producers> producers_;
  std::shared_ptr<const RequestDescription> request_;  // null for the build's own scope
  std::shared_ptr<const RequestDescription> root_;     // what the client asked for at first; may be null

  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<const graph::Graph>> graphs_;
  std::vector<ImageMaterial> images_;
  std::vector<std::shared_ptr<RequestScope>> calls_;
  std::vector<std::uint64_t> produced_;
};

}  // namespace kiln::daemon
