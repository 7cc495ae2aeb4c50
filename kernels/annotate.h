// What lets one source be compiled for both devices, by nvcc for the GPU and the host, by g++ for the host alone:
// BEV_HD before a function that both call; BEV_UNROLL before a loop of few iterations inside a hot loop, since g++
// vectorises only what holds no inner loop; BEV_NO_ALIAS before a loop whose iterations do not depend on one another,
// where `omp simd` will not do: under it g++ keeps aggregates in memory, and vectorises nothing that has one.
#pragma once

#ifdef __CUDACC__
#define BEV_HD __host__ __device__
#define BEV_UNROLL _Pragma("unroll")
#define BEV_NO_ALIAS
#else
#define BEV_HD
#define BEV_UNROLL _Pragma("GCC unroll 16")
#define BEV_NO_ALIAS _Pragma("GCC ivdep")
#endif
