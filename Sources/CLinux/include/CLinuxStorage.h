// Files and block devices as storage of a disk. Every function returns a result >= 0, or -errno.
#ifndef CLINUX_STORAGE_H
#define CLINUX_STORAGE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CLINUX_OPEN_WRITABLE 1
#define CLINUX_OPEN_DIRECT 2
/// Creates the file; -EEXIST if it exists.
#define CLINUX_OPEN_NEW 4

/// Opens a file for a disk, close-on-exec, with CLINUX_OPEN_* flags in `how`. A block device opened
/// for writing is held exclusively. -EOPNOTSUPP for anything but a regular file or block device.
int clinux_storage_open(const char *path, int how);

struct clinux_storage_info {
  uint64_t size;
  /// Number of bytes allocated on the host.
  uint64_t allocated;
  /// Required alignment of sizes and addresses for direct I/O.
  uint32_t direct_alignment;
  /// 0 other, 1 regular file, 2 block device.
  int kind;
  /// 1 for a file in memory (tmpfs), which does not support RWF_NOWAIT and never waits for a disk.
  int in_memory;
  /// 1 for a block device that is read only, however it was opened.
  int is_read_only;
  /// Device number of the file system, or of the block device.
  uint64_t device;
  uint64_t inode;
  /// Time of creation, if the file system records it.
  int is_birth_known;
  int64_t birth_seconds;
  uint32_t birth_nanoseconds;
};
/// Whether the descriptor bypasses the page cache: 1 or 0.
int clinux_storage_is_direct(int descriptor);
int clinux_storage_inspect(int descriptor, struct clinux_storage_info *info);

/// Locks the file against other openers, in this and other processes (an open file description
/// lock); `exclusive` for writers. -EAGAIN if somebody else holds the lock.
int clinux_storage_lock(int descriptor, int exclusive);
/// Gives that lock back, also while copies of the descriptor are open.
int clinux_storage_unlock(int descriptor);
/// Whether the descriptor can be written to: 1 or 0.
int clinux_storage_is_writable(int descriptor);
/// Makes a descriptor refer to another open file, whose own descriptor stays open (dup3).
int clinux_storage_replace(int descriptor, int source);

/// Finds the next part of a file that is no hole, from `offset` on: returns its start, and its end; -ENXIO for none.
int64_t clinux_storage_find_data(int descriptor, uint64_t offset, uint64_t *end);
/// preadv2 of `count` slices laid out like struct iovec; `nowait` returns -EAGAIN where it would
/// wait for the disk.
int64_t clinux_storage_read(int descriptor, const void *slices, int count, uint64_t offset,
                            int nowait);
/// pwritev2; `durable` returns once the data is on stable storage, with fdatasync where pwritev2
/// does not support this; `nowait` returns -EAGAIN where it would wait, -EOPNOTSUPP where it is not
/// supported.
int64_t clinux_storage_write(int descriptor, const void *slices, int count, uint64_t offset,
                             int durable, int nowait);
/// fdatasync. The kernel reports lost data only once per open file description: a second call
/// succeeds.
int clinux_storage_sync(int descriptor);
/// fsync of a directory: makes creation, renaming and removal of files in it durable.
int clinux_sync_folder(const char *path);
/// Renames a file to a name that does not exist (-EEXIST if it does), or exchanges two files.
int clinux_place(const char *from, const char *to, int swap);
/// Renames a file, replacing any file of the new name.
int clinux_replace(const char *from, const char *to);
/// Major and minor number of a device number.
uint32_t clinux_major(uint64_t device);
uint32_t clinux_minor(uint64_t device);

/// Deallocates blocks, which then read as zeros.
int clinux_storage_punch(int descriptor, uint64_t offset, uint64_t size);
/// Zeroes blocks and keeps them allocated.
int clinux_storage_zero(int descriptor, uint64_t offset, uint64_t size);
int clinux_storage_resize(int descriptor, uint64_t size);

/// Allocates memory with an alignment; NULL if there is none. Free with free().
void *clinux_aligned_memory(size_t alignment, size_t size);
void clinux_free(void *memory);

/// Blocks SIGHUP in the calling thread and in threads started by it.
void clinux_block_hangup(void);
/// Waits for SIGHUP; returns 0 when it arrives.
int clinux_wait_for_hangup(void);

#ifdef __cplusplus
}
#endif
#endif
