// The tensors of a file that torch.save wrote: a zip archive with a pickle of names and shapes, and raw storages.
// Nothing in the file is ever run.
#pragma once

#include <string>
#include <vector>

#include "runtime/file/safetensors.h"

namespace bev {

/// All tensors of the file, by their path through nested dicts joined by dots ("model.layer1.weight"; "" if the file is
/// one tensor), in the order of the file; what else the dicts hold (numbers, texts) is left out. Contiguous tensors
/// share the mapped file (read-only), others are copied. F32, F64, BF16, U8, I32, I64. Throws Error(ErrorKind::data)
/// naming file and tensor: not such a file, truncated, damaged, a constructor that tensors do not need, another element
/// type.
std::vector<NamedTensor> read_torch_file(const std::string& path);

}  // namespace bev
