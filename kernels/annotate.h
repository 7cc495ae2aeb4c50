// What lets one source be compiled for both devices, by nvcc for the GPU and the host, by g++ for the host alone:
// BEV_HD before a function that both call; BEV_UNROLL before a loop of few iterations inside a hot loop, since g++
// vectorises only what holds no inner loop.
#pragma once

#ifdef __CUDACC__
#define BEV_HD __host__ __device__
#define BEV_UNROLL _Pragma("unroll")
#else
#define BEV_HD
#define BEV_UNROLL _Pragma("GCC unroll 16")
#endif
