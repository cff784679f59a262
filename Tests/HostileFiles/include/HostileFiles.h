// Descriptors with which a peer can hold up whoever touches or closes them.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// A TCP socket with unsent data and SO_LINGER: closing it waits until its other end is closed, or for
/// `seconds`. Both ends go to `ends`, the lingering one first. 0 or -errno.
int hostile_lingering_socket(int ends[2], int seconds);
/// Closes the other end so that nothing is left to linger for.
void hostile_end_lingering(int other_end);

/// A file system (FUSE) with one file, "memory", which this process serves by itself; it answers until it is
/// frozen, and then never again.
struct hostile_file_system;
/// NULL without /dev/fuse or the right to mount.
struct hostile_file_system *hostile_mount(const char *folder);
/// open for reading and writing, close-on-exec.
int hostile_open(const char *path);
/// From now on no request is answered.
void hostile_freeze(struct hostile_file_system *files);
/// Requests that were not answered.
int hostile_unanswered(const struct hostile_file_system *files);
/// Ends every request with an error, for good.
void hostile_abort(struct hostile_file_system *files);
/// Unmounts and frees.
void hostile_unmount(struct hostile_file_system *files);

/// Sends SIGBUS to the own thread as the kernel does to tell of memory that has failed and nobody has touched.
int hostile_tell_of_bad_memory(void);
/// Blocks SIGBUS in the calling thread.
void hostile_block_sigbus(void);

/// Bytes that malloc has handed out, in all its arenas; those that it keeps for later do not count.
size_t hostile_allocated_bytes(void);

/// Pages of a file that are in the page cache and not yet on the disk; -errno where the kernel does not tell.
long hostile_dirty_pages(const char *path);
