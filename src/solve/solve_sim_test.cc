// The solver under a seeded simulator: random graphs, several builds at once, random failures and
// cancellations, a scheduler that picks the next task by its seed. Checked for every seed: results
// equal those of a naive sequential evaluator, a step never runs twice at the same time, without
// cancellation it runs at most once, parallelism stays in its limit, and nothing is left behind.
#include <gtest/gtest.h>

#include <random>

#include "solve/solver.h"

namespace kiln::solve {
namespace {

class SeededSpawner final : public Spawner {
 public:
  explicit SeededSpawner(std::uint64_t seed) : random_(seed) {}
  void spawn(std::function<void()> task) override { tasks_.push_back(std::move(task)); }
  bool step() {
    if (tasks_.empty()) return false;
    std::size_t pick = random_() % tasks_.size();
    std::swap(tasks_[pick], tasks_.back());
    auto task = std::move(tasks_.back());
    tasks_.pop_back();
    task();
    return true;
  }
  std::mt19937_64& random() { return random_; }

 private:
  std::vector<std::function<void()>> tasks_;
  std::mt19937_64 random_;
};

struct Number final : Output {
  explicit Number(std::string v, bool out_of_reach = false) : value(std::move(v)), lost(out_of_reach) {}
  std::string value;
  bool lost;  // a record led to it, and there is nothing
};
bool is_lost(const OutputRef& output) { return static_cast<const Number&>(*output).lost; }
std::string value_of(const OutputRef& output) { return static_cast<const Number&>(*output).value; }

class NumberStore final : public OutputStore {
 public:
  std::optional<OutputRef> load(const std::string& id, RunContext&) override {
    auto it = held_.find(id);
    if (it == held_.end()) return std::nullopt;
    if (hollow_.contains(id)) return std::make_shared<Number>(value_of(it->second), true);
    return it->second;
  }
  Result<cache::Record> save(const OutputRef& output) override {
    EXPECT_FALSE(is_lost(output));
    std::string id = "r" + std::to_string(++made_);
    held_[id] = output;
    return cache::Record{id, Time(std::chrono::seconds(made_))};
  }
  void lose(std::mt19937_64& random) {
    for (auto it = held_.begin(); it != held_.end();) it = random() % 3 == 0 ? held_.erase(it) : std::next(it);
  }
  // The records stay, what they lead to does not.
  void hollow(std::mt19937_64& random) {
    for (const auto& [id, output] : held_) {
      if (random() % 3 == 0) hollow_.insert(id);
    }
  }
  void keep_only(const std::string& value) {
    std::erase_if(held_, [&](const auto& entry) { return value_of(entry.second) != value; });
  }

 private:
  int made_ = 0;
  std::set<std::string> hollow_;
  std::map<std::string, OutputRef> held_;
};

// What a node is: its name decides its key; two nodes may share a name (and so a key).
struct Node {
  std::string name;
  std::vector<int> inputs;
  bool content_keyed = false;
  bool fails = false;
  bool lacks_last = false;  // the content of the last input cannot be told: what is to be copied is not there
  std::string key = "";     // instead of the name: what is there for one session only
  const std::string& key_name() const { return key.empty() ? name : key; }
};

struct World {
  std::map<std::string, int> runs;     // by key string
  std::map<std::string, int> running;  // right now
  int at_once = 0;
  int at_once_max = 0;
  bool overlapped = false;
};

std::string result_of(const Node& node, const std::vector<std::string>& inputs) {
  std::string text = node.name + "(";
  for (const auto& input : inputs) text += input + ",";
  return Digest::of(text + ")").str().substr(7, 12);
}

class NumberOp final : public Op {
 public:
  NumberOp(Node node, World& world) : node_(std::move(node)), world_(world) {}
  Result<CacheMap> cache_map(int, RunContext&) override {
    // As in real ops, the digest tells how many inputs there are.
    CacheMap map{Digest::of(node_.key_name() + "/" + std::to_string(node_.inputs.size())).str(), {}, true, true};
    for (std::size_t i = 0; i < node_.inputs.size(); ++i) map.inputs.push_back({"", node_.content_keyed});
    return map;
  }
  bool quick_cache_map() const override { return node_.name.size() % 2 == 0; }
  Result<Digest> content_key(int input, const OutputRef& output, RunContext&) override {
    if (is_lost(output)) return lost_error({input});
    if (node_.lacks_last && input + 1 == static_cast<int>(node_.inputs.size()))
      return user_error(Code::kUnknown, "not found");
    return Digest::of(value_of(output));
  }
  Result<std::vector<OutputRef>> run(const std::vector<OutputRef>& inputs, RunContext& context) override {
    if (context.stop.stop_requested()) return cancelled();
    if (node_.fails) return user_error(Code::kUnknown, "step failed: " + node_.name);
    std::vector<int> lost;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (is_lost(inputs[i])) lost.push_back(static_cast<int>(i));
    }
    if (!lost.empty()) return lost_error(lost);
    std::vector<std::string> values;
    for (const auto& input : inputs) values.push_back(value_of(input));
    std::string value = result_of(node_, values);
    ++world_.runs[value];
    std::vector<OutputRef> out = {std::make_shared<Number>(value)};
    return out;
  }

 private:
  static Status lost_error(const std::vector<int>& inputs) {
    std::string list;
    for (int input : inputs) list += (list.empty() ? "" : ",") + std::to_string(input);
    Status error = environment_error(Code::kUnavailable, "the bytes are gone");
    set_detail(error, kLostInputsDetail, list);
    return error;
  }

  Node node_;
  World& world_;
};

std::vector<Node> random_graph(std::mt19937_64& random, bool failures) {
  std::vector<Node> nodes(3 + random() % 14);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].name = "op" + std::to_string(random() % 10) + std::string(random() % 2, 'x');
    for (std::size_t k = i == 0 ? 0 : random() % 4; k > 0; --k)
      nodes[i].inputs.push_back(static_cast<int>(random() % i));
    nodes[i].content_keyed = nodes[i].name[2] % 3 == 0;
    nodes[i].fails = failures && nodes[i].name == "op7x";
  }
  return nodes;
}

// The definition of a node decides its digest, as in a real graph.
std::vector<std::shared_ptr<const Vertex>> to_vertices(const std::vector<Node>& nodes, World& world) {
  std::vector<std::shared_ptr<const Vertex>> out;
  for (const auto& node : nodes) {
    auto vertex = std::make_shared<Vertex>();
    std::string text = node.key_name();
    for (int input : node.inputs) {
      vertex->inputs.push_back({out[input], 0});
      text += out[input]->digest.str();
    }
    vertex->digest = Digest::of(text);
    vertex->name = node.name;
    vertex->make_op = [node, &world]() -> Result<std::unique_ptr<Op>> {
      return std::make_unique<NumberOp>(node, world);
    };
    out.push_back(std::move(vertex));
  }
  return out;
}

// The naive evaluator: value of each node, or nothing when it or something below fails.
std::vector<std::optional<std::string>> evaluate(const std::vector<Node>& nodes) {
  std::vector<std::optional<std::string>> out;
  for (const auto& node : nodes) {
    std::vector<std::string> inputs;
    bool failed = node.fails;
    for (int i : node.inputs) {
      if (out[i])
        inputs.push_back(*out[i]);
      else
        failed = true;
    }
    out.push_back(failed ? std::nullopt : std::optional(result_of(node, inputs)));
  }
  return out;
}

class NullSink final : public event::EventSink {
 public:
  void on(const event::Vertex& v) override { last[v.digest] = v; }
  void on(const event::VertexStatus&) override {}
  void on(const event::VertexLog&) override {}
  void on(const event::VertexWarning&) override {}
  std::map<Digest, event::Vertex> last;
};

struct Sim {
  explicit Sim(std::uint64_t seed) : spawner(std::make_shared<SeededSpawner>(seed)) {
    records = std::make_shared<cache::MemoryRecordStore>();
    outputs = std::make_shared<NumberStore>();
    solver = std::make_unique<Solver>(SolverOptions{spawner, {records, outputs}, static_cast<int>(1 + seed % 3)});
  }
  // A task that never runs would hold the solver, which holds the spawner.
  ~Sim() {
    solver.reset();
    run();
  }
  void run() {
    while (spawner->step()) {
    }
  }
  std::shared_ptr<SeededSpawner> spawner;
  std::shared_ptr<cache::MemoryRecordStore> records;
  std::shared_ptr<NumberStore> outputs;
  std::unique_ptr<Solver> solver;
};

void simulate(std::uint64_t seed, bool failures, bool cancels) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  Sim sim(seed);
  World world;
  auto& random = sim.spawner->random();
  int builds_max = 1 + static_cast<int>(random() % 4);
  for (int round = 0; round < 2; ++round) {
    std::vector<std::unique_ptr<NullSink>> sinks;
    std::vector<std::shared_ptr<Job>> jobs;
    struct Expect {
      std::optional<std::string> value;
      std::optional<Result<Solved>> got;
      bool cancelled = false;
      std::shared_ptr<Job> job;
      Edge edge;
    };
    std::vector<std::unique_ptr<Expect>> expects;
    auto nodes = random_graph(random, failures);
    auto values = evaluate(nodes);
    for (int b = 0; b < builds_max; ++b) {
      auto vertices = to_vertices(nodes, world);
      sinks.push_back(std::make_unique<NullSink>());
      jobs.push_back(sim.solver->new_job({sinks.back().get(), {}, {}}));
      std::size_t target = random() % nodes.size();
      auto expect = std::make_unique<Expect>(values[target]);
      expect->job = jobs.back();
      expect->edge = {vertices[target], 0};
      jobs.back()->solve(expect->edge, [e = expect.get()](Result<Solved> r) { e->got = std::move(r); });
      for (int s = static_cast<int>(random() % 20); s > 0; --s) sim.spawner->step();
      if (cancels && random() % 2 == 0) {
        expect->cancelled = true;
        jobs.back()->cancel();
      }
      expects.push_back(std::move(expect));
    }
    sim.run();
    for (const auto& e : expects) {
      ASSERT_TRUE(e->got.has_value()) << "a wanted step was never answered";
      if (e->cancelled && !e->got->ok()) continue;
      ASSERT_EQ(e->got->ok(), e->value.has_value()) << e->got->status();
      if (!e->value) continue;
      EXPECT_EQ(value_of((*e->got)->output), *e->value);
      while (is_lost((*e->got)->output)) {
        const OutputRef lost = (*e->got)->output;
        e->got.reset();
        e->job->solve_again(e->edge, lost, [e = e.get()](Result<Solved> r) { e->got = std::move(r); });
        sim.run();
        ASSERT_TRUE(e->got && e->got->ok());
        ASSERT_NE((*e->got)->output, lost) << "nothing better than what is lost";
        EXPECT_EQ(value_of((*e->got)->output), *e->value);
      }
    }
    if (!cancels && !failures) {  // a failure cancels what only its builds wanted
      for (const auto& [value, count] : world.runs) EXPECT_LE(count, 1) << "ran more than once";
    }
    expects.clear();
    jobs.clear();
    sim.run();
    EXPECT_EQ(sim.solver->live_steps(), 0u);
    if (random() % 2 == 0) {  // collected behind our back: hits become misses
      sim.outputs->lose(random);
      world.runs.clear();
    } else if (random() % 2 == 0) {  // out of reach, and nobody knows yet
      sim.outputs->hollow(random);
      world.runs.clear();
    }
  }
}

TEST(SolverSim, PlainGraphsGiveTheNaiveResultAndRunEachStepOnce) {
  for (std::uint64_t seed = 1; seed <= 1500; ++seed) simulate(seed, false, false);
}
TEST(SolverSim, FailuresReachEveryoneWhoWants) {
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) simulate(seed, true, false);
}
TEST(SolverSim, CancellationsLeaveNothingBehind) {
  for (std::uint64_t seed = 1; seed <= 1500; ++seed) simulate(seed, seed % 2 == 0, true);
}

// Only the last output was kept (a cache of the last layers alone), and what the first step read has
// another name today: the content of that tells who everybody is, and nothing runs.
TEST(SolverSim, WhatIsKnownByContentFarBelowIsFoundWithoutRunning) {
  Sim sim(5);
  World world;
  const auto graph = [](const std::string& session) {
    std::vector<Node> nodes(5);
    nodes[0] = {.name = "base", .inputs = {}};
    nodes[1] = {.name = "context", .inputs = {}, .key = session};
    nodes[2] = {.name = "copy", .inputs = {1}, .content_keyed = true};
    nodes[3] = {.name = "make", .inputs = {2}};
    nodes[4] = {.name = "take", .inputs = {0, 3}};
    return nodes;
  };
  for (const char* session : {"one", "two"}) {
    NullSink sink;
    auto job = sim.solver->new_job({&sink, {}, {}});
    std::optional<Result<Solved>> got;
    job->solve({to_vertices(graph(session), world).back(), 0}, [&](Result<Solved> r) { got = std::move(r); });
    sim.run();
    ASSERT_TRUE(got && got->ok());
    sim.outputs->keep_only(value_of((*got)->output));
  }
  const auto values = evaluate(graph("two"));
  for (int i : {2, 3, 4}) EXPECT_EQ(world.runs[*values[static_cast<std::size_t>(i)]], 1) << i;
}

// A long chain, and a copy of what is not there on top of it.
TEST(SolverSim, WhatIsMissingIsToldBeforeAllOtherInputsAreMade) {
  std::vector<Node> nodes(302);
  nodes[0] = {.name = "first", .inputs = {}};
  for (int i = 1; i < 300; ++i)
    nodes[static_cast<std::size_t>(i)] = {.name = "chain" + std::to_string(i), .inputs = {i - 1}};
  nodes[300] = {.name = "context", .inputs = {}};
  nodes[301] = {.name = "copy", .inputs = {299, 300}, .content_keyed = true, .lacks_last = true};
  Sim sim(7);
  World world;
  NullSink sink;
  auto job = sim.solver->new_job({&sink, {}, {}});
  std::optional<Result<Solved>> got;
  job->solve({to_vertices(nodes, world).back(), 0}, [&](Result<Solved> r) { got = std::move(r); });
  sim.run();
  ASSERT_TRUE(got && !got->ok());
  EXPECT_EQ(message_of(got->status()), "failed to compute cache key: not found");
  EXPECT_LT(world.runs.size(), 250u);
}

// Solves the last node twice, new and found; each runs once.
void solve_new_and_again(const std::vector<Node>& nodes, std::uint64_t seed) {
  Sim sim(seed);
  World world;
  for (int round = 0; round < 2; ++round) {
    NullSink sink;
    auto job = sim.solver->new_job({&sink, {}, {}});
    std::optional<Result<Solved>> got;
    job->solve({to_vertices(nodes, world).back(), 0}, [&](Result<Solved> r) { got = std::move(r); });
    sim.run();
    ASSERT_TRUE(got && got->ok());
    job.reset();
    sim.run();
  }
  for (const auto& [value, count] : world.runs) ASSERT_EQ(count, 1);
}

TEST(SolverSim, AVeryDeepChainIsSolvedAndFoundAgain) {
  std::vector<Node> nodes(20000);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].name = "n" + std::to_string(i);
    if (i > 0) nodes[i].inputs = {static_cast<int>(i - 1)};
  }
  solve_new_and_again(nodes, 7);
}

// One vertex of 20,000 inputs that all stand on one base; were each of them looked at whenever one moves, this
// would take minutes.
std::vector<Node> wide_graph(bool content_keyed) {
  std::vector<Node> nodes(20002);
  nodes.front().name = "base";
  for (std::size_t i = 1; i < nodes.size(); ++i) nodes[i] = {.name = "w" + std::to_string(i), .inputs = {0}};
  nodes.back() = {.name = "join", .inputs = {}, .content_keyed = content_keyed};
  for (std::size_t i = 1; i + 1 < nodes.size(); ++i) nodes.back().inputs.push_back(static_cast<int>(i));
  return nodes;
}

TEST(SolverSim, AVeryWideVertexIsSolvedAndFoundAgain) { solve_new_and_again(wide_graph(false), 13); }
TEST(SolverSim, AVeryWideVertexThatLooksAtContentIsSolvedAndFoundAgain) { solve_new_and_again(wide_graph(true), 17); }

TEST(SolverSim, AVeryWideVertexIsCancelled) {
  for (std::uint64_t seed : {1, 2, 3}) {  // that many at once
    Sim sim(seed);
    World world;
    NullSink sink;
    auto job = sim.solver->new_job({&sink, {}, {}});
    std::optional<Result<Solved>> got;
    job->solve({to_vertices(wide_graph(true), world).back(), 0}, [&](Result<Solved> r) { got = std::move(r); });
    for (int i = 0; i < 15000; ++i) sim.spawner->step();
    job->cancel();
    sim.run();
    ASSERT_TRUE(got && !got->ok());
    job.reset();
    sim.run();
    EXPECT_EQ(sim.solver->live_steps(), 0u);
  }
}

// Rows of 100 vertices, each of which stands on all of the row below.
TEST(SolverSim, DiamondsAreSolvedAndFoundAgain) {
  std::vector<Node> nodes(20000);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].name = "d" + std::to_string(i);
    nodes[i].content_keyed = i % 3 == 0;
    const std::size_t row = i / 100 * 100;
    for (std::size_t k = 0; k < 100 && row > 0; k += 10)
      nodes[i].inputs.push_back(static_cast<int>(row - 100 + (k + i) % 100));
  }
  std::vector<int> top(100);
  for (int i = 0; i < 100; ++i) top[static_cast<std::size_t>(i)] = 19900 + i;
  nodes.push_back({.name = "top", .inputs = top});
  solve_new_and_again(nodes, 19);
}

// Every vertex uses all the earlier ones several times: the number of paths explodes, the work must not.
TEST(SolverSim, AGraphOfManyPathsTakesNoLongerThanItsEdges) {
  Sim sim(11);
  World world;
  std::vector<Node> nodes(40);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].name = "m" + std::to_string(i);
    for (std::size_t k = 0; k < i; ++k) {
      nodes[i].inputs.push_back(static_cast<int>(k));
      nodes[i].inputs.push_back(static_cast<int>(i - 1));
    }
  }
  NullSink sink;
  auto job = sim.solver->new_job({&sink, {}, {}});
  std::optional<Result<Solved>> got;
  job->solve({to_vertices(nodes, world).back(), 0}, [&](Result<Solved> r) { got = std::move(r); });
  sim.run();
  ASSERT_TRUE(got && got->ok());
  EXPECT_EQ(world.runs.size(), nodes.size());
}

}  // namespace
}  // namespace kiln::solve
