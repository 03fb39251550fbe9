// Running: one run a key at a time, and no more counted runs at once than the limit allows.
#include "solve/internal/loop.h"
#include "solve/internal/miss.h"

namespace kiln::solve {
namespace {

struct SavePlan {
  std::vector<std::vector<cache::InputKey>> links;  // alternatives an input, lasting ones only
  std::vector<cache::InputKey> primary;             // one key an input
  std::vector<cache::KeyId> roots;                  // for steps without inputs: digests of the maps
};

// Stores one output under its key and gives the key. A failure to store is a miss later, no error now.
cache::KeyId save_output(const CacheSource& own, const SavePlan& plan, const std::string& digest, int index,
                         const OutputRef& output) {
  std::string out_key = cache::root_key(digest, index);
  cache::KeyId key = plan.links.empty() ? out_key : cache::derived_key(out_key, plan.primary);
  auto record = own.outputs->save(output);
  cache::in_batch(*own.records, [&] {
    cache::link_inputs(*own.records, out_key, plan.links, key);
    if (!record.ok()) return;
    own.records->add_record(key, *record);
    for (const auto& root : plan.roots) own.records->add_record(cache::root_key(root, index), *record);
  });
  return key;
}

}  // namespace

// Joins the run of the same key if there is one, and leads a new one otherwise. The key is made of
// what is known now: the operation and one key for each solved input.
void Loop::start_run(EdgeState& edge) {
  Step& step = *edge.step;
  step.running = Activity::kPending;
  step.run_key = step.maps.front().digest + (step.vertex->ignore_cache ? "!" : "");
  bool shareable = true;
  for (std::size_t i = 0; i < step.inputs.size(); ++i) {
    auto keys = input_keys(edge, i, kOwn);
    shareable &= !keys.empty();
    if (!keys.empty()) step.run_key += "\n" + keys.front().key + " " + keys.front().selector;
  }
  if (!shareable) step.run_key = step.vertex->digest.str();
  auto [flight, leads] = flights_.try_emplace(step.run_key, step.shared_from_this());
  if (leads) {
    take_slot_or_wait(step);
    return;
  }
  step.leader = flight->second;
  step.leader->followers.push_back(step.shared_from_this());
  for (auto job : step.jobs.list()) step.leader->serving.insert(job);
  step.leader->events->add_follower(step.events);
}

void Loop::take_slot_or_wait(Step& step) {
  bool counted = step.op->slot() == Slot::kCounted && options_.parallelism_max > 0;
  if (counted && slots_taken_ >= options_.parallelism_max) {
    slot_queue_.push_back(step.shared_from_this());
    return;
  }
  step.holds_slot = counted;
  slots_taken_ += counted ? 1 : 0;
  run_now(step);
}

void Loop::release_slot(Step& step) {
  if (!step.holds_slot) return;
  step.holds_slot = false;
  --slots_taken_;
  while (!slot_queue_.empty() && slots_taken_ < options_.parallelism_max) {
    auto next = std::move(slot_queue_.front());
    slot_queue_.pop_front();
    next->holds_slot = true;
    ++slots_taken_;
    run_now(*next);
  }
}

void Loop::run_now(Step& step) {
  std::vector<OutputRef> inputs;
  auto plan = std::make_shared<SavePlan>();
  for (std::size_t i = 0; i < step.inputs.size(); ++i) {
    EdgeState& any_edge = *step.edges.begin()->second;
    EdgeState& input = input_edge(any_edge, i);
    if (input.phase != Phase::kDone) return run_again(step);  // it was lost while we waited for a slot
    inputs.push_back(input.result);
    auto keys = input_keys(any_edge, i, kOwn);
    plan->primary.push_back(keys.empty() ? cache::InputKey{"random:" + step.vertex->digest.str(), ""} : keys.front());
    plan->links.push_back(lasting_keys(any_edge, i));
  }
  if (step.inputs.empty()) {
    for (const auto& map : step.maps) {
      if (map.lasting) plan->roots.push_back(map.digest);
    }
  }
  auto miss = std::make_shared<event::CacheMiss>(describe_miss(*step.edges.begin()->second));
  spawn(step,
        [this, &step, inputs, plan, miss, own = options_.own,
         digest = step.maps.front().digest](RunContext& context) -> std::function<void()> {
          step.events->started(StepEvents::Cached::kNo);
          tell_miss(step, inputs, *miss, context);
          auto outputs = step.op->run(inputs, context);
          std::vector<cache::KeyId> keys;
          if (outputs.ok()) {
            for (std::size_t i = 0; i < outputs->size(); ++i) {
              keys.push_back(save_output(own, *plan, digest, static_cast<int>(i), (*outputs)[i]));
            }
          }
          // Whether a loss is a failure is decided in the loop.
          const bool lost = !outputs.ok() && get_detail(outputs.status(), kLostInputsDetail).has_value();
          if (!lost) step.events->completed(StepEvents::Cached::kNo, outputs.status());
          return [this, &step, inputs, lost, outputs = std::move(outputs), keys = std::move(keys)] {
            if (lost) {
              if (make_inputs_anew(step, outputs.status(), inputs)) return run_again(step);
              step.events->completed(StepEvents::Cached::kNo, outputs.status());
            }
            run_finished(step, outputs, keys);
          };
        });
}

void Loop::run_finished(Step& step, Result<std::vector<OutputRef>> outputs, std::vector<cache::KeyId> keys) {
  flights_.erase(step.run_key);
  release_slot(step);
  auto take = [&](Step& s) {
    s.running = outputs.ok() ? Activity::kDone : Activity::kFailed;
    if (outputs.ok()) {
      s.outputs = *outputs;
      s.output_keys = keys;
    } else {
      s.run_error = with_vertex(outputs.status(), step.vertex->digest);
    }
    wake(s);
  };
  take(step);
  for (auto& follower : std::exchange(step.followers, {})) {
    follower->leader = nullptr;
    auto cached = outputs.ok() ? StepEvents::Cached::kYes : StepEvents::Cached::kNo;
    follower->events->started(cached);
    follower->events->completed(cached, outputs.status());
    take(*follower);
  }
}

// A step that is given up leaves the run it waits for, or its place in the queue, or hands back the
// slot of its own run.
void Loop::leave_flight(Step& step) {
  if (step.running != Activity::kPending) return;
  if (step.leader) {
    auto leader = std::exchange(step.leader, nullptr);
    std::erase(leader->followers, step.shared_from_this());
    if (!leader->wanted()) cancel_work(*leader);
    step.running = Activity::kNone;
    return;
  }
  std::erase(slot_queue_, step.shared_from_this());
  if (auto it = flights_.find(step.run_key); it != flights_.end() && it->second.get() == &step) flights_.erase(it);
  release_slot(step);
}

}  // namespace kiln::solve
