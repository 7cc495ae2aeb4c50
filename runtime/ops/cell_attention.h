// Attention over the cells of a BEV grid as an op (kernels/cell_attention.h).
#pragma once

#include "runtime/context.h"

namespace bev {

/// [sum_s p_s token_s; appended] of every sample, [samples, width + extra].
///   scores    [samples, S0]: p = softmax(scores)
///   resize    a constant [S, S0] (row-major, a table) or null: where given, p = softmax(resize softmax(scores))
///   tokens    [samples, S, width], of the context's type, or F32 or BF16; in the context's type they may need a
///             gradient
///   appended  [samples, extra]
Variable attend_to_cells(Context& context, const Variable& scores, const Parameter* resize, const Variable& tokens,
                         const Variable& appended);

}  // namespace bev
