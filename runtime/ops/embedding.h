// Sequences of tokens, put together and cut, with their embeddings (kernels/embedding.h).
#pragma once

#include <span>
#include <vector>

#include "runtime/context.h"

namespace bev {

/// A run of tokens within a sequence.
struct TokenPart {
  Variable features;              // [samples, tokens, E]
  Parameter* position = nullptr;  // [1, positions, E]: row first_position + t is added to token t; may be null
  Parameter* segment = nullptr;   // [1, 1, E]: added to every token; may be null
  int64_t first_position = 0;
};

/// The parts one behind another, [samples, tokens of all parts, E], each with its embeddings added.
Variable embed_tokens(Context& context, std::span<const TokenPart> parts);

/// Tokens `first` .. `first + count - 1` of every sample: x [samples, tokens, E]; returns [samples, count, E].
Variable slice_tokens(Context& context, const Variable& x, int64_t first, int64_t count);

/// Cuts x [rows, count * width] into `count` variables [rows, width].
std::vector<Variable> split_columns(Context& context, const Variable& x, int64_t count);

/// x + e(t): x [samples, E], `times` i64 [samples] in device memory.
Variable add_time_embedding(Context& context, const Variable& x, const Tensor& times);

/// The same for several given times at once: x [samples, E]; returns [times, samples, E]. Values only.
Tensor add_time_embeddings(Context& context, const Tensor& x, std::span<const int64_t> times);

}  // namespace bev
