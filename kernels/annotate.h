// The one annotation that lets a function be compiled for both devices: by nvcc for the GPU and the host, by g++ for
// the host alone.
#pragma once

#ifdef __CUDACC__
#define BEV_HD __host__ __device__
#else
#define BEV_HD
#endif
