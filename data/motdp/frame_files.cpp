#include "data/motdp/frame_files.h"

#include <algorithm>

#include "runtime/file/torch_file.h"

namespace bev::motdp {

namespace {

const Tensor& tensor_of(const std::vector<NamedTensor>& tensors, const std::string& name, const std::string& path) {
  for (const NamedTensor& tensor : tensors) {
    if (tensor.name == name) return tensor.value;
  }
  fail(ErrorKind::data, "{}: holds no tensor {}", path, name);
}

void expect(const Tensor& tensor, const char* name, DType dtype, int rank, const std::string& path) {
  if (tensor.dtype() == dtype && tensor.shape().rank() == rank && tensor.size() > 0) return;
  fail(ErrorKind::data, "{}: {} is {} {}, expected {} of {} dimensions", path, name, name_of(tensor.dtype()),
       tensor.shape().text(), name_of(dtype), rank);
}

}  // namespace

Tensor read_bev_tokens(const std::string& path) {
  const auto tensors = read_torch_file(path);
  const Tensor& tokens = tensor_of(tensors, "", path);
  expect(tokens, "the tensor", DType::f32, 2, path);
  return tokens;
}

VlTokens read_vl_tokens(const std::string& path, int64_t reasoning_rows) {
  const auto tensors = read_torch_file(path);
  VlTokens vl{.tokens = tensor_of(tensors, "gen_vit_tokens", path), .reasoning = {}, .width = 0};
  expect(vl.tokens, "gen_vit_tokens", DType::bf16, 2, path);
  vl.width = vl.tokens.dim(1);
  const Tensor& queries = tensor_of(tensors, "reasoning_query_tokens", path);
  expect(queries, "reasoning_query_tokens", DType::bf16, 2, path);
  if (queries.dim(1) != vl.width) {
    fail(ErrorKind::data, "{}: reasoning_query_tokens is {} wide, but gen_vit_tokens {}", path, queries.dim(1),
         vl.width);
  }
  const Tensor& indexes = tensor_of(tensors, "answer_token_indexes", path);
  if (indexes.dtype() != DType::i64) {
    fail(ErrorKind::data, "{}: answer_token_indexes is {}, expected I64", path, name_of(indexes.dtype()));
  }
  vl.reasoning.resize(static_cast<size_t>(reasoning_rows * vl.width));
  for (int64_t row = 0; row < std::min(indexes.size(), reasoning_rows); ++row) {
    const int64_t index = indexes.data<int64_t>()[row];
    if (index < 0 || index >= queries.dim(0)) {
      fail(ErrorKind::data, "{}: answer_token_indexes names row {} of {}", path, index, queries.dim(0));
    }
    std::copy_n(queries.data<uint16_t>() + index * vl.width, vl.width, vl.reasoning.data() + row * vl.width);
  }
  return vl;
}

}  // namespace bev::motdp
