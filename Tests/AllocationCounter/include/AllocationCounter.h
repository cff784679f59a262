// Counts the allocations of the calling thread by standing in front of the C library's allocator.
// Only the test executable links this. Under a sanitizer, which stands there itself, it does nothing.
#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H

#include <stdint.h>

/// 1 when allocations are counted.
int allocation_counter_works(void);
/// Allocations of the calling thread since it started.
uint64_t allocation_count(void);

#endif
