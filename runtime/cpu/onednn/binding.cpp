#include "runtime/cpu/onednn/binding.h"

#include <dnnl.hpp>

#include <array>
#include <string>

#include "runtime/cpu/admit.h"
#include "runtime/error.h"

namespace bev::onednn {

namespace {

using dnnl::memory;
using Tag = memory::format_tag;

// The two forms of the API differ in how a primitive is described: 2.x wraps the arguments in a `desc` of their own,
// and takes attributes and engine behind it; 3.x takes engine, arguments and attributes in one call.
#if DNNL_VERSION_MAJOR >= 3

template <class Primitive, class... Arguments>
typename Primitive::primitive_desc describe(const dnnl::engine& engine, const dnnl::primitive_attr& attributes,
                                            const Arguments&... arguments) {
  return typename Primitive::primitive_desc(engine, arguments..., attributes);
}

template <class Primitive, class... Arguments>
typename Primitive::primitive_desc describe_backward(const dnnl::engine& engine, const dnnl::primitive_attr& attributes,
                                                     const dnnl::convolution_forward::primitive_desc& forward,
                                                     const Arguments&... arguments) {
  return typename Primitive::primitive_desc(engine, arguments..., forward, attributes);
}

#else

template <class Primitive, class... Arguments>
typename Primitive::primitive_desc describe(const dnnl::engine& engine, const dnnl::primitive_attr& attributes,
                                            const Arguments&... arguments) {
  return typename Primitive::primitive_desc(typename Primitive::desc(arguments...), attributes, engine);
}

template <class Primitive, class... Arguments>
typename Primitive::primitive_desc describe_backward(const dnnl::engine& engine, const dnnl::primitive_attr& attributes,
                                                     const dnnl::convolution_forward::primitive_desc& forward,
                                                     const Arguments&... arguments) {
  return typename Primitive::primitive_desc(typename Primitive::desc(arguments...), attributes, engine, forward);
}

#endif

/// Workspaces come from the caller: the library allocates nothing while it computes.
dnnl::primitive_attr attributes(bool accumulate = false) {
  dnnl::primitive_attr out;
  out.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (accumulate) {
    dnnl::post_ops operations;
    operations.append_sum(1.f);
    out.set_post_ops(operations);
  }
  return out;
}

template <class Body>
decltype(auto) checked(const std::string& what, const Body& body) {
  try {
    return body();
  } catch (const dnnl::error& error) {
    fail(ErrorKind::runtime, "{}: oneDNN {}.{} says: {} (status {})", what, DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR,
         error.what(), static_cast<int>(error.status));
  }
}

/// A primitive with its arguments, whose addresses are set before each run. The library's C++ call would build a map of
/// arguments each time; its C call takes this array.
class Call {
 public:
  Call() = default;
  Call(const dnnl::engine& engine, const dnnl::primitive& primitive, const memory::desc& scratchpad)
      : engine_(engine), primitive_(primitive), scratchpad_bytes_(scratchpad.get_size()) {
    if (scratchpad_bytes_ > 0) add(DNNL_ARG_SCRATCHPAD, scratchpad);
  }

  size_t add(int name, const memory::desc& layout) {
    memories_.at(count_) = memory(layout, engine_, DNNL_MEMORY_NONE);
    arguments_.at(count_) = {name, memories_[count_].get()};
    return count_++;
  }
  /// The library only writes to what it calls a result.
  void set(size_t argument, const void* data) { memories_[argument].set_data_handle(const_cast<void*>(data)); }

  void run(const dnnl::stream& stream, cpu::Scratch& scratch) {
    if (scratchpad_bytes_ > 0) set(0, scratch.get(scratchpad_bytes_));
    const dnnl_status_t status =
        dnnl_primitive_execute(primitive_.get(), stream.get(), static_cast<int>(count_), arguments_.data());
    if (status != dnnl_success) {
      fail(ErrorKind::runtime, "oneDNN could not run an operation that it had prepared: status {}",
           static_cast<int>(status));
    }
  }

 private:
  dnnl::engine engine_;
  dnnl::primitive primitive_;
  size_t scratchpad_bytes_ = 0, count_ = 0;
  std::array<memory, 5> memories_;
  std::array<dnnl_exec_arg_t, 5> arguments_ = {};
};

memory::desc matrix(int64_t rows, int64_t columns, int64_t distance, bool transposed) {
  return {{rows, columns}, memory::data_type::f32, transposed ? memory::dims{1, distance} : memory::dims{distance, 1}};
}

memory::desc tensor(const memory::dims& sizes, Tag layout) { return {sizes, memory::data_type::f32, layout}; }

}  // namespace

struct Product::Body {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  Call call;
  size_t a = 0, b = 0, c = 0, bias = 0;
};

Product::Product(const MatmulShape& s, bool accumulate, bool bias) : body_(std::make_unique<Body>()) {
  checked("product " + cpu::text(s), [&] {
    const memory::desc a = matrix(s.m, s.k, s.lda, s.transpose_a), b = matrix(s.k, s.n, s.ldb, s.transpose_b);
    const memory::desc c = matrix(s.m, s.n, s.ldc, false), row = matrix(1, s.n, s.n, false);
    const auto description = bias ? describe<dnnl::matmul>(body_->engine, attributes(accumulate), a, b, row, c)
                                  : describe<dnnl::matmul>(body_->engine, attributes(accumulate), a, b, c);
    body_->call = Call(body_->engine, dnnl::matmul(description), description.scratchpad_desc());
    body_->a = body_->call.add(DNNL_ARG_SRC, a);
    body_->b = body_->call.add(DNNL_ARG_WEIGHTS, b);
    body_->c = body_->call.add(DNNL_ARG_DST, c);
    if (bias) body_->bias = body_->call.add(DNNL_ARG_BIAS, row);
  });
}

Product::Product(Product&&) noexcept = default;
Product::~Product() = default;

void Product::run(const float* a, const float* b, float* c, const float* bias, cpu::Scratch& scratch) {
  Call& call = body_->call;
  call.set(body_->a, a);
  call.set(body_->b, b);
  call.set(body_->c, c);
  if (bias) call.set(body_->bias, bias);
  call.run(body_->stream, scratch);
}

struct Convolution::Body {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  Direction direction = Direction::forward;
  Call call, reorder;  // `reorder` of filters, to the library's layout or, for their gradient, from it
  size_t first = 0, second = 0, result = 0, from = 0, to = 0;
  size_t filter_bytes = 0;  // in the library's layout; 0: it is ours

  /// Prepares the way of filters between our layout and the library's.
  void prepare_filters(const memory::desc& ours, const memory::desc& theirs) {
    if (ours == theirs) return;
    filter_bytes = theirs.get_size();
    const bool out = direction == Direction::backward_filter;
    const memory::desc &source = out ? theirs : ours, &target = out ? ours : theirs;
    const dnnl::reorder::primitive_desc description(engine, source, engine, target, attributes());
    reorder = Call(engine, dnnl::reorder(description), description.scratchpad_desc());
    from = reorder.add(DNNL_ARG_FROM, source);
    to = reorder.add(DNNL_ARG_TO, target);
  }
};

Convolution::Convolution(const ConvolutionShape& s, Direction direction) : body_(std::make_unique<Body>()) {
  using dnnl::algorithm;
  Body& body = *body_;
  body.direction = direction;
  checked("convolution " + cpu::text(s), [&] {
    const memory::dims stride = {s.stride, s.stride}, padding = {s.padding, s.padding};
    const memory::dims filter_sizes = {s.k, s.c, s.r, s.s};
    const memory::desc x = tensor({s.n, s.c, s.h, s.w}, Tag::nhwc), any = tensor(filter_sizes, Tag::any);
    const memory::desc y = tensor({s.n, s.k, s.out_h(), s.out_w()}, Tag::nhwc), ours = tensor(filter_sizes, Tag::ohwi);
    const auto forward =
        describe<dnnl::convolution_forward>(body.engine, attributes(), dnnl::prop_kind::forward_training,
                                            algorithm::convolution_direct, x, any, y, stride, padding, padding);
    if (direction == Direction::forward) {
      body.call = Call(body.engine, dnnl::convolution_forward(forward), forward.scratchpad_desc());
      body.first = body.call.add(DNNL_ARG_SRC, x);
      body.second = body.call.add(DNNL_ARG_WEIGHTS, forward.weights_desc());
      body.result = body.call.add(DNNL_ARG_DST, y);
      body.prepare_filters(ours, forward.weights_desc());
    } else if (direction == Direction::backward_data) {
      using Primitive = dnnl::convolution_backward_data;
      const auto description = describe_backward<Primitive>(
          body.engine, attributes(), forward, algorithm::convolution_direct, x, any, y, stride, padding, padding);
      body.call = Call(body.engine, Primitive(description), description.scratchpad_desc());
      body.first = body.call.add(DNNL_ARG_DIFF_DST, y);
      body.second = body.call.add(DNNL_ARG_WEIGHTS, description.weights_desc());
      body.result = body.call.add(DNNL_ARG_DIFF_SRC, x);
      body.prepare_filters(ours, description.weights_desc());
    } else {
      using Primitive = dnnl::convolution_backward_weights;
      const auto description = describe_backward<Primitive>(
          body.engine, attributes(), forward, algorithm::convolution_direct, x, any, y, stride, padding, padding);
      body.call = Call(body.engine, Primitive(description), description.scratchpad_desc());
      body.first = body.call.add(DNNL_ARG_SRC, x);
      body.second = body.call.add(DNNL_ARG_DIFF_DST, y);
      body.result = body.call.add(DNNL_ARG_DIFF_WEIGHTS, description.diff_weights_desc());
      body.prepare_filters(ours, description.diff_weights_desc());
    }
  });
}

Convolution::Convolution(Convolution&&) noexcept = default;
Convolution::~Convolution() = default;

void Convolution::run(const float* first, const float* second, float* result, cpu::Scratch& scratch,
                      cpu::Scratch& filters) {
  Body& body = *body_;
  const bool filters_out = body.direction == Direction::backward_filter;
  void* theirs = body.filter_bytes > 0 ? filters.get(body.filter_bytes) : nullptr;
  if (theirs && !filters_out) {
    body.reorder.set(body.from, second);
    body.reorder.set(body.to, theirs);
    body.reorder.run(body.stream, scratch);
  }
  body.call.set(body.first, first);
  body.call.set(body.second, theirs && !filters_out ? theirs : second);
  body.call.set(body.result, theirs && filters_out ? theirs : result);
  body.call.run(body.stream, scratch);
  if (theirs && filters_out) {
    body.reorder.set(body.from, theirs);
    body.reorder.set(body.to, result);
    body.reorder.run(body.stream, scratch);
  }
}

}  // namespace bev::onednn
