// Work that blocks: an op's calls and the loading of records. Each task runs on the spawner and
// answers with a message; the answer of a cancelled task is dropped.
#include "solve/internal/loop.h"

namespace kiln::solve {

// Runs `work` in a task; what it returns runs in the loop, unless the step was cancelled meanwhile.
void Loop::spawn(Step& step, std::function<std::function<void()>(RunContext&)> work) {
  ++step.tasks;
  auto task = [self = shared_from_this(), keep = step.shared_from_this(), generation = step.generation,
               token = step.stop.get_token(), work = std::move(work)] {
    RunContext context{token, *keep->events, keep->vertex->digest,
                       // Weak: whoever provides what was found may ask as long as the step is there.
                       [loop = std::weak_ptr(self), step = std::weak_ptr(keep)] {
                         auto l = loop.lock();
                         auto s = step.lock();
                         return l && s ? l->sessions_.of(s->serving.list()) : std::vector<std::string>();
                       },
                       keep->events};
    auto answer = work(context);
    self->post([self, keep, generation, answer = std::move(answer)] {
      Step& s = *keep;
      --s.tasks;
      if (generation == s.generation) {
        answer();
      } else if (--s.stale_tasks == 0) {
        self->wake(s);
      }
    });
  };
  options_.spawner->spawn(std::move(task));
}

// Ends everything the step is doing; it may start anew when the tasks have drained.
void Loop::cancel_work(Step& step) {
  leave_flight(step);
  if (step.tasks == step.stale_tasks && step.running != Activity::kPending) return;
  step.stop.request_stop();
  step.stop = std::stop_source();
  ++step.generation;
  step.stale_tasks = step.tasks;
  if (step.mapping == Activity::kPending) step.mapping = Activity::kNone;
  step.digests = 0;
  for (auto& digesting : step.digesting) {
    if (digesting == Activity::kPending) digesting = Activity::kNone;
  }
  if (step.running == Activity::kPending) step.running = Activity::kNone;
  step.events->completed(StepEvents::Cached::kNo, cancelled("context canceled"));
}

void Loop::start_mapping(Step& step) {
  auto take = [this](Step& s, int index, Result<CacheMap> map) {
    if (map.ok() && map->inputs.size() != s.vertex->inputs.size()) {
      map = engine_error(fmt::format("step '{}' keys {} inputs but has {}", s.vertex->name, map->inputs.size(),
                                     s.vertex->inputs.size()));
    }
    if (!map.ok()) {
      s.mapping = Activity::kFailed;
      s.map_error = map.status();
    } else {
      s.mapping = Activity::kNone;
      if (static_cast<int>(s.maps.size()) == index) s.maps.push_back(*std::move(map));
    }
  };
  if (!step.op) {
    auto op = step.vertex->make_op();
    if (!op.ok()) {
      take(step, 0, op.status());
      return;
    }
    step.op = *std::move(op);
  }
  int index = static_cast<int>(step.maps.size());
  if (step.op->quick_cache_map()) {
    RunContext context{step.stop.get_token(), *step.events, step.vertex->digest,
                       [] { return std::vector<std::string>(); }};
    take(step, index, step.op->cache_map(index, context));
    return;
  }
  step.mapping = Activity::kPending;
  spawn(step, [this, &step, index, take](RunContext& context) -> std::function<void()> {
    bool tell = step.vertex->inputs.empty();
    if (tell) step.events->started(StepEvents::Cached::kNo);
    auto map = step.op->cache_map(index, context);
    if (tell) step.events->completed(StepEvents::Cached::kNo, map.status());
    return [this, &step, index, take, map = std::move(map)] {
      take(step, index, map);
      wake(step);
    };
  });
}

void Loop::start_digest(EdgeState& edge, std::size_t input) {
  Step& step = *edge.step;
  step.digesting[input] = Activity::kPending;
  ++step.digests;
  step.digested[input] = input_edge(edge, input).made_anew;
  OutputRef output = input_edge(edge, input).result;
  spawn(step, [this, &step, input, output](RunContext& context) -> std::function<void()> {
    auto digest = step.op->content_key(static_cast<int>(input), output, context);
    return [this, &step, input, output, digest = std::move(digest)] {
      --step.digests;
      if (!digest.ok()) {
        std::vector<OutputRef> inputs(step.inputs.size());
        inputs[input] = output;
        if (make_inputs_anew(step, digest.status(), inputs)) {
          step.digesting[input] = Activity::kNone;
          return wake(step);
        }
        step.events->started(StepEvents::Cached::kNo);
        step.events->completed(StepEvents::Cached::kNo, digest.status());
      }
      step.digesting[input] = digest.ok() ? Activity::kDone : Activity::kFailed;
      if (!digest.ok()) {
        step.digest_error =
            is_cancelled(digest.status()) ? digest.status() : annotate(digest.status(), "failed to compute cache key");
      }
      if (digest.ok() && !digest->empty()) step.content_keys[input] = cache::content_key(*digest);
      if (step.digests == 0 || !digest.ok()) wake(step);
    };
  });
}

namespace {

struct Loaded {
  std::optional<OutputRef> output;
  Candidate from;
  std::set<std::string> records;  // of the output
  std::set<std::string> dead;
};

// Makes what an import knows about a key known to the daemon's own cache.
void copy_links(const cache::RecordStore& from, cache::RecordStore& to, const cache::KeyId& key) {
  std::set<cache::KeyId> seen;
  std::vector<cache::KeyId> stack = {key};
  while (!stack.empty()) {
    auto at = std::move(stack.back());
    stack.pop_back();
    if (!seen.insert(at).second) continue;
    for (const auto& back : from.backlinks(at)) {
      to.add_link(back.from, back.link, at);
      stack.push_back(back.from);
    }
  }
}

Loaded load_first(const std::vector<Candidate>& candidates, const std::map<SourceId, CacheSource>& sources,
                  RunContext& context) {
  Loaded out;
  for (const auto& candidate : candidates) {
    if (context.stop.stop_requested()) return out;
    auto source = sources.find(candidate.source);
    if (source == sources.end()) continue;
    auto output = source->second.outputs->load(candidate.record.id, context);
    if (!output) {
      out.dead.insert(candidate.record.id);
      if (candidate.source == kOwn && !context.stop.stop_requested()) {
        source->second.records->forget(candidate.record.id);
      }
      continue;
    }
    out.output = std::move(output);
    out.from = candidate;
    out.records.insert(candidate.record.id);
    if (candidate.source == kOwn) return out;
    const CacheSource& own = sources.at(kOwn);
    if (auto record = own.outputs->save(*out.output); record.ok()) {
      out.records.insert(record->id);
      cache::in_batch(*own.records, [&] {
        copy_links(*source->second.records, *own.records, candidate.key);
        own.records->add_record(candidate.key, {record->id, candidate.record.created});
      });
    }
    return out;
  }
  return out;
}

}  // namespace

void Loop::start_load(EdgeState& edge) {
  Step& step = *edge.step;
  // What content found once, the definition finds directly the next time.
  std::vector<std::vector<cache::InputKey>> links;
  for (std::size_t i = 0; i < step.inputs.size() && edge.found_by_content; ++i) links.push_back(lasting_keys(edge, i));
  std::string out_key = cache::root_key(step.maps[edge.map_index].digest, edge.output);
  spawn(step,
        [this, &step, &edge, links, out_key, candidates = edge.candidates,
         sources = sources_](RunContext& context) -> std::function<void()> {
          Loaded loaded = load_first(candidates, sources, context);
          if (loaded.output) {
            auto& own = *sources.at(kOwn).records;
            if (!links.empty()) cache::in_batch(own, [&] { cache::link_inputs(own, out_key, links, loaded.from.key); });
            step.events->started(StepEvents::Cached::kYes);
            step.events->completed(StepEvents::Cached::kYes, ok());
          }
          return [this, &step, &edge, loaded = std::move(loaded)] {
            edge.dead_records.insert(loaded.dead.begin(), loaded.dead.end());
            edge.candidates.clear();
            if (loaded.output) {
              if (loaded.from.source != kOwn && !step.vertex->inputs.empty())
                edge.source_keys[kOwn].push_back(loaded.from.key);
              edge.from_record = true;
              edge.its_records = loaded.records;
              finish(edge, *loaded.output);
            } else {
              edge.phase = step.vertex->inputs.empty() ? Phase::kMapping : Phase::kSolvingInputs;
              if (step.vertex->inputs.empty()) {
                edge.phase = step.maps[edge.map_index].last ? Phase::kRunning : Phase::kMapping;
                if (edge.phase == Phase::kMapping) ++edge.map_index;
              }
            }
            queue(edge);
          };
        });
}

}  // namespace kiln::solve
