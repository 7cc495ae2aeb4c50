// Replicas that train together hold the same weights, bit for bit, since they do the same arithmetic on the same sums.
// A gradient that was not reduced on one of them breaks that silently: losses still fall. So hashes of all tensors are
// compared every so many steps and at every checkpoint, and a difference ends the run with the tensor's name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/context.h"
#include "runtime/device.h"
#include "runtime/distributed/communicator.h"
#include "runtime/parameter.h"

namespace bev {

/// Numbers that every replica has on its host, and the same: "gradient norm".
struct SharedNumber {
  const char* name;
  double value;
};
/// Throws Error(ErrorKind::disagreement) on every replica if the bits of one differ, naming the first and the replicas
/// that hold something else than most; NaNs are all the same. `host` is over host memory: a collective.
void check_numbers(const std::vector<SharedNumber>& numbers, Communicator& host, const std::string& when);

class ReplicaAgreement {
 public:
  struct Item {
    std::string name;
    Tensor value;  // f32 or f64
    bool statistics = false;
  };
  /// The values of a store: all parameters, and running statistics (not tables of constants). Trained ones are read in
  /// trained_values(), whatever the parameters' values point to now.
  static std::vector<Item> items(const ParameterStore& store);
  /// The gradients of a store, which agree once they are reduced for all: compared after the first step they name what
  /// was not, where clipping by the global norm would spread the difference over all weights.
  static std::vector<Item> gradients(const ParameterStore& store);

  /// `items` are the same tensors, in the same order, on every replica; `context`, whose arena holds the list of
  /// chunks, and `device` are this replica's. `host` is its communicator over host memory. All outlive the agreement.
  ReplicaAgreement(std::vector<Item> items, Context& context, Device& device, Communicator& host);

  /// Compares all items, or all but running statistics: those differ between replicas, unless batch norm is
  /// synchronised, until they are averaged. Waits for the device. Throws Error(ErrorKind::disagreement) on every
  /// replica naming the first tensor that differs and the replicas that hold something else than most; `when` says at
  /// what point of the run: "after step 400".
  void check(const std::string& when, bool with_statistics);

  /// This replica's hash of every item.
  std::vector<uint64_t> hashes();

 private:
  std::vector<Item> items_;
  Context& context_;
  Device& device_;
  Communicator& host_;
  int64_t elements_ = 0;          // of all items
  Tensor chunks_, chunk_hashes_;  // HashChunk[] as bytes, and a hash of each
  std::vector<size_t> item_of_chunk_;
};

}  // namespace bev
