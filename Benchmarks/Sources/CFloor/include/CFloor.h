// The floor: what the kernel costs, measured by C that does one receive and one send per message and
// nothing else. Everything runs in processes of its own, pinned alike.
#ifndef CFLOOR_H
#define CFLOOR_H

#include <stddef.h>
#include <stdint.h>

/// Results that a child process leaves for its parent.
struct floor_shared {
  uint64_t samples[100000];
  uint64_t count;
  uint64_t done;
};
struct floor_shared *floor_share(void);
uint64_t floor_sample(const struct floor_shared *shared, uint64_t index);
uint64_t floor_done(const struct floor_shared *shared);

/// Pins the calling process to a processor, and asks for SCHED_FIFO; 0 when both were granted.
int floor_pin(int cpu);
/// A connected pair of UNIX stream sockets.
int floor_pair(int ends[2]);
/// A stream socket that is connected to a path, or negative.
int floor_connect(const char *path);
/// A child that answers every message of a fixed size with one of another; returns its pid.
int floor_start_echo(int fd, int close_fd, int cpu, int request, int reply);
/// A child that is a minimal vfio-user server: VERSION, then every command acknowledged, reads
/// answered with zeros. A write to offset 0x1000 makes it ask for memory with DMA_READ, `wait`
/// nanoseconds later, and note how long the answer took.
int floor_start_server(int fd, int close_fd, int cpu, struct floor_shared *shared, uint64_t wait);
/// This program again, as `serve FD`, pinned; returns its pid.
int floor_start_self(int fd, int close_fd, int cpu);
void floor_stop(int pid);
/// Round trips of messages of fixed sizes; the time of each, in nanoseconds, goes to `samples`.
int floor_ping(int fd, int request, int reply, int rounds, uint64_t *samples);
/// CLOCK_MONOTONIC in nanoseconds.
uint64_t floor_now(void);

/// A minimal vfio-user client, for servers: negotiates.
int floor_negotiate(int fd);
/// `depth` region reads of `size` bytes in flight at a time; total nanoseconds for `rounds` of them.
uint64_t floor_reads(int fd, int region, int size, int depth, int rounds);
/// Posted writes of `size` bytes, a read at the end; total nanoseconds.
uint64_t floor_posted_writes(int fd, int region, int size, int rounds);
/// Waited-for writes of `size` bytes; total nanoseconds.
uint64_t floor_writes(int fd, int region, int size, int rounds);
/// DMA_MAP with a descriptor and DMA_UNMAP, waited for each; total nanoseconds for `rounds` pairs.
uint64_t floor_maps(int fd, int memory, uint64_t address, int rounds);
/// Maps `count` windows without descriptors, 64 KiB apart, and leaves them.
int floor_fill_windows(int fd, uint64_t first, int count);
int floor_memory(uint64_t size);

/// Moves the calling thread, and what it starts from here on, to a processor; 0 when that was granted.
int floor_move(int cpu);
/// One thread's `preadv2` or `pwritev2` of `block` bytes on a file, for a time; operations per second, or -1.
double floor_file(const char *path, size_t block, int writes, int is_random, uint64_t nanoseconds);

#endif
