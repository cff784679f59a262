// The same source as CLinux, as it is compiled where there is no assembler for it.
#define CLINUX_PORTABLE_GUARD

#define clinux_guard_install portable_guard_install
#define clinux_guard_enter_thread portable_guard_enter_thread
#define clinux_guarded_copy portable_guarded_copy
#define clinux_guarded_zero portable_guarded_zero
#define clinux_guarded_post portable_guarded_post
#define clinux_guarded_load8 portable_load8
#define clinux_guarded_load16 portable_load16
#define clinux_guarded_load32 portable_load32
#define clinux_guarded_load64 portable_load64
#define clinux_guarded_store8 portable_store8
#define clinux_guarded_store16 portable_store16
#define clinux_guarded_store32 portable_store32
#define clinux_guarded_store64 portable_store64
#define clinux_guarded_exchange8 portable_exchange8
#define clinux_guarded_exchange16 portable_exchange16
#define clinux_guarded_exchange32 portable_exchange32
#define clinux_guarded_exchange64 portable_exchange64
#define clinux_guarded_compare_exchange8 portable_compare_exchange8
#define clinux_guarded_compare_exchange16 portable_compare_exchange16
#define clinux_guarded_compare_exchange32 portable_compare_exchange32
#define clinux_guarded_compare_exchange64 portable_compare_exchange64
#define clinux_guarded_fetch_or8 portable_fetch_or8
#define clinux_guarded_fetch_or16 portable_fetch_or16
#define clinux_guarded_fetch_or32 portable_fetch_or32
#define clinux_guarded_fetch_or64 portable_fetch_or64

#include "../../Sources/CLinux/guard.c"

#include "GuardBench.h"

int portable_load(const void *from, size_t size, uint64_t *value) {
  return clinux_guarded_load(from, size, value);
}
int portable_store(void *to, size_t size, uint64_t value) {
  return clinux_guarded_store(to, size, value);
}
int portable_exchange(void *at, size_t size, uint64_t *value) {
  return clinux_guarded_exchange(at, size, value);
}
int portable_compare_exchange(void *at, size_t size, uint64_t *expected, uint64_t desired) {
  return clinux_guarded_compare_exchange(at, size, expected, desired);
}
int portable_fetch_or(void *at, size_t size, uint64_t *bits_in_and_out) {
  return clinux_guarded_fetch_or(at, size, bits_in_and_out);
}
