// The guarded accesses of CLinux as they are compiled on processors without an assembler version, under
// names of their own, and a program's own handler for SIGBUS.
#pragma once

#include <stddef.h>
#include <stdint.h>

void portable_guard_install(void);
int portable_guarded_copy(void *to, const void *from, size_t count);
int portable_guarded_zero(void *to, size_t count);
int portable_guarded_post(void *to, const void *from, size_t entries);
int portable_load(const void *from, size_t size, uint64_t *value);
int portable_store(void *to, size_t size, uint64_t value);
int portable_exchange(void *at, size_t size, uint64_t *value);
int portable_compare_exchange(void *at, size_t size, uint64_t *expected, uint64_t desired);
int portable_fetch_or(void *at, size_t size, uint64_t *bits_in_and_out);

/// Handles SIGBUS as a program that was there first, by a handler of either kind.
void bench_install_handler(int with_info);
/// Touches an address without a guard: 0 when nothing happens, 1 or 2 when the handler of the program was
/// reached, with or without information.
int bench_touch(const void *at);
/// What handles SIGBUS now.
uintptr_t bench_handler(void);
