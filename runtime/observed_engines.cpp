#include "runtime/observed_engines.h"

#include <optional>

#include "runtime/cpu/admit.h"
#include "runtime/error.h"
#include "runtime/tally.h"

namespace bev {

namespace {

Launch launch_of(const MatmulShape& shape, bool adds, const char* how) {
  return {.kind = Launch::Kind::product,
          .name = fmt::format("{}{}{}", cpu::text(shape), adds ? ", added" : "", how),
          .flop = flop_of(shape)};
}

Launch launch_of(const char* direction, const ConvolutionShape& shape, bool adds) {
  return {.kind = Launch::Kind::convolution,
          .name = fmt::format("{} {}{}", direction, cpu::text(shape), adds ? ", added" : ""),
          .flop = flop_of(shape)};
}

template <class Work>
void told(const Stream& stream, const Launch& launch, Work work) {
  stream.observer ? observe(stream, launch, work) : work(stream);
}

class ObservedMatmul : public MatmulEngine {
 public:
  explicit ObservedMatmul(std::shared_ptr<MatmulEngine> inner) : inner_(std::move(inner)) {}

  void run(const Stream& stream, DType type, const MatmulShape& shape, const void* a, const void* b, void* c,
           double alpha, double beta, const void* bias) override {
    told(stream, launch_of(shape, beta != 0, ""),
         [=, this](const Stream& own) { inner_->run(own, type, shape, a, b, c, alpha, beta, bias); });
  }
  void run_shared(const Stream& stream, DType type, const MatmulShape& shape, const void* a, const void* b, void* c,
                  double alpha, double beta, const void* bias) override {
    told(stream, launch_of(shape, beta != 0, ", shared"),
         [=, this](const Stream& own) { inner_->run_shared(own, type, shape, a, b, c, alpha, beta, bias); });
  }

 protected:
  void keep_shared(bool on) override {
    unchanged_.reset();
    if (on) unchanged_.emplace(*inner_);
  }

 private:
  std::shared_ptr<MatmulEngine> inner_;
  std::optional<UnchangedWeights> unchanged_;
};

class ObservedConvolution : public ConvolutionEngine {
 public:
  explicit ObservedConvolution(std::shared_ptr<ConvolutionEngine> inner) : inner_(std::move(inner)) {}

  void forward(const Stream& stream, DType type, const ConvolutionShape& shape, const void* x, const void* w,
               void* y) override {
    told(stream, launch_of("forward", shape, false),
         [=, this](const Stream& own) { inner_->forward(own, type, shape, x, w, y); });
  }
  void backward_data(const Stream& stream, DType type, const ConvolutionShape& shape, const void* d_y, const void* w,
                     void* d_x, double beta) override {
    told(stream, launch_of("backward data", shape, beta != 0),
         [=, this](const Stream& own) { inner_->backward_data(own, type, shape, d_y, w, d_x, beta); });
  }
  void backward_filter(const Stream& stream, DType type, const ConvolutionShape& shape, const void* x, const void* d_y,
                       void* d_w, double beta) override {
    told(stream, launch_of("backward filter", shape, beta != 0),
         [=, this](const Stream& own) { inner_->backward_filter(own, type, shape, x, d_y, d_w, beta); });
  }
  int64_t workspace(ConvolutionDirection direction, const ConvolutionShape& shape) override {
    return inner_->workspace(direction, shape);
  }
  void lend(void* memory, int64_t bytes) override { inner_->lend(memory, bytes); }
  void limit_workspace(const WorkspaceLimit& limit) override { inner_->limit_workspace(limit); }
  WorkspaceReport workspace_report() const override { return inner_->workspace_report(); }

 private:
  std::shared_ptr<ConvolutionEngine> inner_;
};

}  // namespace

std::unique_ptr<MatmulEngine> observed(std::shared_ptr<MatmulEngine> inner) {
  return std::make_unique<ObservedMatmul>(std::move(inner));
}
std::unique_ptr<ConvolutionEngine> observed(std::shared_ptr<ConvolutionEngine> inner) {
  return std::make_unique<ObservedConvolution>(std::move(inner));
}

}  // namespace bev
