#include "runtime/parameter.h"

#include <algorithm>

#include "runtime/arena.h"

namespace bev {

namespace {

/// Elements a parameter takes in a span: rounded up so that every parameter starts on a 256-byte boundary in any type.
int64_t padded_size(const Parameter& parameter) {
  constexpr int64_t granule = Arena::alignment / sizeof(float);
  return (parameter.size() + granule - 1) / granule * granule;
}

void point_into(const Tensor& span, Parameter& parameter, Tensor Parameter::*member) {
  parameter.*member = span.part(parameter.offset, parameter.shape);
  for (const auto& slice : parameter.slices) (*slice).*member = (parameter.*member).part(slice->offset, slice->shape);
}

/// Lays `parameters` one behind another and points each one's `member` into the new span.
Tensor lay_out(Arena& arena, DType dtype, const std::vector<Parameter*>& parameters, Tensor Parameter::*member) {
  int64_t total = 0;
  for (const Parameter* parameter : parameters) total += padded_size(*parameter);
  if (total == 0) return {};
  Tensor span(arena.allocate(static_cast<size_t>(total) * size_of(dtype)), {total}, dtype);
  int64_t offset = 0;
  for (Parameter* parameter : parameters) {
    parameter->offset = offset;
    offset += padded_size(*parameter);
    point_into(span, *parameter, member);
  }
  return span;
}

}  // namespace

Shape Parameter::file_shape() const {
  return file_layout == FileLayout::filter ? Shape{shape[0], shape[3], shape[1], shape[2]} : shape;
}

Parameter& ParameterStore::declare(const std::string& name, const Shape& shape, const Init& init, FileLayout layout) {
  auto parameter = std::make_unique<Parameter>();
  parameter->name = name;
  parameter->shape = shape;
  parameter->init = init;
  parameter->file_layout = layout;
  if (!by_name_.emplace(name, parameter.get()).second) fail(ErrorKind::runtime, "parameter {} is declared twice", name);
  return *all_.emplace_back(std::move(parameter));
}

Parameter& ParameterStore::declare_buffer(const std::string& name, const Shape& shape, double value) {
  Parameter& buffer = declare(name, shape, Init::constant(value));
  buffer.is_buffer = true;
  buffer.trainable = false;
  return buffer;
}

Parameter& ParameterStore::declare_table(const std::string& name, std::vector<double> entries) {
  const Shape shape{static_cast<int64_t>(entries.size())};
  Parameter& table = declare(name, shape, Init::table(std::move(entries)));
  table.is_buffer = true;
  table.trainable = false;
  table.in_files = false;
  return table;
}

Parameter& ParameterStore::slice(Parameter& whole, int64_t first, int64_t count) {
  auto part = std::make_unique<Parameter>();
  part->name = fmt::format("{}[{}:{}]", whole.name, first, first + count);
  part->shape = Shape{count};
  for (int i = 1; i < whole.shape.rank(); ++i) part->shape.append(whole.shape[i]);
  part->offset = first * part->size() / count;  // within the whole
  part->trainable = whole.trainable;
  part->whole = &whole;
  return *whole.slices.emplace_back(std::move(part));
}

Parameter* ParameterStore::find(std::string_view name) {
  const auto it = by_name_.find(std::string(name));
  return it == by_name_.end() ? nullptr : it->second;
}

void ParameterStore::allocate(Arena& arena, DType dtype, const std::vector<Parameter*>& order,
                              const std::function<void(void*, size_t)>& zero) {
  trained_ = order;
  std::vector<Parameter*> others;
  for (const auto& parameter : all_) {
    parameter->gradient = {};  // of an earlier call
    for (const auto& slice : parameter->slices) slice->gradient = {};
    parameter->trainable = std::find(order.begin(), order.end(), parameter.get()) != order.end();
    for (const auto& slice : parameter->slices) slice->trainable = parameter->trainable;
    if (!parameter->trainable) others.push_back(parameter.get());
  }
  arena.set_label("weights");
  trained_values_ = lay_out(arena, dtype, trained_, &Parameter::value);
  other_values_ = lay_out(arena, dtype, others, &Parameter::value);
  arena.set_label("gradients");
  trained_gradients_ = lay_out(arena, dtype, trained_, &Parameter::gradient);
  for (const Tensor& span : {trained_values_, other_values_, trained_gradients_}) {
    if (span.defined()) zero(span.raw(), span.bytes());
  }
}

void ParameterStore::read_values_from(const Tensor& span) {
  for (Parameter* parameter : trained_) point_into(span, *parameter, &Parameter::value);
}

}  // namespace bev
