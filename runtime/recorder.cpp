#include "runtime/recorder.h"

#include <algorithm>
#include <utility>

#include "runtime/distributed/recorded_communicator.h"

namespace bev {

void Program::repeat(const Stream& stream) const {
  for (const Piece& piece : pieces_) piece.graph ? piece.graph->launch(stream) : piece.call();
}

int64_t Program::graphs() const {
  return std::ranges::count_if(pieces_, [](const Piece& piece) { return piece.graph != nullptr; });
}

int64_t Program::launches() const {
  int64_t sum = 0;
  for (const Piece& piece : pieces_) sum += piece.graph ? piece.graph->launches() : 0;
  return sum;
}

Program Recorder::record(const std::function<void()>& work) {
  Program out;
  program_ = &out;
  try {
    device_.begin_graph(stream_);
    work();
    close();
  } catch (...) {
    device_.abandon_graph(stream_);
    program_ = nullptr;
    throw;
  }
  program_ = nullptr;
  return out;
}

void Recorder::close() {
  std::unique_ptr<Graph> graph = device_.end_graph(stream_);
  if (graph->launches() > 0) program_->pieces_.push_back({std::move(graph), nullptr});
}

void Recorder::in_place(std::function<void()> call) {
  if (!recording()) return call();
  close();
  program_->pieces_.push_back({nullptr, std::move(call)});
  device_.begin_graph(stream_);
}

std::shared_ptr<Communicator> Recorder::in_place(std::shared_ptr<Communicator> inner) {
  if (!device_.has_graphs()) return inner;
  return std::make_shared<RecordedCommunicator>(std::move(inner), *this);
}

}  // namespace bev
