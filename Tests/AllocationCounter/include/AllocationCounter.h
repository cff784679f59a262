// Counts allocations, of the calling thread and of all, by standing in front of the C library's allocator.
// Only the test executable links this. Under a sanitizer, which stands there itself, it does nothing.
#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H

#include <stdint.h>

/// 1 when allocations are counted.
int allocation_counter_works(void);
/// Allocations of the calling thread since it started.
uint64_t allocation_count(void);
/// Allocations of all threads since the process started.
uint64_t allocation_count_of_all_threads(void);

#endif
