#include "runtime/train/step_graph.h"

#include "runtime/distributed/shared.h"

namespace bev {

namespace {

struct Role {
  bool first, last;
};

/// Of the micro-steps that a step consists of.
std::vector<Role> roles(int64_t accumulation) {
  if (accumulation == 1) return {{true, true}};
  if (accumulation == 2) return {{true, false}, {false, true}};
  return {{true, false}, {false, false}, {false, true}};
}

}  // namespace

StepGraph::StepGraph(Replica& replica) : replica_(replica) {
  decided_ = !replica.config().graph || !replica.device().has_graphs();
}

void StepGraph::begin_step(int64_t accumulation, const std::function<void(const MicroStep&)>& compute) {
  if (!decided_ && steps_++ == warm_up_steps) record(accumulation, compute);
}

void StepGraph::record(int64_t accumulation, const std::function<void(const MicroStep&)>& compute) {
  Context& context = replica_.context();
  replica_.device().synchronize(context.stream);
  if (replica_.size() > 1) replica_.host().barrier("before a step is recorded");
  held_ = context.arena->in_use();
  LaunchObserver* const watching = std::exchange(context.stream.observer, replica_.recorder().stream().observer);
  std::string failure;
  try {
    for (const Batch* batch : replica_.inputs().places()) {
      for (const auto [first, last] : roles(accumulation)) {
        const MicroStep micro_step{batch, first, last};
        programs_[{batch, first, last}] = replica_.recorder().record([&] { compute(micro_step); });
      }
    }
  } catch (const std::exception& error) {
    failure = error.what();
    context.tape.clear();
    replica_.reducer().forget();
  }
  context.stream.observer = watching;
  if (on_any_replica(replica_.host(), !failure.empty(), "whether a step could not be recorded")) {
    return give_up(failure.empty() ? "another replica could not record its step" : failure);
  }
  decided_ = true;
  const Program& one = programs_.begin()->second;
  note_ = fmt::format("graphs: {} kinds of micro-step recorded, one of them {} launches in {} graphs", programs_.size(),
                      one.launches(), one.graphs());
}

bool StepGraph::repeat(const MicroStep& micro_step) {
  if (programs_.empty()) return false;
  if (replica_.context().arena->in_use() != held_) {
    give_up("memory is held that was free when the step was recorded");
    return false;
  }
  const auto program = programs_.find({micro_step.batch, micro_step.first, micro_step.last});
  if (program == programs_.end()) return false;
  if (replica_.activity()) replica_.activity()->set("repeating", "a recorded micro-step");
  program->second.repeat(replica_.context().stream);
  return true;
}

void StepGraph::give_up(const std::string& why) {
  decided_ = true;
  programs_.clear();
  note_ = fmt::format("graphs: none, every kernel of a step is launched by itself: {}", why);
}

}  // namespace bev
