#include "session/callback_threads.h"

#include <grpc/grpc.h>
#include <grpcpp/completion_queue.h>

#include <thread>

namespace kiln::session {
namespace {

// gRPC hands out its shared queue, and counts who has it, in a function that only its own classes may call. An explicit
// instantiation may name what is private; this is the one place that does.
using TakeQueue = grpc::CompletionQueue* (*)();
template <TakeQueue take>
struct Opened {
  friend grpc::CompletionQueue* take_callback_queue() { return take(); }
};
grpc::CompletionQueue* take_callback_queue();
template struct Opened<&grpc::CompletionQueue::CallbackAlternativeCQ>;

grpc::CompletionQueue& callback_queue() {
  static grpc::CompletionQueue* const queue = [] {
    ::grpc_init();  // as a channel would; the threads need it for as long as they run
    return take_callback_queue();
  }();
  return *queue;
}

void call_back(grpc_completion_queue* queue) {
  while (true) {
    const grpc_event event = ::grpc_completion_queue_next(queue, ::gpr_inf_future(GPR_CLOCK_REALTIME), nullptr);
    if (event.type == GRPC_QUEUE_SHUTDOWN) return;
    if (event.type != GRPC_OP_COMPLETE) continue;
    auto* functor = static_cast<grpc_completion_queue_functor*>(event.tag);
    functor->functor_run(functor, event.success);
  }
}

}  // namespace

void hold_callback_threads() { callback_queue(); }

void add_callback_thread() {
  std::thread([queue = callback_queue().cq()] { call_back(queue); }).detach();
}

}  // namespace kiln::session
