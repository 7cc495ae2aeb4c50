// Whether this build is watched by a sanitizer, under which everything takes many times as long, and memory or threads
// are looked at rather than numbers: long cases take fewer steps or smaller sizes there.
#pragma once

namespace bev::test {

#ifdef __SANITIZE_THREAD__
inline constexpr bool thread_sanitizer = true;
#else
inline constexpr bool thread_sanitizer = false;
#endif

#ifdef __SANITIZE_ADDRESS__
inline constexpr bool address_sanitizer = true;
#else
inline constexpr bool address_sanitizer = false;
#endif

}  // namespace bev::test
