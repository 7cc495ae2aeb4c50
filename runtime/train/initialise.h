// First values of parameters. Each is a function of the run's seed, the parameter's name and the element's position
// alone: computed on the host in double, so the same on any device, for any number of replicas, and whatever else the
// model holds.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/device.h"
#include "runtime/parameter.h"

namespace bev {

/// One parameter's first values, row-major, by its Init:
///   constant, table    as given
///   normal             N(0, value^2)
///   uniform            in [-value, value)
///   xavier_uniform     in [-b, b), b = sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010, eq. 16), of the matrix as
///   a
///                      whole: rows are outputs
///   orthogonal         a random matrix with orthonormal columns, or rows if it is wider than high, uniformly
///   distributed
///                      (Saxe, McClelland and Ganguli 2014); as a whole too
/// Throws Error(runtime) where the shape does not suit the kind.
std::vector<double> initial_values(const Parameter& parameter, uint64_t seed);

/// Gives every parameter and buffer of an allocated store its first values. Waits until they are there.
void initialise(const ParameterStore& store, Device& device, const Stream& stream, uint64_t seed);

}  // namespace bev
