// Whether this build is watched by ThreadSanitizer, under which everything takes ten times as long and the arithmetic
// is not what is looked at: cases that are about threads stay, with fewer steps or smaller sizes.
#pragma once

namespace bev::test {

#ifdef __SANITIZE_THREAD__
inline constexpr bool thread_sanitizer = true;
#else
inline constexpr bool thread_sanitizer = false;
#endif

}  // namespace bev::test
